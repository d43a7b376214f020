"""Estimate the drift: by how much all times of this machine change within minutes.

The load of other virtual machines, the clock rate and the state of the caches change. They slow
all work of this machine alike. Repeated measurements of one pick follow each other within
seconds, so their spread does not show this drift.
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
"""Prior of the drift, as a fraction of a time: 8 %.

On a shared machine, setups of the same backends took 13 % longer a few minutes later.
"""

MOST = math.log(2)
"""Largest drift between two records, as a logarithm: a factor of two. A larger change counts as
a factor of two, because a pause of the process explains it better."""

SEED = crc32(b"drift")
"""Seed of the drift's draws: one for all backends, because they all have the same drift."""


def drift_of(records: Iterable[Record], cache_bytes: int) -> float:
    """Return the relative spread of equal work between records, shrunk towards `DRIFT`.

    Steps over data in memory are left out, because `bench.pick.throughput` describes how the
    memory's throughput changes.
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
    """Return draws of the drift, (`DRAWS`,), as factors of a time; equal for all backends."""
    return np.asarray(np.exp(drift * _normals()))


@cache
def _normals() -> Floats:
    """Return standard normal draws, by the transform of Box and Muller (1958)."""
    u, v = uniforms(SEED, 2 * DRAWS).reshape(2, DRAWS)
    draws = np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v)
    draws.flags.writeable = False
    return np.asarray(draws)
