"""The memory regime: from which size on data are read from memory.

It is measured (`bench.measure.read_curve`) and kept in the store. The cache that the
system reports only serves until then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bench.host.machine import last_cache_bytes
from bench.measure.read_curve import TASK, curve_of, flat_from
from bench.pick.throughput import IN_MEMORY
from bench.results.record import Record


def effective_cache_bytes(records: Iterable[Record], machine: Mapping[str, Any]) -> int:
    """Return the cache size that the newest read curve shows; else the reported size."""
    found = [curve_of(record.tasks[TASK]) for record in records if TASK in record.tasks]
    curves = [curve for curve in found if curve]
    return cache_of(curves[-1]) if curves else last_cache_bytes(machine)


def has_curve(records: Iterable[Record]) -> bool:
    """Return whether a read curve was measured."""
    return any(TASK in record.tasks for record in records)


def cache_of(curve: list[tuple[int, float]]) -> int:
    """Return the cache size from which `IN_MEMORY` times as many bytes are read flat."""
    return flat_from(curve) // IN_MEMORY
