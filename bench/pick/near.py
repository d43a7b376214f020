"""Decide which measured numbers of rows are near enough to a request to predict its times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from backends.names import Name
from backends.problem import step_bytes
from bench.pick.model import CostModel
from bench.pick.throughput import IN_MEMORY

SCOUT_BYTES = 8_000_000
"""Largest data size, in bytes, at which a backend's setup is measured first: 8 MB.

With 8 MB of data, backends use all threads and the same compiled code as for larger data.
"""

NEAR = 10
"""Largest factor between two numbers of rows that are near to each other.

Reason: latency limits steps over small data, and memory limits steps over large data.
"""


def nearby(models: Sequence[CostModel], rows: int) -> Sequence[CostModel]:
    """Return the models whose steps and setup were measured near `rows` rows.

    If there is no such model, return all models. `steps_near` and `setup_near` define which
    sizes are near.
    """
    return [m for m in models if steps_near(m, rows) and setup_near(m, rows)] or models


def steps_near(model: CostModel, rows: float) -> bool:
    """Return whether a step was measured with 0.1 to 10 times `rows` rows.

    If the data of `rows` rows exceed 8 MB (`SCOUT_BYTES`), all steps over at least 0.8 MB and
    at most 10 times `rows` rows are near.
    """
    least = min(rows, SCOUT_BYTES // _row_bytes(model)) / NEAR
    return any(least <= s.rows <= NEAR * rows for s in model.observations.step)


def setup_near(model: CostModel, rows: float) -> bool:
    """Return whether a setup was measured with at most 10 times `rows` rows.

    A setup with fewer rows is always near, because most of a setup's time does not depend on
    the number of rows. With far more rows, the first step of the setup takes much longer.
    """
    return any(s.rows <= NEAR * rows for s in model.observations.first_call)


def near_only(model: CostModel, rows: int) -> CostModel:
    """Return the model without measurements that say too little about `rows` rows.

    - All steps are left out if none of them is near `rows` rows.
    - All setups are left out if none of them is near `rows` rows.

    Reason: an extrapolation from far fewer or far more rows could exclude the fastest backend.
    """
    seen = model.observations
    if not steps_near(model, rows):
        seen = replace(seen, step=())
    if not setup_near(model, rows):
        seen = replace(seen, place=(), first_call=(), shared=False)
    return replace(model, observations=seen)


def only_cached(model: CostModel, rows: float) -> bool:
    """Return whether `rows` rows are read from memory, but all measured data fit in a cache.

    In this case, the measured time per row is a lower bound, because memory is slower. The
    result is False for `gram` techniques and for devices other than the CPU.
    """
    name = Name.parse(model.backend)
    if name.device != "cpu" or name.least_squares_only:
        return False
    return model.largest < IN_MEMORY * model.cache_bytes / _row_bytes(model) <= rows


def _row_bytes(model: CostModel) -> int:
    return step_bytes(1, model.features, model.dtype)
