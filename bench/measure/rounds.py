"""Measure the time of rounds. A round is one timed call that takes many steps.

Before the first round, the number of steps is chosen so that a round takes `ROUND_SECONDS`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from backends.errors import Weights
from backends.problem import Problem
from backends.rows.source import Source
from bench.host.waiting import Waiting, warm_up
from bench.measure.alternation import Alternation, start_on
from bench.measure.bandwidth import Reader
from bench.measure.device import DeviceReader
from bench.measure.opened import data_of
from bench.measure.verify import most_steps, slow_rate, start_scale, verify
from bench.results.case import Case

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

Run = Callable[[Weights, int], Weights]
"""A function ``run(w, steps)`` that takes `steps` steps from w and returns the new w."""

ROUND_SECONDS = 0.02
"""Duration of a round in seconds: 20 ms, long compared with the overhead of a call."""

MOST_STEPS = 10**9
"""Largest number of steps in a round for squared error: 10⁹. See `most_steps` for other losses.

No backend reaches this limit, because 10⁹ steps take longer than `ROUND_SECONDS`.
"""

MOST_READS = 15
"""Largest number of plain reads of the data that are timed for a case, each before a round.

The throughput of a round is divided by the throughput of the read before the round. The median
of several such ratios is used, because other programs can slow a read or a round.
"""

FEWEST_ROUNDS, MOST_ROUNDS = 5, 30
"""Smallest and largest number of rounds that are timed for a case in one process."""

WARMING = 5
"""Number of steps in a round ÷ number of steps in the untimed warm-up before the round.

This warm-up is needed if two processes measure alternately: it refills the caches, which still
hold the other process's data.
"""


class StepTimer:
    """A timer for pytest-benchmark that divides the time of a round by its number of steps.

    Attributes
    ----------
    steps : int
        Number of steps in the timed round.
    """

    def __init__(self) -> None:
        self.steps = 1

    def __call__(self) -> float:
        """Return the clock's time divided by `steps`, in seconds.

        The difference between the results of two calls is the time of one step.
        """
        return time.perf_counter() / self.steps

    def __str__(self) -> str:
        return "seconds per step"


TIMER = StepTimer()
"""The timer with which pytest-benchmark times steps in this process."""


@dataclass(frozen=True)
class Sampling:
    """Settings for sampling the cases of this process.

    Attributes
    ----------
    threads : int
        Threads that each library may use.
    seconds : float
        Sampling time of a case in seconds.
    by_step : bool
        Whether the times that pytest-benchmark receives are seconds per step. If False, the
        times are seconds per round, as ``descentbench run`` needs them.
    alternation : Alternation
        Connection to another process that measures the same cases, for measuring in alternating
        rounds. By default, this process measures alone.
    """

    threads: int
    seconds: float
    by_step: bool
    alternation: Alternation = field(default_factory=Alternation)

    def count(self, steps: int) -> dict[str, object]:
        """Set the timer for rounds of `steps` steps; return two fields for the result file.

        The fields are the number of steps, and whether times are per step or per round.
        """
        TIMER.steps = steps if self.by_step else 1
        return {"steps": steps, "seconds_of": "step" if self.by_step else "round"}


@dataclass(frozen=True)
class Round:
    """How many steps each round takes, and how long a round lasts in seconds."""

    steps: int
    seconds: float

    @classmethod
    def of(cls, run: Run, problem: Problem | Source) -> Round:
        """Check that `run` is correct, then find how many steps take about `ROUND_SECONDS`.

        The w after three steps is compared with a reference. `run` must use the learning rate
        `usual_rate`. If the correct w is slow to compute, the round has fewer steps.
        """
        start = start_scale(problem) * np.random.default_rng(1).random(problem.features)
        most = most_steps(problem) or MOST_STEPS
        verify(problem, start, 3, run(start, 3))
        warm_up(lambda: run(start, 1))

        def taken(steps: int) -> float:
            began = time.perf_counter()  # this time only chooses the number of steps
            run(start, steps)
            return max(time.perf_counter() - began, 1e-7)

        steps = 1
        while True:
            seconds = taken(steps)
            if seconds >= ROUND_SECONDS / 2:
                seconds = min(seconds, taken(steps))  # if the first time was disturbed
            if seconds >= ROUND_SECONDS / 2 or steps >= most:
                return cls(steps, seconds)
            steps = int(steps * np.clip(ROUND_SECONDS / seconds, 2, 100))
            if most < MOST_STEPS:  # a power of two, so that processes share the reference
                steps = min(most, 1 << (steps.bit_length() - 1))


def processors_used(work: Callable[[], object]) -> float:
    """Call the function `work`; return how many processors the call used on average."""
    began, busy = time.perf_counter(), time.process_time()
    work()
    return (time.process_time() - busy) / (time.perf_counter() - began)


def time_steps(
    benchmark: BenchmarkFixture,
    case: Case,
    run: Run,
    size: Round,
    sampling: Sampling,
    reader: Reader | DeviceReader | None,
) -> None:
    """Measure the times of several rounds, and check the w after the last round.

    The times and the error of w are stored in `benchmark`. Each round starts from another
    random w. The function `run` must use the learning rate ``slow_rate(problem, size.steps)``.
    A `reader` measures the read speed before each of the first `MOST_READS` rounds.
    """
    problem, alternation = data_of(case), sampling.alternation
    rng, scale = np.random.default_rng(0), start_scale(problem)
    start = scale * rng.random(case.features)
    rounds = int(np.clip(sampling.seconds / size.seconds, FEWEST_ROUNDS, MOST_ROUNDS))
    warm_up(lambda: run(start, size.steps))
    steps, rounds = alternation.agree(str(case), size.steps, rounds)
    alternates = not alternation.alone
    on_one = alternates and processors_used(lambda: run(start, steps)) < 1.5
    starts = list(scale * rng.random((rounds, case.features)))  # taken from the end
    begun: list[Weights] = []
    read_rates: list[float] = []

    def another() -> tuple[tuple[Weights], dict[str, object]]:
        if alternates:
            if begun:
                alternation.next()
            if on_one:
                start_on(len(begun))
            warm_up(lambda: run(start, -(-steps // WARMING)))
        if reader and len(read_rates) < MOST_READS:
            read_rates.append(reader.bytes_per_s())
        begun.append(starts.pop())
        return (begun[-1],), {}

    counted = sampling.count(steps)
    waiting = Waiting()
    w = benchmark.pedantic(lambda w0: run(w0, steps), setup=another, rounds=rounds)
    rate = slow_rate(problem, size.steps)
    benchmark.extra_info |= {
        "row": str(case),
        "kind": "step",
        **counted,
        "in_turn": alternates,
        "waiting": waiting.share(),
        "relative_error": verify(problem, begun[-1], steps, w, rate),
    }
    if reader:
        reader.close()
        benchmark.extra_info["read_bytes_per_s"] = read_rates  # read before the first rounds
        benchmark.extra_info["read_by"] = reader.way
