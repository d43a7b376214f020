"""Choose the fastest backend, or a plainer backend that cannot be told apart from it.

The fastest backend has the lowest expected total time. A backend is plainer if it works for
more losses, uses no special technique, or runs on the CPU (`plainness`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backends.names import Name
from bench.pick.draws import COVERAGE, bounded
from bench.pick.model import CostModel

TIE = 1.05
"""Largest expected total of a picked backend, as a multiple of the lowest expected total.

So a plainer backend is picked only if it is at most 5 % slower than the fastest backend.
"""


def plainness(backend: str) -> tuple[bool, bool, bool]:
    """Return a sort key that puts the plainest backend first.

    The criteria are, in this order:

    1. Backends for all losses come before backends for squared error only.
    2. A library's backend without a technique, such as ``numpy``, comes before its backends
       with a technique, such as ``numpy:blocked``.
    3. The CPU comes before other devices.
    """
    name = Name.parse(backend)
    return name.least_squares_only, bool(name.technique), name.device != "cpu"


def choose(
    models: Sequence[CostModel], rows: int, iterations: int
) -> tuple[str | None, tuple[str, ...]]:
    """Return the picked backend, and the backends that tie with the fastest backend.

    The cost model of each backend gives many random values of its total (`CostModel.totals`).

    - The fastest backend has the lowest mean of these values.
    - The values of two backends are compared in pairs. A backend ties with the fastest backend
      if its value is the larger one in less than 90 % of the pairs (`COVERAGE`).
    - Of the fastest backend and its ties, the backends whose mean is at most 5 % above the
      lowest mean (`TIE`) can be picked. The pick is the plainest of them (`plainness`).

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
