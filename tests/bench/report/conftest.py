from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.report.page import write
from bench.report.sources import Source, sources
from bench.results.saved import Saved
from tests.support.browser import CHROMIUM, FLAGS, Watched
from tests.support.records import COSTS, LAPTOP, SERVER, record, with_read_curve

if TYPE_CHECKING:
    from playwright.sync_api import Browser

GPU_COSTS = {
    "torch:analytic@cuda:0": (1.0, 0.5, 0.05, 5e-6, 3e-13),
    "jax:loop@cuda:0": (0.5, 0.4, 0.3, 4e-6, 3.2e-13),
}

LOG_LOSS_COSTS = {
    "numpy": (0.0, 1e-3, 1e-4, 8e-6, 1.1e-9),
    "numpy:blocked": (0.0, 2e-3, 1e-4, 2e-5, 2e-10),
    "numba:parallel": (0.2, 5e-3, 2.5, 2e-6, 2e-11),
    "jax:loop": (0.5, 1e-2, 0.1, 1e-6, 5.5e-10),
}
"""Backend → costs with log_loss; the ranking differs from squared error."""


@pytest.fixture(scope="package")
def found() -> list[Source]:
    """Results of a laptop (float32, float64 and log_loss) and of a server with a GPU."""
    gpu = {"name": "Made-up GPU", "memory_bytes": 80 * 10**9, "driver": "1"}
    server = SERVER | {"caches": {"L3": 64 << 20}, "gpus": [gpu]}
    records = [
        record(LAPTOP, seed=1),
        record(LAPTOP, seed=2, dtype="float64", sizes=[(100, 1), (1_000_000, 1)]),
        record(LAPTOP, seed=4, loss="log_loss", costs=LOG_LOSS_COSTS),
        with_read_curve(
            record(
                server, seed=3, costs=COSTS | GPU_COSTS, created="2026-11-19T10:00:00.000+00:00"
            )
        ),
    ]
    return sources(Saved(Path(f"{i}.json"), r) for i, r in enumerate(records))


@pytest.fixture(scope="package")
def path(found: list[Source], tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("jinja2")
    path = tmp_path_factory.mktemp("page") / "report.html"
    write(path, found)
    return path


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    api = pytest.importorskip(
        "playwright.sync_api", reason="needs playwright: pip install playwright"
    )
    if CHROMIUM is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def watched(browser: Browser, path: Path) -> Iterator[Watched]:
    watched = Watched(browser, path)
    yield watched
    watched.page.close()
