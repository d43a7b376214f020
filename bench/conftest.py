"""Define pytest's options and fixtures for the benchmarks, and choose the cases."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from backends import catalogue
from backends.errors import ProblemError
from backends.losses import SQUARED_ERROR, Loss
from backends.names import Name, libraries
from bench.host.files import write_atomically
from bench.host.machine import thread_pools
from bench.host.process import RUNNING, end_with_parent
from bench.host.threads import apply
from bench.measure.alternation import Alternation
from bench.measure.known_losses import register
from bench.measure.rounds import Sampling
from bench.results.case import BASELINES, NATIVE, READ, SQUARED, Case
from bench.show.groups import MISSING, grouped, title

THREADS = pytest.StashKey[int]()
FAILURES = pytest.StashKey[dict[str, str]]()
LOSS = pytest.StashKey[Loss]()

CASE_FIXTURES = ("case", "baseline", "native")

QUICK_SIZES = ((100, 1), (10_000, 1), (1_000_000, 1))
"""Default sizes, as pairs (rows, features). The data have 0.8 kB, 80 kB and 8 MB in float32."""

BEST = {"numpy": "blocked", "numba": "parallel", "torch": "analytic", "jax": "loop"}
"""The keys are libraries. For each library, two backends are measured by default: one without a
technique, such as ``numpy``, and one with the technique in the value, such as
``numpy:blocked``. Each technique compiles within a second."""

QUICK_TESTS = ("test_step", "test_place", "test_first_call")
"""Benchmarks that run by default. They time a step, the placing of the data in the backend's
layout, and the first step."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add options for users, and options that ``descentbench run`` needs."""
    group = parser.getgroup("descentbench")
    group.addoption(
        "--row",
        action="append",
        metavar="BACKEND/ROWSxFEATURES/DTYPE[/LOSS]",
        help="measure this case with every benchmark; repeat the option for several cases, "
        "measured in this order (default: two techniques of each library at a few sizes)",
    )
    group.addoption(
        "--all-backends",
        action="store_true",
        help="run every benchmark of every backend that can run here, at a few sizes",
    )
    group.addoption(
        "--loss",
        metavar="NAME|FILE.py:NAME",
        help="loss of the default cases; if a --row names a loss from a file, give the file "
        "with this option (default: squared_error)",
    )
    group.addoption("--threads", type=int, help="threads of each library (default: all CPUs)")
    group.addoption(
        "--seconds",
        type=float,
        default=0.2,
        help="sampling time of a case in seconds (default: %(default)s)",
    )
    group.addoption(
        "--alone",
        action="store_true",
        help="also measure the memory for more rows; later timings of this process are slower",
    )
    group.addoption("--failures", type=Path, help="write the failed cases here, as JSON")


def pytest_configure(config: pytest.Config) -> None:
    """Limit the number of threads before any optional library is imported."""
    end_with_parent()
    config.stash[FAILURES] = {}
    if config.getoption("benchmark_only"):
        config.stash[THREADS] = apply(config.getoption("threads"))
    try:
        config.stash[LOSS] = register(config.getoption("loss") or SQUARED)
    except ProblemError as error:
        raise pytest.UsageError(str(error)) from None


def is_child(config: pytest.Config) -> bool:
    """Return whether ``descentbench run`` started this process."""
    return config.getoption("failures") is not None


def cases_of(config: pytest.Config) -> list[Case]:
    """Return the cases that the user lists with ``--row``, or the default cases."""
    chosen = config.getoption("row")
    if chosen:
        return [Case.parse(text) for text in chosen]
    loss = config.stash[LOSS]
    there = catalogue.entries(loss=loss)
    here = [e.name for e in there if e.available and not e.name.distributed]
    if not config.getoption("all_backends"):
        names = [*map(str, filter(_quick, here))]
    else:
        baselines = BASELINES if loss == SQUARED_ERROR else (READ,)  # C has no other loss
        names = [*map(str, here), *baselines]
    return [Case(b, n, d, "float32", loss.name) for b in names for n, d in QUICK_SIZES]


def _quick(name: Name) -> bool:
    """Return whether a backend is measured by default.

    True for a name without a technique, such as ``numpy``; for a technique in `BEST`; and for
    every backend of a plug-in.
    """
    return name.technique in ("", BEST.get(name.library, name.technique))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each benchmark the cases that it measures.

    Most benchmarks measure backends. `test_read` times reads of the data without arithmetic,
    and `test_native` measures a descent in C.
    """
    for fixture in CASE_FIXTURES:
        if fixture in metafunc.fixturenames:
            cases = [c for c in cases_of(metafunc.config) if _fixture(c) == fixture]
            metafunc.parametrize(fixture, cases, ids=str, scope="module")


def _fixture(case: Case) -> str:
    return {READ: "baseline", NATIVE: "native"}.get(case.backend, "case")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort the benchmarks, and keep only the benchmarks in `QUICK_TESTS` by default.

    The cases that the user lists with ``--row`` stay in the user's order. Other cases are
    sorted by library, so that the threads of one library rest while another library is
    measured.
    """
    here = [item for item in items if item.path.parent == Path(__file__).parent]
    if len(here) < len(items):
        return
    cases = cases_of(config)
    places = {case: place for place, case in enumerate(cases)}
    if config.getoption("row"):
        items.sort(key=lambda item: (item.path, places.get(_case(item), len(cases))))
        return
    if not config.getoption("all_backends"):
        items[:] = [item for item in items if _function(item) in QUICK_TESTS]
    order = [*libraries(), *BASELINES]
    items.sort(key=lambda i: (order.index(_library(_case(i))), i.path, places[_case(i)]))


def _library(case: Case) -> str:
    return case.backend if case.backend in BASELINES else case.library


def _function(item: pytest.Item) -> str:
    return item.name.partition("[")[0]


def _case(item: pytest.Item) -> Case:
    params: dict[str, Case] = item.callspec.params  # type: ignore[attr-defined]
    return next(params[fixture] for fixture in CASE_FIXTURES if fixture in params)


@pytest.fixture(scope="session")
def sampling(pytestconfig: pytest.Config) -> Sampling:
    """Return the settings of the timings.

    If this process and another process measure alternately, the fixture waits until this
    process is allowed to measure.
    """
    return Sampling(
        pytestconfig.stash[THREADS],
        float(pytestconfig.getoption("seconds")),
        by_step=not is_child(pytestconfig),
        alternation=Alternation.of(),
    )


@pytest.fixture(autouse=True)
def described(
    request: pytest.FixtureRequest, benchmark: BenchmarkFixture, sampling: Sampling
) -> Iterator[None]:
    """Name the group of a benchmark, and add the fields of its case to the JSON output."""
    if is_child(request.config):
        yield
        return
    case, info = _case(request.node), benchmark.extra_info
    benchmark.group = title(_function(request.node), *case.data)
    yield
    name = None if case.backend in BASELINES else Name.parse(case.backend)
    gb_per_s = None
    if info.get("kind") == "step" and case.reads_rows and benchmark.stats is not None:
        gb_per_s = case.bytes_per_step / benchmark.stats.stats.median / 1e9
    info |= {
        "backend": case.backend,
        "library": name.library if name else None,
        "technique": name.technique if name else None,
        "device": case.device,
        "rows": case.rows,
        "features": case.features,
        "dtype": case.dtype,
        "loss": case.loss,
        "threads": sampling.threads,
        "steps": info.get("steps", 0),
        "verified": "relative_error" in info,
        "relative_error": info.get("relative_error"),
        "gb_per_s": gb_per_s,
    }


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Write the name of the benchmark case to a file.

    If this process dies, its parent process reads there which case was running.
    """
    path = item.config.getoption("failures")
    if path:
        path.with_name(RUNNING).write_text(str(_case(item)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """If a case fails, store the first line of the error in pytest's configuration."""
    report = yield
    if call.excinfo is not None and report.failed:
        reason = call.excinfo.exconly(tryshort=True).strip().splitlines()[0]
        item.config.stash[FAILURES].setdefault(str(_case(item)), reason)
    return report


@pytest.hookimpl(trylast=True)  # the file tells the parent that the child is finished
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write all failures to the file that ``--failures`` names."""
    path = session.config.getoption("failures")
    if path:
        write_atomically(path, json.dumps(session.config.stash[FAILURES]))


@pytest.hookimpl(tryfirst=True)
def pytest_benchmark_group_stats(
    config: pytest.Config, benchmarks: list[dict[str, Any]], group_by: str
) -> list[tuple[str, list[dict[str, Any]]]] | None:
    """Group the table by benchmark and size, unless ``--benchmark-group-by`` is given."""
    if group_by != "group" or is_child(config):
        return None
    failed = [*config.stash[FAILURES]]
    return grouped(benchmarks, failed)


@pytest.hookimpl(tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print lines above the table: what the times mean, and which times are missing."""
    if config.getoption("benchmark_only") and not is_child(config):
        terminalreporter.ensure_newline()
        for line in ("", *MISSING):
            terminalreporter.write_line(line)


@pytest.hookimpl(tryfirst=True)
def pytest_benchmark_generate_machine_info(config: pytest.Config) -> dict[str, Any] | None:
    """Leave out the description of the machine if ``descentbench run`` started this process.

    The description takes 0.2 s, and ``descentbench run`` has it already.
    """
    return {} if is_child(config) else None


def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, Any]
) -> None:
    """Add the number of threads and the thread pools to the machine's description."""
    machine_info["threads"] = config.stash[THREADS]
    machine_info["thread_pools"] = thread_pools()
