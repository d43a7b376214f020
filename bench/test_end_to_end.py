"""Time a whole descent, from arrays to w.

The time is given in seconds, and as a multiple of the time to read the data once. Most backends
read the rows in every step and take 100 steps. `gram` techniques read the rows only once and
take 1000 steps.
"""

from __future__ import annotations

from statistics import median

import numpy as np
from pytest_benchmark.fixture import BenchmarkFixture

from backends import open_backend
from backends.errors import Weights
from backends.losses import SQUARED_ERROR
from backends.names import Name
from bench.measure.bandwidth import Reader
from bench.measure.opened import synthetic
from bench.measure.rounds import Sampling
from bench.measure.verify import slow_rate, usual_rate, verify
from bench.results.case import SMALLEST_BYTES, Case

LOOP_STEPS, GRAM_STEPS = 100, 1000
"""Number of steps of a backend that reads the rows in each step, and of a `gram` technique,
which reads the rows once."""

ROUNDS = 5
"""Number of descents that are timed for each case."""


def test_end_to_end(benchmark: BenchmarkFixture, case: Case, sampling: Sampling) -> None:
    """Time placing the data and all steps. Imports and compiling are not included."""
    problem = synthetic(case)
    backend = open_backend(case.backend)
    name = Name.parse(case.backend)
    steps = GRAM_STEPS if name.least_squares_only else LOOP_STEPS
    squared = problem.loss == SQUARED_ERROR
    rate = usual_rate(problem) if squared else slow_rate(problem, steps)
    w0 = np.zeros(case.features)
    reader = Reader.of(problem, sampling.threads)
    reads: list[float] = []

    def read() -> None:  # before each descent, so that a disturbance affects both
        reads.append(case.bytes_per_step / reader.bytes_per_s())

    def descend() -> Weights:
        return backend.place(problem, rate).run(w0, steps)

    verify(problem, w0, steps, descend(), rate)
    w = benchmark.pedantic(descend, setup=read, rounds=ROUNDS)
    reader.close()
    benchmark.extra_info |= {
        "row": str(case),
        "kind": "end_to_end",
        "steps": steps,
        "relative_error": verify(problem, w0, steps, w, rate),
    }
    # A GPU has its own memory, and latency limits a read of few bytes.
    held_to_reads = name.device == "cpu" and case.bytes_per_step >= SMALLEST_BYTES
    if held_to_reads and benchmark.stats is not None:
        passes = benchmark.stats.stats.median / median(reads)
        benchmark.extra_info["passes"] = round(passes, 2)
