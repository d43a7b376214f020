"""Decide which measurements are near enough to a request to predict its times.

A measurement is near if its number of rows is similar to the request's number of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from backends.names import Name
from backends.problem import step_bytes
from bench.pick.model import CostModel
from bench.pick.throughput import IN_MEMORY

SCOUT_BYTES = 8_000_000
"""Size limit, in bytes, of the data with which a backend's first setup is measured: 8 MB.

With 8 MB of data, backends use all threads and the same compiled code as for larger data.
"""

NEAR = 10
"""Two numbers of rows are near if they differ by at most a factor of 10.

Beyond this ratio, a measured step time predicts little, because latency limits small steps and
memory limits large steps.
"""


def nearby(models: Sequence[CostModel], rows: int) -> Sequence[CostModel]:
    """Return the cost models of the backends that were measured near the size `rows`.

    `steps_near` and `setup_near` define which measured sizes are near. If there is no such
    model, all models are returned.
    """
    return [m for m in models if steps_near(m, rows) and setup_near(m, rows)] or models


def steps_near(model: CostModel, rows: float) -> bool:
    """Return whether a step was measured at a size near the number of rows `rows`.

    - A measured number of rows is near if it lies between `rows` ÷ 10 and 10 · `rows`.
    - For data of more than 8 MB (`SCOUT_BYTES`), the lower limit is the number of rows that
      have 0.8 MB of data.
    """
    least = min(rows, SCOUT_BYTES // _row_bytes(model)) / NEAR
    return any(least <= s.rows <= NEAR * rows for s in model.observations.step)


def setup_near(model: CostModel, rows: float) -> bool:
    """Return whether a setup was measured with at most 10 · `rows` rows.

    A setup with fewer rows is always near, because most of a setup's time does not depend on
    the number of rows. A setup with far more rows is not near, because a setup includes the
    first step, which takes longer with more rows.
    """
    return any(s.rows <= NEAR * rows for s in model.observations.first_call)


def near_only(model: CostModel, rows: int) -> CostModel:
    """Return a copy of the model without times that were measured only at distant sizes.

    - The copy has no step times if none was measured near `rows` rows (`steps_near`).
    - The copy has no setup times if none was measured near `rows` rows (`setup_near`).

    An unreliable prediction could exclude the fastest backend.
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
