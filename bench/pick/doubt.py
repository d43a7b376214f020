"""Estimate the doubtful seconds of a setup time: pauses and extrapolated placing.

A process may pause while it is timed. A setup that was measured only once, or that was
extrapolated, must not exclude a backend that may be the fastest. The doubtful seconds are
therefore subtracted before a backend is excluded. Repeated setups show which times were paused.
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
"""Smallest ratio of a paused time to the usual time of the same work.

Repeated setups without a pause differ by less than this factor.
"""


def without_pauses(seen: Observations) -> Observations:
    """Return the observations without the setup times that a pause prolonged.

    At each size, the usual time is the median of the repetitions; of two repetitions, it is the
    shorter one. A time counts as paused if it is more than `LONG` times the usual time, but at
    most `PAUSE_S` seconds longer.
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
    """Return the seconds by which the time of placing exceeds that of the largest placed size.

    These seconds are extrapolated. They are doubtful, because a backend may place large data
    in another way than small data, for example without a copy.
    """
    seen = model.observations
    largest = max(s.rows for s in (*seen.place, *seen.place_again))
    return max(0.0, model.place_s(rows) - model.place_s(largest)) if rows > largest else 0.0


def paused_s(model: CostModel, rows: float) -> float:
    """Return by how many seconds pauses may have prolonged the setup nearest to `rows` rows.

    The result is 0 if this setup was repeated, or if no setup was measured.
    """
    seen = model.observations
    sizes = [s.rows for s in seen.place]
    nearest = min(sizes, key=lambda n: max(n / rows, rows / n), default=0)
    if sizes.count(nearest) != 1:
        return 0.0
    parts = (*seen.place, *seen.first_call)
    return sum(min(PAUSE_S, s.value) for s in parts if s.rows == nearest)
