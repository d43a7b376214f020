"""Estimate by how many seconds a setup time may be too long.

The system may have paused the process during the setup, or the time for placing the data may be
extrapolated from fewer rows. These doubtful seconds are subtracted before a backend is excluded
as too slow. If a setup was measured several times, the repetitions show which of them were
paused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median_low

from bench.pick.curves import Sample, by_rows
from bench.pick.model import CostModel
from bench.pick.observations import Observations

PAUSE_S = 0.1
"""Longest pause, in seconds, that may have prolonged a setup: 0.1 s, the default period of
Linux's CPU quotas. A process that exceeds its quota pauses until the period ends."""

LONG = 2.0
"""A setup that takes more than twice its usual time may have been paused.

Reason: repeated setups without a pause differed by less than this factor.
"""


def without_pauses(seen: Observations) -> Observations:
    """Return the observations without the setup times that include a pause of the process.

    A time is left out if it is more than twice the usual time (`LONG`), but at most 0.1 s
    longer (`PAUSE_S`). The usual time is the median of the times at the same number of rows. Of
    an even count, the lower of the two middle times is used.
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
    """Return how many seconds of the predicted placing of `rows` rows are extrapolated.

    The result is the time for `rows` rows minus the time for the largest size that was placed.
    These seconds are doubtful, because a backend may place large data in another way than small
    data, for example without a copy.
    """
    seen = model.observations
    largest = max(s.rows for s in (*seen.place, *seen.place_again))
    return max(0.0, model.place_s(rows) - model.place_s(largest)) if rows > largest else 0.0


def paused_s(model: CostModel, rows: float) -> float:
    """Return how many seconds of a measured setup time may be pauses of the process.

    The setup is the one whose number of rows is nearest to `rows`. The result is 0 if this
    setup was measured several times, or if no setup was measured.
    """
    seen = model.observations
    sizes = [s.rows for s in seen.place]
    nearest = min(sizes, key=lambda n: max(n / rows, rows / n), default=0)
    if sizes.count(nearest) != 1:
        return 0.0
    parts = (*seen.place, *seen.first_call)
    return sum(min(PAUSE_S, s.value) for s in parts if s.rows == nearest)
