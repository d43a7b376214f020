"""Test that the page is accessible: axe-core, keyboard, and print."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.report.page import write
from bench.report.sources import sources
from bench.results.saved import Saved
from tests.support.browser import DESKTOP, PHONE, Watched
from tests.support.records import COSTS, LAPTOP, record

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PAGES = 6


@pytest.fixture(scope="module")
def axe() -> str:
    pytest.importorskip(
        "axe_playwright_python", reason="needs axe-core: pip install axe-playwright-python"
    )
    return (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small page with every kind of element, because axe-core checks every element."""
    gpu = {"name": "Made-up GPU", "memory_bytes": 80 * 10**9, "driver": "1"}
    costs = {b: COSTS[b] for b in ("numpy", "torch", "numpy:gram")}
    costs["torch@cuda:0"] = (1.0, 0.5, 0.05, 5e-6, 3e-13)
    made = [
        record(LAPTOP, sizes=[(100, 1)], failed={"torch/100x1/float32": "wrong w"}),
        record(LAPTOP | {"gpus": [gpu]}, sizes=[(100, 1), (1_000_000, 1)], costs=costs),
        record(LAPTOP | {"gpus": [gpu]}, sizes=[(100, 1)], costs=costs, dtype="float64"),
    ]
    path = tmp_path_factory.mktemp("few") / "report.html"
    write(path, sources(Saved(Path(f"{i}.json"), r) for i, r in enumerate(made)))
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_axe_finds_no_violation(
    browser: Browser, few: Path, axe: str, scheme: str, size: dict[str, int]
) -> None:
    watched = Watched(browser, few, viewport=size, color_scheme=scheme)
    watched.page.evaluate(
        "document.querySelectorAll('details').forEach(d => { d.open = true; })"
    )
    watched.page.wait_for_selector("#results tbody tr")
    watched.page.evaluate(axe)
    found = watched.page.evaluate("axe.run()")
    watched.page.close()
    assert found["passes"]
    assert [(v["id"], v["nodes"][0]["html"]) for v in found["violations"]] == []


def test_the_keyboard_reaches_every_control(watched: Watched) -> None:
    page = watched.page
    wanted = page.evaluate(
        """() => {
            const controls = [...document.querySelectorAll("a, button, input, select, summary")]
                .filter(node => node.checkVisibility());
            controls.forEach((node, i) => { node.dataset.control = i; });
            return controls.length;
        }"""
    )
    reached = set()
    for _ in range(2 * wanted):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.dataset.control ?? null"))
    assert {str(i) for i in range(wanted)} <= reached


def test_a_button_of_the_legend_keeps_the_focus(watched: Watched) -> None:
    page = watched.page
    page.focus('#scaling .legend [data-backend="torch"]')
    page.keyboard.press("Enter")
    focused = "document.activeElement.dataset.backend + document.activeElement.ariaPressed"
    assert page.evaluate(focused) == "torchfalse"
    page.keyboard.press("Enter")
    assert page.evaluate(focused) == "torchtrue"


def test_lines_and_marks_stand_out_from_the_paper(browser: Browser, path: Path) -> None:
    """Check that graphics have a contrast of at least 3:1, as WCAG 1.4.11 requires."""
    ratio = """() => {
        const light = text => {
            const [r, g, b] = text.match(/[\\d.]+/g).map(v => v / 255)
                .map(v => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const paper = light(getComputedStyle(document.body).backgroundColor);
        return [...document.querySelectorAll(".mark, .line, .bar")].map(node => {
            const style = getComputedStyle(node);
            const own = light(style.stroke === "none" ? style.fill : style.stroke);
            return (Math.max(own, paper) + 0.05) / (Math.min(own, paper) + 0.05);
        });
    }"""
    for scheme in ("light", "dark"):
        watched = Watched(browser, path, color_scheme=scheme)
        assert min(watched.page.evaluate(ratio)) >= 3
        watched.page.close()


def test_it_prints_on_few_pages(watched: Watched) -> None:
    pdf = watched.page.pdf(format="A4")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= PAGES
