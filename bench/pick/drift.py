"""Estimate the drift: by how much all times of this machine change within minutes.

The load of other virtual machines, the clock rate and the state of the caches change. These
changes slow down all work on this machine alike. Repeated measurements of one pick follow each
other within seconds, so their differences do not show the drift.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from statistics import fmean, median
from zlib import crc32

import numpy as np

from bench.pick.draws import DRAWS, Floats, uniforms
from bench.pick.observations import measurements
from bench.pick.spread import PRIOR_COUNT
from bench.pick.throughput import IN_MEMORY
from bench.results.record import Record

DRIFT = 0.08
"""Drift that is assumed before anything was measured, as a fraction of a time: 8 %.

On a shared machine, the same setups took 13 % longer when they were repeated minutes later.
"""

MOST = math.log(2)
"""Largest change of a time that counts as drift: the logarithm of a factor of two.

A larger change counts as a factor of two, because it is probably a pause of the process.
"""

SEED = crc32(b"drift")
"""Seed of the drift's random numbers; one seed, because all backends have the same drift."""


def drift_of(records: Iterable[Record], cache_bytes: int) -> float:
    """Return the drift: the relative difference between times of the same work in two records.

    The difference is the standard deviation over all records. With few measurements, the result
    is close to `DRIFT`. Steps whose data come from memory are left out, because
    `bench.pick.throughput` describes how the speed of memory changes.
    """
    seen: dict[tuple[str, str], list[float]] = defaultdict(list)
    for record in records:
        of_record: dict[tuple[str, str], list[float]] = defaultdict(list)
        for case, m, _ in measurements([record]):
            cached = case.bytes_per_step < IN_MEMORY * cache_bytes
            if m.kind in ("place", "first_call") or (m.kind == "step" and cached):
                of_record[m.row, m.kind].append(math.log(median(m.seconds_per_step)))
        for key, logs in of_record.items():
            seen[key].append(fmean(logs))
    squares, count = PRIOR_COUNT * DRIFT**2, PRIOR_COUNT
    for logs in seen.values():
        if len(logs) > 1:
            middle = median(logs)
            squares += sum(min(abs(x - middle), MOST) ** 2 for x in logs)
            count += len(logs) - 1
    return math.sqrt(squares / count)


def factors(drift: float) -> Floats:
    """Return `DRAWS` random factors by which the drift changes a time.

    All calls use the same random numbers, so the factors are equal for all backends.
    """
    return np.asarray(np.exp(drift * _normals()))


@cache
def _normals() -> Floats:
    """Return standard normal random numbers, by the transform of Box and Muller (1958)."""
    u, v = uniforms(SEED, 2 * DRAWS).reshape(2, DRAWS)
    draws = np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v)
    draws.flags.writeable = False
    return np.asarray(draws)
