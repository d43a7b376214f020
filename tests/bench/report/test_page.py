"""The page in a browser: what it draws, asks for, answers and hands out."""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench.pick.recommend import Request, recommend
from bench.report.content import content
from bench.report.page import render, write
from bench.report.sources import Source, sources
from bench.results.saved import Saved
from bench.show.formats import results_csv
from tests.support.made_up import COSTS, LAPTOP, SERVER, record

pytest.importorskip("jinja2")
pytest.importorskip("plotly")
api = pytest.importorskip(
    "playwright.sync_api", reason="needs playwright: pip install playwright"
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium: apt-get install chromium"
)

FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    "--disable-background-networking",
)

FIGURES = ("scaling", "map", "cost", "roofline", "convergence", "correctness")

BYTES = 2_500_000

FEW = [(100, 1), (1000, 1)]
"""Sizes of which a page is made at once: it computes the convergence of each."""

EVIL = "</script><script>window.evil=1</script><img src=x onerror=window.evil=1>"

BREAKING_OUT = (
    '"\'`--><a href="javascript:window.evil=1">x</a><img src=x onerror=window.evil=1>'
)


@pytest.fixture(scope="module")
def found() -> list[Source]:
    small = SERVER | {"caches": {"L3": 64 << 20}, "gpus": []}
    records = [
        record(LAPTOP, seed=1),
        record(LAPTOP, seed=2, dtype="float64", sizes=[(100, 1), (1_000_000, 1)]),
        record(small, seed=3, created="2026-11-21T10:00:00.000+00:00"),
    ]
    return sources(Saved(Path(f"{i}.json"), r) for i, r in enumerate(records))


@pytest.fixture(scope="module")
def path(found: list[Source], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write(path, found)
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


class Watched:
    """A page, what it asked for and what it complained of."""

    def __init__(self, browser: Browser, path: Path, **options: Any) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page: Page = browser.new_page(**options)
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda e: self.complaints.append(str(e)))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("html[data-ready]", timeout=30_000)

    def _console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


@pytest.fixture(scope="module")
def watched(browser: Browser, path: Path) -> Watched:
    return Watched(browser, path, viewport={"width": 1280, "height": 900})


def test_the_file_is_small_and_names_no_other(path: Path) -> None:
    assert path.stat().st_size < BYTES
    shell = path.read_text(encoding="utf-8").split('<script type="application/json"')[0]
    assert "http://" not in shell
    assert "https://" not in shell


@needs_browser
def test_every_figure_is_drawn_and_nothing_is_asked_for(watched: Watched, path: Path) -> None:
    page = watched.page
    for name in FIGURES:
        plots = page.locator(f'[data-figure="{name}"] .plot')
        assert plots.count() == 2  # machines, side by side
        for plot in plots.all():
            visible = plot.evaluate("node => node._fullData.filter(t => t.visible).length")
            assert visible >= 1
            assert plot.locator(".trace, .heatmaplayer .hm, .points path").count() >= 1, name
    assert page.locator("#tutorial .trace").count() == 2
    assert watched.requests == [path.as_uri()]
    assert watched.complaints == []


@needs_browser
def test_it_is_drawn_in_two_seconds(watched: Watched) -> None:
    """Not a benchmark: a page of ten times the work would be noticed."""
    assert int(watched.page.locator("html").get_attribute("data-ready") or "inf") < 20_000


@needs_browser
def test_a_click_on_its_name_hides_a_backend(watched: Watched) -> None:
    page = watched.page
    plot = page.locator('[data-figure="scaling"] .plot').first
    shown = "node => node._fullData.filter(t => t.visible === true).map(t => t.legendgroup)"
    assert "torch" in plot.evaluate(shown)
    legend = "node => node._fullData.filter(t => t.showlegend).map(t => t.name)"
    at = plot.evaluate(legend).index("torch")
    plot.locator(".legendtoggle").nth(at).click()
    page.wait_for_function(
        "node => !node._fullData.some(t => t.legendgroup === 'torch' && t.visible === true)",
        arg=plot.element_handle(),
    )
    assert "numpy" in plot.evaluate(shown)


@needs_browser
def test_the_calculator_answers_as_pick_does(watched: Watched, found: list[Source]) -> None:
    rng = random.Random(0)
    for _ in range(24):
        at = rng.randrange(len(found))
        (features, dtype), models = rng.choice(list(found[at].models.items()))
        asked = {
            "rows": round(10 ** rng.uniform(1, 11)),
            "iterations": round(10 ** rng.uniform(0, 6)),
            "memory": rng.choice([2e8, 4e9, 1e12]),
            "loopOnly": rng.random() < 0.5,
        }
        where = {"source": at, "features": features, "dtype": dtype}
        answer = watched.page.evaluate(
            """request => {
                const { lines, ...rest } = descentbench.answer(request);
                return {...rest, lines: lines.map(({ model, ...line }) => line)};
            }""",
            asked | where,
        )
        request = Request(
            *(asked["rows"], features, asked["iterations"], dtype),
            {"cpu": int(asked["memory"])},
            asked["loopOnly"],
        )
        expected = recommend(models, request, {})
        assert answer["pick"] == expected.pick
        assert answer["loopPick"] == expected.loop_pick
        assert tuple(answer["tied"]) == expected.tied
        assert answer["fits"] == expected.fits
        assert [line["backend"] for line in answer["lines"]] == [
            c.backend for c in expected.candidates
        ]
        for line in answer["lines"]:
            c = expected.of(line["backend"])
            assert c.total_s is not None
            assert line["total"] == pytest.approx(vars(c.total_s), rel=1e-9)
            assert line["breakEven"] == pytest.approx(c.break_even_iterations)
            assert line["fits"] == c.fits
            assert int(line["needs"]) == pytest.approx(c.needs_bytes, abs=1)


@needs_browser
def test_the_calculator_says_it_in_words(
    browser: Browser, path: Path, found: list[Source]
) -> None:
    page = Watched(browser, path).page
    page.fill("[name=rows]", "1e6")
    page.fill("[name=iterations]", "100000")
    page.check("[name=loop_only]")
    first = found[0]
    request = Request(10**6, 1, 10**5, "float32", first.memory_bytes, loop_only=True)
    pick = recommend(first.models[1, "float32"], request, {}).pick
    assert f"Use {pick} on the CPU: 1e5 iterations in" in page.inner_text("#answer")
    assert "gram" not in page.inner_text("#candidates")
    page.fill("[name=rows]", "many")
    assert "must be numbers above 0" in page.inner_text("#answer")
    assert page.get_attribute("[name=rows]", "aria-invalid") == "true"
    page.fill("[name=rows]", "1e13")
    assert "No backend fits" in page.inner_text("#answer")


@needs_browser
def test_the_download_is_the_data(watched: Watched, found: list[Source]) -> None:
    with watched.page.expect_download() as pending:
        watched.page.click("#csv")
    path = pending.value.path()
    lines = list(csv.DictReader(io.StringIO(Path(path).read_text(encoding="utf-8"))))
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


@needs_browser
def test_a_heading_sorts(watched: Watched) -> None:
    page = watched.page
    body = "document.querySelectorAll('#results tbody tr')"
    steps = f"() => [...{body}].map(row => row.cells[1].textContent)"
    page.click("#results th:nth-child(2) button")
    up = page.evaluate(steps)
    page.click("#results th:nth-child(2) button")
    assert [float(n.replace(",", "")) for n in up] == sorted(
        float(n.replace(",", "")) for n in up
    )
    assert page.evaluate(steps)[0] == up[-1]


@needs_browser
def test_an_unstable_row_says_so_in_a_word(browser: Browser, tmp_path: Path) -> None:
    shaky = sources([Saved(Path("x.json"), record(sizes=FEW, spread=0.15))])
    expected = ["unstable" if r.unstable else "" for r in shaky[0].results]
    assert {*expected} == {"unstable", ""}
    write(tmp_path / "shaky.html", shaky)
    page = Watched(browser, tmp_path / "shaky.html").page
    headings = page.locator("#results th").all_inner_texts()
    column = headings.index("unstable") + 1
    assert page.locator(f"#results td:nth-child({column})").all_text_contents() == expected


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_scrolls_sideways(browser: Browser, path: Path, scheme: str) -> None:
    size = {"width": 360, "height": 740}
    watched = Watched(browser, path, viewport=size, color_scheme=scheme, is_mobile=True)
    assert watched.page.evaluate("document.documentElement.scrollWidth") <= 360
    paper = watched.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") is (scheme == "light")


@needs_browser
def test_the_other_shapes_and_sizes_are_drawn(watched: Watched) -> None:
    page = watched.page
    for key in page.locator("#shape option").evaluate_all("all => all.map(o => o.value)"):
        page.select_option("#shape", key)
        for select in ("#map-over", "#cost-rows", "#cost-iterations", "#convergence-rows"):
            for value in page.locator(f"{select} option").evaluate_all(
                "all => all.map(o => o.value)"
            ):
                page.select_option(select, value)
    page.wait_for_timeout(200)
    assert watched.complaints == []
    ticks = page.locator('[data-figure="map"] .plot').first.evaluate(
        "n => n._fullData[0].y.length"
    )
    assert ticks == 2  # the features that were measured, after the last choice of "over"


@needs_browser
def test_words_from_a_file_are_words(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen red: with ``| safe`` on the label, and with json.dumps for script_json."""
    gpu = {"name": BREAKING_OUT, "memory_bytes": 1, "driver": BREAKING_OUT}
    machine = LAPTOP | {"cpu": EVIL, "os": EVIL, "versions": {EVIL: EVIL}, "gpus": [gpu]}
    machine |= {"python": BREAKING_OUT, "caches": {EVIL: 1 << 20, BREAKING_OUT: 2 << 20}}
    failed = {"numpy/100x1/float32": EVIL}
    words = {"revision": EVIL, "code": BREAKING_OUT, "name": EVIL}
    evil = record(machine, failed=failed, sizes=FEW, **words)
    path = tmp_path / "evil.html"
    good = record(sizes=FEW)
    write(path, sources([Saved(Path("x.json"), evil), Saved(Path("y.json"), good)]))
    watched = Watched(browser, path)
    assert watched.page.evaluate("window.evil") is None
    assert watched.page.locator("img, a[href^=javascript]").count() == 0
    assert watched.requests == [path.as_uri()]
    assert watched.complaints == []
    assert EVIL in watched.page.inner_text("#results")


def test_results_without_set_up_still_make_a_page(tmp_path: Path) -> None:
    whole = record(sizes=FEW)
    only = {name: task for name, task in whole.tasks.items() if name.startswith("pass")}
    (source,) = sources([Saved(Path("x.json"), record(sizes=FEW, tasks=only))])
    assert source.models == {}
    assert json.loads(json.dumps(content([source])))["sources"][0]["picks"] == []
    assert render(content([source])).startswith("<!DOCTYPE html>")


def test_all_backends_are_there(found: list[Source]) -> None:
    assert {r.backend for r in found[0].results} == set(COSTS)
