"""Estimate how much the times of the same work differ between processes: the spread."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.stats import t as student_t

from bench.pick.curves import by_rows
from bench.pick.draws import COVERAGE
from bench.pick.observations import Observations

STEP_SPREAD, SETUP_SPREAD = 0.15, 0.20
"""Relative standard deviations that are assumed before anything was measured.

They describe the differences between processes: 15 % of the time of a step, and 20 % of the
time of a setup.
"""

PRIOR_COUNT = 4
"""Weight of an assumed standard deviation: it counts as much as four measurements."""


@dataclass(frozen=True)
class Spreads:
    """Spreads: how much step times and setup times differ between processes.

    Attributes
    ----------
    step, setup : float
        Standard deviation of step times and of setup times, as a fraction of the time.
    step_count, setup_count : int
        Degrees of freedom of `step` and of `setup`. They include 4 degrees (`PRIOR_COUNT`) for
        the values that are assumed before anything was measured.
    """

    step: float = STEP_SPREAD
    setup: float = SETUP_SPREAD
    step_count: int = PRIOR_COUNT
    setup_count: int = PRIOR_COUNT

    def of(self, seen: Observations) -> Spreads:
        """Return the spreads of one backend from its measurements `seen`.

        If the backend has few measurements, the result is close to the spreads in `self`,
        which were estimated from all backends.
        """
        own = spreads_of([seen], self)
        return Spreads(
            *(own.step, own.setup),
            max(self.step_count, own.step_count),
            max(self.setup_count, own.setup_count),
        )


PRIOR = Spreads()
"""Spreads of step and setup times that are assumed before anything was measured."""


@cache
def narrowing(count: int) -> float:
    """Return an interval's width with `count` degrees of freedom ÷ its width with 4 degrees.

    The widths come from Student's t distribution. The result is 1 for 4 degrees of freedom, and
    approaches 0.77 for many. The cost model draws random errors with 4 degrees of freedom. It
    multiplies the errors by this result (Gelman et al., Bayesian Data Analysis, 3.2).
    """
    upper = (1 + COVERAGE) / 2
    return float(student_t.ppf(upper, count) / student_t.ppf(upper, PRIOR_COUNT))


def machine_spreads(observations: Iterable[Observations]) -> Spreads:
    """Return the spreads of step and setup times, estimated from all backends together.

    A backend that was measured only once uses these spreads, because other virtual machines and
    the scheduler disturb all backends alike.
    """
    return spreads_of(observations, PRIOR)


def spreads_of(observations: Iterable[Observations], prior: Spreads) -> Spreads:
    """Return how much the time of a step or a setup differs between processes.

    With few observations, the result is close to the spreads in `prior`.
    """
    steps: list[list[float]] = []
    setups: list[list[float]] = []
    for seen in observations:
        steps += by_rows(seen.step)[1]
        setups += [*by_rows(seen.place)[1], *by_rows(seen.first_call)[1], list(seen.imports)]
    (step, step_count), (setup, setup_count) = (
        _pooled(steps, prior.step),
        _pooled(setups, prior.setup),
    )
    return Spreads(step, setup, step_count, setup_count)


def _pooled(groups: Iterable[Sequence[float]], prior: float) -> tuple[float, int]:
    """Return the standard deviation of the values' logarithms, and its degrees of freedom.

    Each value is compared only with the mean of its group. `prior` is an assumed standard
    deviation with the weight of 4 values (Gelman et al., Bayesian Data Analysis, 2.6).
    """
    squares, count = PRIOR_COUNT * prior**2, PRIOR_COUNT
    for group in sorted(map(list, groups)):  # a sum's last digit depends on its order
        logs = np.log(sorted(group))
        if len(logs) > 1:
            squares += float(((logs - logs.mean()) ** 2).sum())
            count += len(logs) - 1
    return math.sqrt(squares / count), count
