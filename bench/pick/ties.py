"""Choose the fastest backend, or a plainer backend that may be as fast.

The fastest backend has the lowest expected total: the mean of the random totals of its model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backends.names import Name
from bench.pick.draws import COVERAGE, bounded
from bench.pick.model import CostModel

TIE = 1.05
"""A plainer backend is picked only if its expected total is at most 5 % above the lowest."""


def plainness(backend: str) -> tuple[bool, bool, bool]:
    """Return a sort key that puts the plainest backend first.

    The criteria are, in this order:

    1. Techniques for all losses come before techniques for squared error only.
    2. A library's plain technique comes before its named techniques.
    3. The CPU comes before other devices.
    """
    name = Name.parse(backend)
    return name.least_squares_only, bool(name.technique), name.device != "cpu"


def choose(
    models: Sequence[CostModel], rows: int, iterations: int
) -> tuple[str | None, tuple[str, ...]]:
    """Return the picked backend, and the backends that tie with the fastest backend.

    - The fastest backend has the lowest mean of its random totals (`CostModel.totals`). A wide
      interval raises the mean, so a backend with a wide interval is rarely the fastest.
    - A backend ties with the fastest backend if it has a longer total in less than 90 % of the
      random totals (`COVERAGE`).
    - The pick is the plainest of these backends whose mean is at most 5 % above the lowest mean
      (`TIE`).

    Returns
    -------
    pick : str or None
        None if there are no models.
    tied : tuple of str
        The tied backends without the pick.
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
