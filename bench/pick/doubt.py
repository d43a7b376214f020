"""Estimate by how many seconds a setup time is possibly overestimated.

A measured setup time can contain a pause of the process. A predicted setup time can be too long
because it is extrapolated from fewer rows. The possible error is subtracted from the setup time
before a backend is excluded as too slow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median_low

from bench.pick.curves import Sample, by_rows
from bench.pick.model import CostModel
from bench.pick.observations import Observations

PAUSE_S = 0.1
"""Longest assumed pause of a process: 0.1 s, the default period of Linux's CPU quotas.

A process that exceeds its quota pauses until the period ends.
"""

LONG = 2.0
"""A setup that takes more than twice its usual time probably contains a pause.

Repeated setups without a pause differed by less than a factor of two.
"""


def without_pauses(seen: Observations) -> Observations:
    """Return the observations without the setup times that include a pause of the process.

    A time is left out if it is more than twice the usual time (`LONG`). It is kept if it is
    more than 0.1 s above the usual time, because no pause is that long (`PAUSE_S`). The usual
    time is the median of the times at the same number of rows (`statistics.median_low`).
    """
    return replace(
        seen,
        place=_unpaused(seen.place),
        place_again=_unpaused(seen.place_again),
        first_call=_unpaused(seen.first_call),
    )


def _unpaused(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    sizes, groups = by_rows(samples)
    usual = {n: median_low(group) for n, group in zip(sizes, groups, strict=True)}
    return tuple(
        s for s in samples if not LONG * usual[s.rows] < s.value <= usual[s.rows] + PAUSE_S
    )


def extrapolated_s(model: CostModel, rows: float) -> float:
    """Return the predicted time to place `rows` rows, minus that for the largest measured size.

    Placing brings the data into the form that the backend needs. The difference is uncertain,
    because a backend can treat large data differently, for example without a copy.
    """
    seen = model.observations
    largest = max(s.rows for s in (*seen.place, *seen.place_again))
    return max(0.0, model.place_s(rows) - model.place_s(largest)) if rows > largest else 0.0


def paused_s(model: CostModel, rows: float) -> float:
    """Return an upper limit for the seconds that pauses of a process added to a setup time.

    Only the setup with the number of rows nearest to `rows` counts. The result is 0 if no setup
    was measured. The result is also 0 if the nearest setup was measured several times, because
    `without_pauses` has then left out the times with a pause.
    """
    seen = model.observations
    sizes = [s.rows for s in seen.place]
    nearest = min(sizes, key=lambda n: max(n / rows, rows / n), default=0)
    if sizes.count(nearest) != 1:
        return 0.0
    parts = (*seen.place, *seen.first_call)
    return sum(min(PAUSE_S, s.value) for s in parts if s.rows == nearest)
