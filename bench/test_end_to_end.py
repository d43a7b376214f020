"""End to end: raw arrays in, w after the tutorial's hundred steps out."""

from __future__ import annotations

import numpy as np
from pytest_benchmark.fixture import BenchmarkFixture

from backends import open_backend
from backends.interface import Weights
from bench.row import Row
from bench.verify import LEARNING_RATE, verify

STEPS = 100


def test_end_to_end(benchmark: BenchmarkFixture, row: Row) -> None:
    """Place and descend; the library is imported and has compiled."""
    problem = row.problem
    backend = open_backend(row.backend)
    w0 = np.zeros(row.features)

    def descend() -> Weights:
        return backend.place(problem, LEARNING_RATE).run(w0, STEPS)

    verify(problem, w0, STEPS, descend())
    w = benchmark.pedantic(descend, rounds=3)
    benchmark.extra_info |= {
        "row": str(row),
        "kind": "end_to_end",
        "steps": STEPS,
        "relative_error": verify(problem, w0, STEPS, w),
    }
