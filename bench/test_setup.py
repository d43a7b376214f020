"""Time the parts of the setup, such as the import, placing the data and the first call.

Each benchmark calls its function once, because a second call would find the code compiled.
``descentbench run`` starts a new process for each setup, so that the import is timed, too.
`test_more_rows` measures memory instead of time; it runs only with the option ``--alone``.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from backends import Descent, names
from backends.problem import Problem, step_bytes
from backends.rows.streamed import SourceBackend
from backends.synthetic import generate
from bench.host.memory import (
    keep_no_blocks,
    peak_rss_bytes,
    provide,
    settle,
    workers_peak_bytes,
)
from bench.measure.known_losses import named
from bench.measure.opened import data_of, open_case
from bench.measure.verify import LEARNING_RATE, start_scale, usual_rate, verify
from bench.results.case import Case

MORE_BYTES = 1 << 25
"""Size in bytes of the data of `test_more_rows`: 32 MiB, so that other changes in the use of
memory are small in comparison."""

SMALL = 0.01
"""Value of all weights at the start of `test_more_rows`. It is so small that no loss
overflows."""

PROVIDED = 3
"""Amount of memory to touch before a backend places the data, as a multiple of the data's size.
On a virtual machine, memory is slow when it is used for the first time."""


@dataclass
class Stage:
    """Backend and descent of a case, passed from one benchmark to the next."""

    backend: SourceBackend | None = None
    descent: Descent | None = None


@pytest.fixture(scope="module")
def stage(case: Case) -> Stage:  # noqa: ARG001 each case has a new fixture
    """Return an empty `Stage` for each case; all benchmarks of the case share it."""
    return Stage()


def test_import(benchmark: BenchmarkFixture, case: Case) -> None:
    """Time the import of the library that the backend uses."""
    library = names.libraries()[names.Name.parse(case.backend).library]
    if library.imports in sys.modules:
        pytest.skip(f"{library.imports} is imported already in this process")
    benchmark.pedantic(importlib.import_module, (library.imports,), rounds=1)
    benchmark.extra_info |= {"row": str(case), "kind": "import"}


def test_place(benchmark: BenchmarkFixture, case: Case, stage: Stage) -> None:
    """Measure the time to open the device and to place the data in the technique's layout."""
    problem = data_of(case)
    rate = usual_rate(problem)
    if isinstance(problem, Problem):  # otherwise the rows are streamed
        provide(PROVIDED * case.bytes_per_step)

    def place() -> None:
        stage.backend = open_case(case)
        stage.descent = stage.backend.place(problem, rate)

    benchmark.pedantic(place, rounds=1)
    benchmark.extra_info |= {"row": str(case), "kind": "place"}


def test_first_call(benchmark: BenchmarkFixture, case: Case, stage: Stage) -> None:
    """Time the first step, in which most libraries compile code; record the memory used."""
    if stage.backend is None or stage.descent is None:
        pytest.fail("the data were not placed")
    problem = data_of(case)
    w0 = start_scale(problem) * np.ones(case.features)
    w = benchmark.pedantic(stage.descent.run, (w0, 1), rounds=1)
    # The peak is read before w is checked, because the reference needs memory, too.
    distributed = names.Name.parse(case.backend).distributed
    memory = {
        "peak_bytes": peak_rss_bytes() + (workers_peak_bytes() if distributed else 0),
        "peak_device_bytes": stage.backend.peak_device_bytes(),
    }
    error = verify(problem, w0, 1, w)
    benchmark.extra_info |= {
        "row": str(case),
        "kind": "first_call",
        "relative_error": error,
        **memory,
    }


def test_new_shape(benchmark: BenchmarkFixture, case: Case, stage: Stage) -> None:
    """Measure the time to place all rows except the last, and to take a step over them.

    Some libraries compile again, because the number of rows is new.
    """
    if stage.backend is None or stage.descent is None:
        pytest.fail("the data were not placed")
    whole = data_of(case)
    if case.rows == 1 or not isinstance(whole, Problem):
        pytest.skip("there is no smaller shape, or all blocks have the same shape")
    backend, stage.descent = stage.backend, None
    problem = Problem(whole.x[:-1], whole.y[:-1], known_finite=True, loss=whole.loss)
    rate, w0 = usual_rate(problem), start_scale(problem) * np.ones(case.features)
    w = benchmark.pedantic(lambda: backend.place(problem, rate).run(w0, 1), rounds=1)
    benchmark.extra_info |= {
        "row": str(case),
        "kind": "new_shape",
        "relative_error": verify(problem, w0, 1, w),
    }


def test_more_rows(
    benchmark: BenchmarkFixture, case: Case, stage: Stage, pytestconfig: pytest.Config
) -> None:
    """Record how much memory a backend adds to place new data and take a step.

    The backend does so twice. Only the second time is measured, because the first time also
    loads code and starts threads. This benchmark must be the last of its process, because
    `keep_no_blocks` makes later allocations slower.
    """
    if not pytestconfig.getoption("alone"):
        pytest.skip("changes the allocator for later timings; --alone allows it")
    if stage.backend is None:
        pytest.fail("the data were not placed")
    name = names.Name.parse(case.backend)
    if name.distributed or not isinstance(data_of(case), Problem):
        pytest.skip("this process does not hold the rows: workers do, or they are streamed")
    backend, stage.backend, stage.descent = stage.backend, None, None
    rows = max(1, MORE_BYTES // step_bytes(1, case.features, case.dtype))
    problem = generate(rows, case.features, case.dtype, loss=named(case.loss))
    w0 = np.full(case.features, SMALL)
    keep_no_blocks()
    backend.place(problem, LEARNING_RATE).run(w0, 1)
    held = settle()
    benchmark.pedantic(lambda: backend.place(problem, LEARNING_RATE).run(w0, 1), rounds=1)
    benchmark.extra_info |= {"row": str(case), "kind": "more_rows", "more_rows": rows}
    if held is not None and backend.peak_device_bytes() is None:
        benchmark.extra_info["added_bytes"] = max(0, peak_rss_bytes() - held)
