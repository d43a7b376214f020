"""Test the first screen of the page: an answer in words, a figure and the calculator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.report.findings import (
    MOST_SIZES,
    bests,
    doubts,
    headline,
    other_losses,
    picture,
    sentences,
)
from bench.report.page import write
from bench.report.sources import Source, sources
from bench.results.saved import Saved
from tests.support.browser import DESKTOP, PHONE, Watched
from tests.support.records import COSTS, SIZES, record

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def source_of(**more: object) -> Source:
    (source,) = sources([Saved(Path("x.json"), record(**more))])  # type: ignore[arg-type]
    return source


def test_the_fastest_is_the_one_with_the_shortest_step() -> None:
    source = source_of()
    found = bests(source)
    assert [(b.result.rows, b.result.features) for b in found] == sorted(
        SIZES, key=lambda s: (s[1], s[0])
    )
    for best in found:
        rivals = [
            r.step_s.median
            for r in source.results
            if r.case.size == best.result.case.size and r.step_s and not r.least_squares_only
        ]
        assert best.step_s == min(rivals)
    largest = next(b for b in found if b.result.rows == 10_000_000)
    latency, a_byte = COSTS["numpy"][3:]
    assert largest.plain_s == pytest.approx(latency + a_byte * 8e7, rel=0.1)
    assert largest.read_s == pytest.approx(1.5e-11 * 8e7, rel=0.1)


def test_three_sentences_answer() -> None:
    first, second, third = sentences(bests(source_of(sizes=[(10_000_000, 1)])))
    assert first == "numba:parallel has the shortest step at 1e7 × 1 (rows × features)."
    assert second.startswith("The fastest is 1")
    assert second.endswith("× as fast as plain NumPy.")
    assert "of the read bandwidth." in third


def test_another_loss_has_a_sentence_and_leaves_the_others() -> None:
    one, other = record(), record(loss="log_loss", costs={"numpy": COSTS["numpy"]})
    (source,) = sources([Saved(Path(f"{i}.json"), r) for i, r in enumerate((one, other))])
    assert sentences(bests(source)) == sentences(bests(source_of()))
    (sentence,) = other_losses(source)
    assert sentence == (
        "log_loss: numpy has the shortest step at all 8 sizes; it is 1× as fast as plain NumPy."
    )
    assert other_losses(source_of()) == []
    assert bests(source_of(loss="log_loss"))[0].result.loss == "log_loss"


def test_what_is_missing_is_said_with_what_to_run() -> None:
    some = {b: c for b, c in COSTS.items() if b != "numpy"}
    _, second, third = sentences(bests(source_of(costs=some, sizes=[(100, 1)])))
    assert "Plain NumPy was not measured" in second
    assert "'descentbench run'" in second
    assert "'descentbench run --limit'" in third
    assert sentences([]) == ["No step was timed on this machine: run 'descentbench run' there."]


def test_one_line_for_the_end_of_a_run() -> None:
    line = headline(source_of(sizes=[(10_000_000, 1), (100, 1)]))
    assert "\n" not in line
    assert "shortest step at " in line
    assert " as fast as plain NumPy and reaches up to " in line
    only = headline(source_of(costs={"numpy": COSTS["numpy"]}, sizes=[(100, 1)]))
    assert only == "numpy has the shortest step at 1 of 1 size"


def test_the_picture_has_the_sizes_on_a_common_axis() -> None:
    sizes = [(10**k, d) for k in range(2, 7) for d in (1, 2, 3)]
    shown = picture(bests(source_of(sizes=sizes)))
    assert len(shown.lines) == MOST_SIZES
    assert shown.left_out == len(sizes) - MOST_SIZES
    for line in shown.lines:
        assert all(0 <= mark.at <= 100 for mark in line.marks)
        at = {mark.kind: mark.at for mark in line.marks}
        assert at["best"] <= at["plain"]


def test_doubtful_cases_are_named() -> None:
    source = source_of(sizes=[(100, 1)], spread=0.3, failed={"torch/100x1/float32": "wrong w"})
    named, count = doubts(source)
    assert named[0] == "torch at 100 × 1 failed: wrong w"
    unstable = [r for r in source.results if r.unstable]
    assert count == len(unstable) + 1
    assert any("numpy at 100 × 1 ±" in text for text in named)


@pytest.mark.parametrize("size", [PHONE, DESKTOP])
def test_it_stands_on_the_first_screen(
    browser: Browser, path: Path, size: dict[str, int]
) -> None:
    watched = Watched(browser, path, viewport=size)
    page = watched.page
    page.wait_for_selector("#answer:not(:empty)")

    def bottom(selector: str) -> float:
        box = page.locator(selector).locator("visible=true").first.bounding_box()
        assert box is not None
        return box["y"] + box["height"]

    assert bottom(".sentences") < size["height"]
    if size is DESKTOP:
        assert bottom(".steps ol") < size["height"]
        assert bottom("#answer") < size["height"]
    else:
        assert bottom(".steps li") < size["height"]
    page.close()


def test_another_machine_shows_its_own(watched: Watched, found: list[Source]) -> None:
    page = watched.page
    assert page.locator(".where:visible").inner_text().startswith(found[0].label)
    page.select_option("[name=source]", "1")
    assert page.locator(".where:visible").inner_text().startswith(found[1].label)
    assert page.locator(".findings > div:visible").count() == 1


def test_a_machine_without_set_up_says_what_to_run(browser: Browser, tmp_path: Path) -> None:
    """Check that there is no empty chart, no empty menu, and no answer of another machine."""
    sizes = [(100, 1), (1000, 1)]
    whole = record(sizes=sizes)
    only = {name: task for name, task in whole.tasks.items() if name.startswith("pass")}
    bare = sources([Saved(Path("x.json"), record(sizes=sizes, tasks=only))])
    write(tmp_path / "bare.html", bare)
    page = Watched(browser, tmp_path / "bare.html").page
    assert "there are no setup times of this machine" in page.inner_text("#answer")
    assert "descentbench run" in page.inner_text("#remarks")
    for select in page.locator("select:visible").all():
        assert select.locator("option").count() >= 1
    assert page.locator("#candidates:visible, #totals:visible").count() == 0
    for name in ("map", "cost"):
        grid = page.locator(f'[data-figure="{name}"]')
        assert grid.locator("svg").count() == 0
        assert "descentbench run" in grid.inner_text()
    page.close()
