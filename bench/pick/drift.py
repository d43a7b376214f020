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
"""Drift that is assumed before anything was measured: a standard deviation of 8 %.

A change of 13 % within a few minutes was seen on a shared machine.
"""

MOST = math.log(2)
"""Largest change of a time that `drift_of` counts in full: a factor of two, as a logarithm.

Larger changes count as a factor of two, because a pause of the process can cause them.
"""

SEED = crc32(b"drift")
"""Seed of the random numbers from which `factors` is computed."""


def drift_of(records: Iterable[Record], cache_bytes: int) -> float:
    """Return how much the times of the same work differ between records.

    The result is the standard deviation, as a fraction of the time. It is close to `DRIFT` if
    there are few records. Steps over data in memory are left out, because
    `bench.pick.throughput` estimates the changing speed of memory separately.
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
    """Return `DRAWS` random factors by which the machine's load can multiply a time.

    `drift` is the relative standard deviation of the factors. All calls use the same random
    numbers, because the load of the machine changes the times of all backends alike.
    """
    return np.asarray(np.exp(drift * _normals()))


@cache
def _normals() -> Floats:
    """Return standard normal random numbers, by the transform of Box and Muller (1958)."""
    u, v = uniforms(SEED, 2 * DRAWS).reshape(2, DRAWS)
    draws = np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v)
    draws.flags.writeable = False
    return np.asarray(draws)
