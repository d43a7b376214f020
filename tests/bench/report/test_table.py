"""Test the table of all cases: folding, search, filters, order, links and download."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

from bench.report.page import write
from bench.report.sources import Source, sources
from bench.results.saved import Saved
from bench.show.formats import results_csv
from tests.support.browser import Watched
from tests.support.records import record

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def opened(watched: Watched) -> Watched:
    watched.page.click("#all > summary")
    watched.page.wait_for_selector("#results tbody tr")
    return watched


def names(watched: Watched) -> list[str]:
    return watched.page.locator("#results tbody th").all_text_contents()


def test_it_is_collapsed_at_first(watched: Watched) -> None:
    assert not watched.page.locator("#results").is_visible()
    assert opened(watched).page.locator("#results").is_visible()


def test_a_search_and_filters_leave_what_matches(watched: Watched, found: list[Source]) -> None:
    page = opened(watched).page
    everything = [(r, source) for source in found for r in source.results]
    assert len(names(watched)) == len(everything)
    page.select_option("[name=f-backend]", "numpy:blocked")
    blocked = [pair for pair in everything if pair[0].backend == "numpy:blocked"]
    assert names(watched) == ["numpy:blocked"] * len(blocked)
    page.select_option("[name=f-size]", "1000000 1")
    page.select_option("[name=f-dtype]", "float64")
    assert len(names(watched)) == 1
    assert page.inner_text("#found") == f"1 of {len(everything)} cases"
    page.select_option("[name=f-backend]", "")
    page.fill("[name=find]", "TORCH analytic")
    assert names(watched) == ["torch:analytic"]
    losses = {result.loss for result, _ in everything}
    assert page.locator("[name=f-loss]").is_visible() == (len(losses) > 1)


def test_the_choice_is_kept_in_the_address(browser: Browser, path: Path) -> None:
    first = opened(Watched(browser, path))
    first.page.fill("[name=find]", "jax")
    first.page.select_option("[name=f-dtype]", "float32")
    first.page.click("#results thead th:nth-child(5) button")
    first.page.click("#results thead th:nth-child(5) button")
    shown = first.page.inner_text("#results")
    query = first.page.url.removeprefix(path.as_uri())
    first.page.close()
    again = Watched(browser, path, query)
    assert again.page.inner_text("#results") == shown
    assert again.page.input_value("[name=find]") == "jax"
    again.page.close()


def test_a_heading_sorts(watched: Watched) -> None:
    page = opened(watched).page
    body = "document.querySelectorAll('#results tbody tr')"
    steps = f"() => [...{body}].map(row => row.cells[1].textContent)"
    page.click("#results thead th:nth-child(2) button")
    up = [float(n.replace(",", "")) for n in page.evaluate(steps)]
    assert page.get_attribute("#results thead th:nth-child(2)", "aria-sort") == "ascending"
    page.click("#results thead th:nth-child(2) button")
    down = [float(n.replace(",", "")) for n in page.evaluate(steps)]
    assert up == sorted(up)
    assert down == up[::-1]


def test_an_unstable_case_says_so_in_a_word(browser: Browser, tmp_path: Path) -> None:
    sizes = [(100, 1), (1000, 1)]
    shaky = sources([Saved(Path("x.json"), record(sizes=sizes, spread=0.15))])
    expected = ["unstable" if r.unstable else "" for r in shaky[0].results]
    assert {*expected} == {"unstable", ""}
    write(tmp_path / "shaky.html", shaky)
    watched = opened(Watched(browser, tmp_path / "shaky.html"))
    page = watched.page
    headings = page.locator("#results thead th").all_inner_texts()
    column = headings.index("unstable") + 1
    assert page.locator(f"#results td:nth-child({column})").all_text_contents() == expected
    page.check("[name=doubtful]")
    assert len(names(watched)) == expected.count("unstable")
    assert "±" in page.locator(".doubts:visible").inner_text()
    page.close()


def test_the_csv_is_the_data(watched: Watched, found: list[Source]) -> None:
    with watched.page.expect_download() as pending:
        watched.page.click("#csv")
    text = Path(pending.value.path()).read_text(encoding="utf-8")
    lines = list(csv.DictReader(io.StringIO(text)))
    expected = [
        {"machine": source.label} | line
        for source in found
        for line in csv.DictReader(io.StringIO(results_csv(source.results)))
    ]
    assert len(lines) == len(expected)
    for line, right in zip(lines, expected, strict=True):
        assert line.keys() == right.keys()
        for key, value in right.items():
            try:
                number = float(value)
            except ValueError:
                assert line[key].lower() == value.lower()
            else:
                assert float(line[key]) == number


def test_the_json_is_the_data(watched: Watched, found: list[Source]) -> None:
    with watched.page.expect_download() as pending:
        watched.page.click("#json")
    read = json.loads(Path(pending.value.path()).read_text(encoding="utf-8"))
    expected = [
        r.as_dict() | {"machine": source.label} for source in found for r in source.results
    ]
    assert read == json.loads(json.dumps(expected))
