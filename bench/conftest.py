"""Options, rows and fixtures of the benchmarks."""

from __future__ import annotations

import json
import random
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from backends import catalogue
from bench.host.files import write_atomically
from bench.host.machine import thread_pools
from bench.host.process import RUNNING, end_with_parent
from bench.host.threads import apply
from bench.measure.alternation import Alternation
from bench.results.case import BASELINES, NATIVE, READ, Case

THREADS = pytest.StashKey[int]()
FAILURES = pytest.StashKey[dict[str, str]]()

ROW_FIXTURES = ("row", "yardstick", "native")

QUICK_SIZES = ((100, 1), (10_000, 1), (1_000_000, 1))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what ``descentbench run`` tells its children."""
    group = parser.getgroup("descentbench")
    group.addoption(
        "--row",
        action="append",
        metavar="BACKEND/ROWSxFEATURES/DTYPE",
        help="measure this row; may be given often, and is measured in that order "
        "(default: every backend that runs here at a few sizes)",
    )
    group.addoption("--threads", type=int, help="threads for every library (default: all CPUs)")
    group.addoption(
        "--seconds", type=float, default=0.2, help="sampling time a row (default: %(default)s)"
    )
    group.addoption(
        "--alone",
        action="store_true",
        help="nothing is timed in this process after its row: measure the memory of more rows",
    )
    group.addoption("--failures", type=Path, help="write the rows that failed here, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Bound the threads before any optional library is imported."""
    end_with_parent()
    config.stash[FAILURES] = {}
    if config.getoption("benchmark_only"):
        config.stash[THREADS] = apply(config.getoption("threads"))


def rows_of(config: pytest.Config) -> list[Case]:
    """Return the rows to measure, in the order of the command line."""
    chosen = config.getoption("row")
    if chosen:
        return [Case.parse(text) for text in chosen]
    here = [e.name for e in catalogue.entries() if e.available and not e.name.distributed]
    names = list(map(str, here))
    rows = [Case(b, n, d, "float32") for n, d in QUICK_SIZES for b in [*names, *BASELINES]]
    random.Random(0).shuffle(rows)
    return rows


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give every test the rows of its kind: `row` is a backend, the others are yardsticks."""
    for fixture in ROW_FIXTURES:
        if fixture in metafunc.fixturenames:
            rows = [row for row in rows_of(metafunc.config) if _fixture(row) == fixture]
            metafunc.parametrize(fixture, rows, ids=str, scope="module")


def _fixture(row: Case) -> str:
    return {READ: "yardstick", NATIVE: "native"}.get(row.backend, "row")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the order of the rows across test functions: the yardstick among its backends."""
    rows = rows_of(config)

    here = [item for item in items if item.path.parent == Path(__file__).parent]
    if len(here) == len(items):
        items.sort(key=lambda item: (item.path, _position(item, rows)))


def _position(item: pytest.Item, rows: list[Case]) -> int:
    row = _row(item)
    return rows.index(row) if row in rows else len(rows)  # a test that got no row is skipped


def _row(item: pytest.Item) -> Case:
    params: dict[str, Case] = item.callspec.params  # type: ignore[attr-defined]
    return next(params[fixture] for fixture in ROW_FIXTURES if fixture in params)


@pytest.fixture(scope="session")
def threads(pytestconfig: pytest.Config) -> int:
    """Threads that every library may use."""
    return pytestconfig.stash[THREADS]


@pytest.fixture(scope="session")
def seconds(pytestconfig: pytest.Config) -> float:
    """Sampling time a row."""
    return float(pytestconfig.getoption("seconds"))


@pytest.fixture(scope="session")
def turns() -> Alternation:
    """Who else measures these rows now; where we are second, our turn has come."""
    return Alternation.of()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Say which row comes next, to be found where this process dies of it."""
    path = item.config.getoption("failures")
    if path:
        path.with_name(RUNNING).write_text(str(_row(item)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember why a row failed, in one line."""
    report = yield
    if call.excinfo is not None and report.failed:
        reason = call.excinfo.exconly(tryshort=True).strip().splitlines()[0]
        item.config.stash[FAILURES].setdefault(str(_row(item)), reason)
    return report


@pytest.hookimpl(trylast=True)  # after the timings are saved: a child that has this is done
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the failures where the parent asked for them."""
    path = session.config.getoption("failures")
    if path:
        write_atomically(path, json.dumps(session.config.stash[FAILURES]))


def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, Any]
) -> None:
    """Record the thread pools that the libraries really started."""
    machine_info["threads"] = config.stash[THREADS]
    machine_info["thread_pools"] = thread_pools()
