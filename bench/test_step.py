"""The hot loop: seconds a step, once everything is compiled and in place.

The rows come in the order of the command line, so that the read of the same
bytes is measured among the backends it is the yardstick of.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from backends import Descent, open_backend
from bench.bandwidth import Reader
from bench.row import Row
from bench.verify import LEARNING_RATE, verify, verify_run

ROUND_SECONDS = 0.02
"""Steps are chosen so that a round is long against the call around it."""

FEWEST_ROUNDS, MOST_ROUNDS = 5, 30


def test_step(benchmark: BenchmarkFixture, row: Row, seconds: float) -> None:
    """Time `steps` steps a round, from another start each round."""
    problem = row.problem
    descent = open_backend(row.backend).place(problem, LEARNING_RATE)
    rng = np.random.default_rng(0)
    verify_run(problem, descent, rng.random(row.features), steps=3)

    steps, round_seconds = steps_per_round(descent, rng.random(row.features))
    rounds = int(np.clip(seconds / round_seconds, FEWEST_ROUNDS, MOST_ROUNDS))
    last: list[NDArray[np.float64]] = []

    def start() -> tuple[tuple[NDArray[np.float64]], dict[str, object]]:
        last[:] = [rng.random(row.features)]
        return (last[0],), {}

    w = benchmark.pedantic(
        lambda w0: descent.run(w0, steps), setup=start, rounds=rounds, warmup_rounds=1
    )
    benchmark.extra_info |= {
        "row": str(row),
        "kind": "step",
        "steps": steps,
        "relative_error": verify(problem, last[0], steps, w),
    }


def steps_per_round(descent: Descent, w: NDArray[np.float64]) -> tuple[int, float]:
    """Return how many steps fill a round, and the seconds they take."""
    steps = 1
    while True:
        began = time.perf_counter()  # chooses a count; nothing of it is reported
        descent.run(w, steps)
        taken = max(time.perf_counter() - began, 1e-7)
        if taken >= ROUND_SECONDS / 2:
            return steps, taken
        steps = int(steps * np.clip(ROUND_SECONDS / taken, 2, 100))


def test_read(
    benchmark: BenchmarkFixture, yardstick: Row, threads: int, seconds: float
) -> None:
    """Time reading the bytes of a step, all threads together."""
    reader = Reader(yardstick.bytes_per_step, threads)
    benchmark.pedantic(reader, rounds=max(FEWEST_ROUNDS, int(seconds / 0.02)), warmup_rounds=1)
    reader.close()
    benchmark.extra_info |= {
        "row": str(yardstick),
        "kind": "read",
        "steps": reader.passes,
        "bytes": reader.nbytes,
    }
