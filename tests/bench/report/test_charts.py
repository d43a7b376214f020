"""Test the figures: they show the results, share axes, and have a text alternative."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bench import report
from bench.report.page import write
from bench.report.sources import Shape, Source, sources
from bench.results.saved import Saved
from tests.support.browser import Watched
from tests.support.records import LAPTOP, SERVER, record

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

ON_BOTH = ("roofline", "scaling", "map", "cost", "convergence", "correctness")
"""Figures with one chart for each of the two machines of `found`."""

ON_A_GPU = ("gpu",)
"""Figures with a chart only for the machine with a GPU; other tests of this file check them."""


def test_every_figure_of_the_page_is_listed() -> None:
    """Check that each figure of the page is in `ON_BOTH` or `ON_A_GPU`, and so is tested."""
    page = Path(report.__file__).with_name("page.html.j2").read_text(encoding="utf-8")
    assert sorted(re.findall(r'data-figure="(\w+)"', page)) == sorted(ON_BOTH + ON_A_GPU)


def grid(watched: Watched, name: str) -> Locator:
    return watched.page.locator(f'[data-figure="{name}"]')


def table(figure: Locator) -> list[list[str]]:
    figure.locator("details summary").click()
    figure.locator("tbody tr").first.wait_for()
    rows = figure.locator("tbody tr").all()
    return [row.locator("th, td").all_inner_texts() for row in rows]


@pytest.mark.parametrize("name", ON_BOTH)
def test_every_figure_is_drawn_for_every_machine(watched: Watched, name: str) -> None:
    figures = grid(watched, name).locator("figure")
    assert figures.count() == 2
    for figure in figures.all():
        assert figure.locator("svg .mark, svg .line, svg .cell, svg .bar").count() > 1
        assert figure.locator("svg").get_attribute("role") == "img"
        assert figure.locator("svg").get_attribute("aria-label")
        assert table(figure)


@pytest.mark.parametrize("name", [name for name in ON_BOTH if name != "cost"])
def test_machines_have_common_axes(watched: Watched, name: str) -> None:
    ticks = [
        svg.locator(".axes text").all_text_contents()
        for svg in grid(watched, name).locator("svg").all()
    ]
    if name == "correctness":  # horizontal axis; the vertical axis has the backends
        ticks = [[text for text in one if text.startswith("10")] for one in ticks]
    assert ticks[0] == ticks[1]


def test_the_roof_is_the_measured_read(watched: Watched, found: list[Source]) -> None:
    (laptop, *_) = grid(watched, "roofline").locator("figure").all()
    assert "limit: reading once" in laptop.locator("svg .note").all_text_contents()
    roofs = laptop.locator("svg g:not([data-backend]) > .line").all()
    assert len(roofs) == 1
    # At the largest size, no backend is more than 10 % above the roofline.
    heights = laptop.evaluate(
        """figure => [...figure.querySelectorAll("g[data-backend]")].map(g =>
            Number(g.querySelectorAll(".mark")[g.querySelectorAll(".mark").length - 1]
                .getAttribute("transform").match(/,(.*)\\)/)[1]))"""
    )
    path = roofs[0].get_attribute("d") or ""
    roof = float(path.rsplit(",", 1)[1])
    assert all(height > roof - 8 for height in heights)
    shares = {row[0]: row[4] for row in table(laptop) if row[1] == "1e7"}
    for result in found[0].of_loss("squared_error"):
        if (result.rows, result.features) == (10_000_000, 1) and result.bandwidth_fraction:
            assert shares[result.backend] == f"{result.bandwidth_fraction:.0%}"


def test_from_where_the_gpu_pays(watched: Watched, found: list[Source]) -> None:
    models = found[1].models[Shape(1, "float32")]
    sides = [
        [m for m in models if ("@" in m.backend) is on_gpu and "gram" not in m.backend]
        for on_gpu in (True, False)
    ]
    figures = grid(watched, "gpu").locator("figure")
    assert figures.count() == 1  # the laptop has no GPU
    rows = table(figures.first)
    assert rows

    def number(text: str) -> float:
        return float(text.replace(",", ""))

    for row in rows:
        n, k = map(number, row)
        gpu, cpu = (min(m.total_s(n, 1.2 * k) for m in side) for side in sides)
        assert gpu < cpu
        if k > 2:
            gpu, cpu = (min(m.total_s(n, k / 1.2) for m in side) for side in sides)
            assert gpu > cpu


def test_a_button_takes_a_backend_out_of_all_figures(watched: Watched) -> None:
    page = watched.page
    torch = 'svg g[data-backend="torch"]'
    before = page.locator(torch).count()
    assert before >= 5  # roofline, scaling, convergence of two machines, and the totals
    page.locator('#scaling .legend button[data-backend="torch"]').click()
    assert page.locator(torch).count() == 0
    assert page.locator('svg g[data-backend="numpy"]').count() >= 5
    pressed = page.get_attribute('#roofline .legend [data-backend="torch"]', "aria-pressed")
    assert pressed == "false"
    assert "hide=torch" in page.url
    page.locator('#roofline .legend button[data-backend="torch"]').click()
    assert page.locator(torch).count() == before


def test_the_other_shapes_and_sizes_are_drawn(watched: Watched) -> None:
    page = watched.page

    def values(select: str) -> Any:
        return page.locator(f"{select} option").evaluate_all("all => all.map(o => o.value)")

    for key in values("#shape"):
        page.select_option("#shape", key)
        page.check("#convergence-setup")
        for select in ("#map-over", "#cost-rows", "#cost-iterations", "#convergence-rows"):
            if page.locator(select).is_visible():
                for value in values(select):
                    page.select_option(select, value)
        page.uncheck("#convergence-setup")
    assert watched.complaints == []
    page.select_option("#shape", "1 float32")
    ticks = grid(watched, "map").locator("svg").first.locator(".axes text").all_text_contents()
    assert {"1", "32"} <= set(ticks)  # numbers of features on the axis


def test_a_machine_that_lacks_a_shape_says_what_to_run(watched: Watched) -> None:
    watched.page.select_option("#shape", "1 float64")
    for name in ("roofline", "scaling", "map", "cost"):
        assert grid(watched, name).locator("figure").count() == 1
        (line,) = grid(watched, name).locator(".missing").all_inner_texts()
        assert re.search(r"Made-up Server.*descentbench run .*--features 1.*float64", line)


def test_no_curve_of_convergence_is_a_vertical_line(watched: Watched) -> None:
    page = watched.page
    widths = """() => [...document.querySelectorAll('[data-figure="convergence"] .line')]
        .map(line => line.getBBox().width)"""
    assert min(page.evaluate(widths)) > 40
    page.check("#convergence-setup")
    page.select_option("#convergence-rows", "10000")
    lines = page.evaluate(widths)
    note = grid(watched, "convergence").inner_text()
    assert all(width > 5 for width in lines)
    assert "Not drawn, because the setup takes nearly all of the time" in note


def test_without_a_gpu_there_is_a_line_and_no_frame(browser: Browser, tmp_path: Path) -> None:
    sizes = [(100, 1), (1000, 1)]
    two = [record(machine, sizes=sizes) for machine in (LAPTOP, SERVER)]
    write(tmp_path / "x.html", sources(Saved(Path(f"{i}"), r) for i, r in enumerate(two)))
    watched = Watched(browser, tmp_path / "x.html")
    assert grid(watched, "gpu").locator("figure").count() == 0
    assert "no GPU" in grid(watched, "gpu").inner_text()
    watched.page.close()
