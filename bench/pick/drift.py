"""Estimate how far times drift apart between two moments.

Other virtual machines, clock rates and caches change within minutes, and slow all work of this
machine down alike. Repeated measurements of one pick follow each other within seconds, so their
spread does not show this drift.
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
"""Prior of the relative drift between two moments: 8 %.

On a shared machine, setups of the same backends took 13 % longer a few minutes later.
"""

MOST = math.log(2)
"""Largest drift between two records, as a logarithm: a factor of two. A process that takes even
longer was paused."""

SEED = crc32(b"drift")
"""Seed of the drift's draws: one for all backends, because the drift slows all alike."""


def drift_of(records: Iterable[Record], cache_bytes: int) -> float:
    """Return the relative spread of the same work between records, shrunk towards `DRIFT`.

    Steps over data in memory are left out: the memory's throughput has states of its own.
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
    """Return draws of the drift, as factors of a time; all backends have the same draws."""
    return np.asarray(np.exp(drift * _normals()))


@cache
def _normals() -> Floats:
    """Return standard normal draws, by the transform of Box and Muller (1958)."""
    u, v = uniforms(SEED, 2 * DRAWS).reshape(2, DRAWS)
    draws = np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v)
    draws.flags.writeable = False
    return np.asarray(draws)
