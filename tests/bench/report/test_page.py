"""Test the page as a file: small, complete, and safe to open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.report.content import content
from bench.report.page import HERE, SCRIPTS, render, write
from bench.report.sources import Source, sources
from bench.results.saved import Saved
from tests.support.browser import DESKTOP, PHONE, Watched
from tests.support.records import COSTS, LAPTOP, record

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FEW = [(100, 1), (1000, 1)]
"""(rows, features) of a small page."""

BYTES = 2_500_000

SCRIPT_LINES = 350

EVIL = "</script><script>window.evil=1</script><img src=x onerror=window.evil=1>"

BREAKING_OUT = (
    '"\'`--><a href="javascript:window.evil=1">x</a><img src=x onerror=window.evil=1>'
)


def test_the_file_is_small_and_names_no_other(path: Path) -> None:
    assert path.stat().st_size < BYTES
    shell = path.read_text(encoding="utf-8").replace('"http://www.w3.org/2000/svg"', "")
    assert "http://" not in shell
    assert "https://" not in shell


def test_every_script_is_in_the_page_and_short() -> None:
    files = {path.name for path in HERE.iterdir() if path.name.endswith(".js")}
    assert files == set(SCRIPTS)
    for name in SCRIPTS:
        assert len((HERE / name).read_text(encoding="utf-8").splitlines()) <= SCRIPT_LINES


def test_nothing_is_asked_for_and_nothing_complained_of(watched: Watched, path: Path) -> None:
    assert watched.requests == [path.as_uri()]
    assert watched.complaints == []


def test_it_is_drawn_within_a_sane_time(watched: Watched) -> None:
    """Check that the page is drawn within 20 s, a generous limit for a slow machine."""
    assert int(watched.page.locator("html").get_attribute("data-ready") or "inf") < 20_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, {"width": 768, "height": 1024}, DESKTOP])
def test_nothing_scrolls_sideways(
    browser: Browser, path: Path, scheme: str, size: dict[str, int]
) -> None:
    watched = Watched(browser, path, viewport=size, color_scheme=scheme)
    width = watched.page.evaluate("document.documentElement.scrollWidth")
    paper = watched.page.evaluate("getComputedStyle(document.body).backgroundColor")
    watched.page.close()
    assert width <= size["width"]
    assert (paper == "rgb(255, 255, 255)") is (scheme == "light")


def test_words_from_a_file_are_words(browser: Browser, tmp_path: Path) -> None:
    """Check that HTML and scripts in a result file are shown as text."""
    gpu = {"name": BREAKING_OUT, "memory_bytes": 1, "driver": BREAKING_OUT}
    machine = LAPTOP | {"cpu": EVIL, "os": EVIL, "versions": {EVIL: EVIL}, "gpus": [gpu]}
    machine |= {"python": BREAKING_OUT, "caches": {EVIL: 1 << 20, BREAKING_OUT: 2 << 20}}
    failed = {"numpy/100x1/float32": EVIL}
    words = {"revision": EVIL, "code": BREAKING_OUT, "name": EVIL}
    evil = record(machine, failed=failed, sizes=FEW, **words)
    path = tmp_path / "evil.html"
    good = record(sizes=FEW)
    write(path, sources([Saved(Path("x.json"), evil), Saved(Path("y.json"), good)]))
    watched = Watched(browser, path, "?all=open")
    assert watched.page.evaluate("window.evil") is None
    assert watched.page.locator("img, a[href^=javascript]").count() == 0
    assert watched.requests == [path.as_uri() + "?all=open"]
    assert watched.complaints == []
    assert EVIL in watched.page.inner_text("#results")
    watched.page.close()


def test_results_without_set_up_still_make_a_page(tmp_path: Path) -> None:
    whole = record(sizes=FEW)
    only = {name: task for name, task in whole.tasks.items() if name.startswith("pass")}
    (source,) = sources([Saved(Path("x.json"), record(sizes=FEW, tasks=only))])
    assert source.models == {}
    assert json.loads(json.dumps(content([source])))["sources"][0]["picks"] == []
    assert render([source]).startswith("<!DOCTYPE html>")


def test_typical_requests_name_the_loss_if_there_is_another_one() -> None:
    """Check that the table has a column for the loss only if results have several losses."""
    squared, other = record(sizes=FEW), record(sizes=FEW, loss="log_loss")
    heading = '<th scope="col">loss</th>'
    both = sources([Saved(Path(f"{i}.json"), r) for i, r in enumerate((squared, other))])
    assert heading in render(both)
    assert heading not in render(sources([Saved(Path("x.json"), squared)]))


def test_all_backends_are_there(found: list[Source]) -> None:
    assert {r.backend for r in found[0].results} == set(COSTS)
