"""The hot loop: seconds a step, once everything is compiled and in place.

The rows come in the order of the command line, so that the yardsticks are
measured among the backends that they are held against.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from backends.errors import Weights
from backends.problem import Problem
from backends.rows.source import Source
from bench.host.memory import settle
from bench.host.waiting import Waiting, warm_up
from bench.measure.alternation import Alternation, start_on
from bench.measure.bandwidth import IN_PLACE_BYTES, Reader
from bench.measure.device import DeviceReader
from bench.measure.native import Kernel, NativeError
from bench.measure.opened import data_of, open_case, synthetic
from bench.measure.verify import LEARNING_RATE, slow_rate, usual_rate, verify
from bench.results.case import Case

Run = Callable[[Weights, int], Weights]

ROUND_SECONDS = 0.02
"""Steps are chosen so that a round is long against the call around it."""

MOST_STEPS = 10**9
"""Of a round: as many as 20 ps a step would take; whoever is faster does not work."""

FEWEST_ROUNDS, MOST_ROUNDS = 5, 30

WARMING = 5
"""A turn begins with a fifth of a round, untimed: the other left its data in the caches."""


def test_step(
    benchmark: BenchmarkFixture, row: Case, threads: int, seconds: float, turns: Alternation
) -> None:
    """Time a backend."""
    backend, problem = open_case(row), data_of(row)
    pace = Pace.of(backend.place(problem, usual_rate(problem)).run, problem)
    settle()  # so that it takes new memory, as in a fresh process
    began = time.perf_counter()
    descent = backend.place(problem, slow_rate(problem, pace.steps))
    benchmark.extra_info["place_again_s"] = time.perf_counter() - began  # for the cost model
    reader = beside(problem, threads, row) if turns.alone else None
    time_steps(benchmark, row, descent.run, pace, seconds, turns, reader)


def test_native(
    benchmark: BenchmarkFixture, native: Case, threads: int, seconds: float, turns: Alternation
) -> None:
    """Time the same descent in C."""
    problem = synthetic(native)
    try:
        pace = Pace.of(Kernel(problem, LEARNING_RATE, threads).run, problem)
        kernel = Kernel(problem, slow_rate(problem, pace.steps), threads)
    except NativeError as error:
        pytest.skip(str(error))
    reader = beside(problem, threads, native) if turns.alone else None
    time_steps(benchmark, native, kernel.run, pace, seconds, turns, reader)


def beside(problem: Problem | Source, threads: int, row: Case) -> Reader | DeviceReader | None:
    """Return what reads the data themselves before a round, if they are in memory and many.

    Then a step and what it is held against find the machine in one state. On a device that
    is as many bytes of its own memory.
    """
    if not isinstance(problem, Problem) or problem.bytes_per_step < IN_PLACE_BYTES:
        return None
    if row.device == "cpu":
        return Reader.of(problem, threads)
    return DeviceReader.of(row.library, row.device, problem.bytes_per_step)


@dataclass(frozen=True)
class Pace:
    """How many steps fill a round, and the seconds they take."""

    steps: int
    seconds: float

    @classmethod
    def of(cls, run: Run, problem: Problem | Source) -> Pace:
        """Try a descent at `usual_rate`: it compiles, and is wrong or right."""
        start = np.random.default_rng(1).random(problem.features)
        verify(problem, start, 3, run(start, 3))
        warm_up(lambda: run(start, 1))

        def taken(steps: int) -> float:
            began = time.perf_counter()  # chooses a count; nothing of it is reported
            run(start, steps)
            return max(time.perf_counter() - began, 1e-7)

        steps = 1
        while True:
            seconds = taken(steps)
            if seconds >= ROUND_SECONDS / 2:
                seconds = min(seconds, taken(steps))  # after a hiccup, a single step would do
            if seconds >= ROUND_SECONDS / 2 or steps >= MOST_STEPS:
                return cls(steps, seconds)
            steps = int(steps * np.clip(ROUND_SECONDS / seconds, 2, 100))


def processors_used(work: Callable[[], object]) -> float:
    """Return how many processors were busy with it, on average."""
    began, busy = time.perf_counter(), time.process_time()
    work()
    return (time.process_time() - busy) / (time.perf_counter() - began)


def time_steps(
    benchmark: BenchmarkFixture,
    row: Case,
    run: Run,
    pace: Pace,
    seconds: float,
    turns: Alternation,
    reader: Reader | DeviceReader | None,
) -> None:
    """Time rounds of steps at `slow_rate`, each from another start; the last must be right."""
    problem = data_of(row)
    rng = np.random.default_rng(0)
    start = rng.random(row.features)
    rounds = int(np.clip(seconds / pace.seconds, FEWEST_ROUNDS, MOST_ROUNDS))
    warm_up(lambda: run(start, pace.steps))
    steps, rounds = turns.agree(str(row), pace.steps, rounds)
    in_turn = not turns.alone
    on_one = in_turn and processors_used(lambda: run(start, steps)) < 1.5
    begun: list[Weights] = []
    read_rates: list[float] = []

    def another() -> tuple[tuple[Weights], dict[str, object]]:
        if in_turn:
            if begun:
                turns.next()
            if on_one:
                start_on(len(begun))
            warm_up(lambda: run(start, -(-steps // WARMING)))
        if reader and len(read_rates) < FEWEST_ROUNDS:
            read_rates.append(reader.bytes_per_s())
        begun.append(rng.random(row.features))
        return (begun[-1],), {}

    waiting = Waiting()
    w = benchmark.pedantic(lambda w0: run(w0, steps), setup=another, rounds=rounds)
    rate = slow_rate(problem, pace.steps)
    benchmark.extra_info |= {
        "row": str(row),
        "kind": "step",
        "steps": steps,
        "in_turn": in_turn,
        "waiting": waiting.share(),
        "relative_error": verify(problem, begun[-1], steps, w, rate),
    }
    if reader:
        reader.close()
        benchmark.extra_info["read_bytes_per_s"] = read_rates  # before the first rounds


@pytest.mark.usefixtures("turns")
def test_read(
    benchmark: BenchmarkFixture, yardstick: Case, threads: int, seconds: float
) -> None:
    """Time reading the bytes of a step, all threads together."""
    data = data_of(yardstick)
    if isinstance(data, Problem):
        reader = Reader.of(data, threads)
    else:  # a file's rows, which each backend has in other places
        reader = Reader.of_bytes(yardstick.bytes_per_step, threads)
    warm_up(reader)
    waiting = Waiting()
    benchmark.pedantic(reader, rounds=max(FEWEST_ROUNDS, int(seconds / 0.02)))
    benchmark.extra_info |= {
        "row": str(yardstick),
        "kind": "read",
        "steps": reader.passes,
        "bytes": reader.nbytes,
        "waiting": waiting.share(),
    }
    reader.close()
