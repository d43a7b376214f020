"""Choose the fastest backend, or a plainer backend that cannot be told apart from it.

The fastest backend has the lowest expected total time. `plainness` says which of two backends
is plainer: for example, ``numpy`` is plainer than ``numpy:blocked``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backends.names import Name
from bench.pick.draws import COVERAGE, bounded
from bench.pick.model import CostModel

TIE = 1.05
"""Upper limit for the pick's expected total, as a multiple of the lowest expected total."""


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
    - The values of each other backend are paired with the values of the fastest backend. The
      two backends tie if the other backend is slower in less than 90 % of the pairs
      (`COVERAGE`).
    - The candidates are the fastest backend, and the backends that tie with it and have a mean
      at most 5 % above the lowest mean (`TIE`). The pick is the plainest of them (`plainness`).

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
