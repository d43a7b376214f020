"""Decide which measured sizes are near enough to a request to predict its times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from backends.names import Name
from backends.problem import step_bytes
from bench.pick.model import CostModel
from bench.pick.throughput import IN_MEMORY

SCOUT_BYTES = 8_000_000
"""Largest data of a first setup, in bytes: 8 MB.

With 8 MB all threads are in use, and compilers generate the code for large data.
"""

NEAR = 10
"""Largest factor between a measured number of rows and the request's number of rows.

Steps over far fewer or far more rows say little about the request: latency limits steps over
small data, and memory limits steps over large data.
"""


def nearby(models: Sequence[CostModel], rows: int) -> Sequence[CostModel]:
    """Return the models with a step and a setup near `rows` rows; all models if none has both.

    `steps_near` and `setup_near` define which measured sizes are near.
    """
    return [m for m in models if steps_near(m, rows) and setup_near(m, rows)] or models


def steps_near(model: CostModel, rows: float) -> bool:
    """Return whether a step was measured with 0.1 to 10 times `rows` rows (`NEAR`).

    If `rows` rows are larger than 8 MB (`SCOUT_BYTES`), the range begins at 0.8 MB. A step that
    is extrapolated over several decades could exclude the fastest backend.
    """
    least = min(rows, SCOUT_BYTES // _row_bytes(model)) / NEAR
    return any(least <= s.rows <= NEAR * rows for s in model.observations.step)


def setup_near(model: CostModel, rows: float) -> bool:
    """Return whether a setup was measured with at most `NEAR` times `rows` rows.

    A setup with fewer rows is always near, because it shows the fixed cost of a setup. With far
    more rows, the first call takes much longer.
    """
    return any(s.rows <= NEAR * rows for s in model.observations.first_call)


def near_only(model: CostModel, rows: int) -> CostModel:
    """Return the model; leave out its steps if none is near `rows`, and its setups if none is.

    The store may hold measurements for a question about far fewer or far more rows. If these
    were extrapolated over several decades, they could exclude the fastest backend before it is
    measured near `rows` rows.
    """
    seen = model.observations
    if not steps_near(model, rows):
        seen = replace(seen, step=())
    if not setup_near(model, rows):
        seen = replace(seen, place=(), first_call=(), shared=False)
    return replace(model, observations=seen)


def only_cached(model: CostModel, rows: float) -> bool:
    """Return whether `rows` rows are read from memory, but only smaller data were measured.

    The measured time of a row is then a lower bound, because memory is slower than a cache.
    """
    name = Name.parse(model.backend)
    if name.device != "cpu" or name.least_squares_only:
        return False
    return model.largest < IN_MEMORY * model.cache_bytes / _row_bytes(model) <= rows


def _row_bytes(model: CostModel) -> int:
    return step_bytes(1, model.features, model.dtype)
