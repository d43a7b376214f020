"""Estimate the spread between processes that measure the same work."""

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
"""Prior of the relative spread between processes: 15 % of a step time, 20 % of a setup time."""

PRIOR_COUNT = 4
"""Weight of a prior spread: it counts as much as four measurements."""


@dataclass(frozen=True)
class Spreads:
    """Relative spreads between processes, and the degrees of freedom of each spread.

    Attributes
    ----------
    step, setup : float
        Relative spread of the step times and of the setup times.
    step_count, setup_count : int
        Degrees of freedom of the estimates, including `PRIOR_COUNT` for the prior.
    """

    step: float = STEP_SPREAD
    setup: float = SETUP_SPREAD
    step_count: int = PRIOR_COUNT
    setup_count: int = PRIOR_COUNT

    def of(self, seen: Observations) -> Spreads:
        """Return the spreads of the backend with the measurements `seen`.

        These spreads are shrunk towards `self`, the spreads of the whole machine.
        """
        own = spreads_of([seen], self)
        return Spreads(
            *(own.step, own.setup),
            max(self.step_count, own.step_count),
            max(self.setup_count, own.setup_count),
        )


PRIOR = Spreads()
"""Spreads of a machine without measurements."""


@cache
def narrowing(count: int) -> float:
    """Return an interval's width, relative to its width with `PRIOR_COUNT` degrees of freedom.

    A new value has Student's t distribution with as many degrees of freedom as the estimate
    of the spread (posterior predictive distribution: Gelman et al., Bayesian Data Analysis,
    3.2). The draws have `PRIOR_COUNT` degrees of freedom. If they are multiplied by the result,
    their interval is as wide as with `count` degrees of freedom. The result is 1 for 4 degrees
    of freedom and approaches 0.77 for many.
    """
    upper = (1 + COVERAGE) / 2
    return float(student_t.ppf(upper, count) / student_t.ppf(upper, PRIOR_COUNT))


def machine_spreads(observations: Iterable[Observations]) -> Spreads:
    """Return the relative spreads of step and setup times between processes, over all backends.

    Other virtual machines and the scheduler disturb all backends alike. A backend that was
    measured once can therefore use the spread of the other backends.
    """
    return spreads_of(observations, PRIOR)


def spreads_of(observations: Iterable[Observations], prior: Spreads) -> Spreads:
    """Return the pooled spreads of step and setup times, shrunk towards a prior."""
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
    """Return the standard deviation of logarithms within groups, and its degrees of freedom.

    The prior counts as `PRIOR_COUNT` measurements; the posterior is a scaled inverse χ²
    (Gelman et al., Bayesian Data Analysis, 2.6).
    """
    squares, count = PRIOR_COUNT * prior**2, PRIOR_COUNT
    for group in sorted(map(list, groups)):  # a sum's last digit depends on its order
        logs = np.log(sorted(group))
        if len(logs) > 1:
            squares += float(((logs - logs.mean()) ** 2).sum())
            count += len(logs) - 1
    return math.sqrt(squares / count), count
