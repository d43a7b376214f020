"""Estimate the spread between processes that measure the same work."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from bench.pick.curves import by_rows
from bench.pick.observations import Observations

STEP_SPREAD, SETUP_SPREAD = 0.15, 0.20
"""Prior of the relative spread between processes, for steps and setups: 15 % and 20 %."""

PRIOR_COUNT = 4
"""Weight of a prior spread, in measurements."""


def machine_spreads(observations: Iterable[Observations]) -> tuple[float, float]:
    """Return the relative spread between processes of steps and of setups, over all backends.

    Other virtual machines and the scheduler disturb all backends alike, so a backend that
    was measured once uses the spread of the others.
    """
    return spreads_of(observations, (STEP_SPREAD, SETUP_SPREAD))


def spreads_of(
    observations: Iterable[Observations], prior: tuple[float, float]
) -> tuple[float, float]:
    """Return the pooled spreads of steps and of setups, shrunk towards a prior."""
    steps: list[list[float]] = []
    setups: list[list[float]] = []
    for seen in observations:
        steps += by_rows(seen.step)[1]
        setups += [*by_rows(seen.place)[1], *by_rows(seen.first_call)[1], list(seen.imports)]
    return _pooled(steps, prior[0]), _pooled(setups, prior[1])


def _pooled(groups: Iterable[Sequence[float]], prior: float) -> float:
    """Return the standard deviation of the logarithms within the groups.

    The prior counts as `PRIOR_COUNT` measurements; the posterior is a scaled inverse χ²
    (Gelman et al., Bayesian Data Analysis, 2.6).
    """
    squares, count = PRIOR_COUNT * prior**2, PRIOR_COUNT
    for group in sorted(map(list, groups)):  # a sum's last digit depends on its order
        logs = np.log(sorted(group))
        if len(logs) > 1:
            squares += float(((logs - logs.mean()) ** 2).sum())
            count += len(logs) - 1
    return math.sqrt(squares / count)
