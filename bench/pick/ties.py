"""Choose the backend with the lowest expected total, or a plainer one that ties with it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backends.names import Name
from bench.pick.draws import COVERAGE, bounded
from bench.pick.model import CostModel

TIE = 1.05
"""Largest expected total of a plainer pick, relative to the lowest expected total: 5 % more."""


def plainness(backend: str) -> tuple[bool, bool, bool]:
    """Return a sort key that puts the plainest backend first.

    Loops precede `gram`, plain techniques precede others, and the CPU precedes other devices.
    """
    name = Name.parse(backend)
    return name.least_squares_only, bool(name.technique), name.device != "cpu"


def choose(
    models: Sequence[CostModel], rows: int, iterations: int
) -> tuple[str | None, tuple[str, ...]]:
    """Return the pick, and the backends that cannot be told apart from the fastest one.

    The fastest backend has the lowest expected total: the mean of the draws, not their median.
    A total with a wide interval is therefore not picked for a slightly lower median.

    A backend ties with the fastest one if the fastest has the shorter total in fewer than
    `COVERAGE` of the draws. Tied backends whose expected total is at most `TIE` times the
    lowest one are eligible, and the plainest of the eligible backends is picked.
    """
    if not models:
        return None, ()
    plain_first = sorted(models, key=lambda m: plainness(m.backend))
    draws = {m.backend: m.totals(rows, iterations) for m in plain_first}
    means = {name: float(bounded(of).mean()) for name, of in draws.items()}
    best = min(means, key=means.__getitem__)
    ties = [
        name
        for name, of in draws.items()
        if name == best or float(np.mean(draws[best] < of)) < COVERAGE
    ]
    picked = next(name for name in ties if means[name] <= TIE * means[best])
    return picked, tuple(name for name in ties if name != picked)
