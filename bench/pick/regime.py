"""Find the smallest size of data that are read from memory instead of a cache.

This size follows from the read curve: the measured read speed for each data size
(`bench.measure.read_curve`). Until the curve is measured, the size follows from the cache size
that the system reports.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.host.machine import last_cache_bytes
from bench.measure.read_curve import TASK, curve_of, flat_from
from bench.pick.throughput import IN_MEMORY
from bench.results.record import Outcome, Record


@dataclass(frozen=True)
class Regime:
    """The cache size that this process can really use, and the measured read curve.

    Attributes
    ----------
    cache_bytes : int
        Effective cache size. Data of at least 4 times this size (`IN_MEMORY`) are read from
        memory.
    curve : tuple of tuple
        The read curve: pairs of data size in bytes and throughput in bytes/s, by ascending
        size. Empty if it was not measured.
    """

    cache_bytes: int
    curve: tuple[tuple[int, float], ...] = ()

    @classmethod
    def of(cls, records: Iterable[Record], machine: Mapping[str, Any]) -> Regime:
        """Return the cache size that follows from the newest read curve in the records.

        If there is no read curve, the cache size in the machine's description is used.
        """
        found = [record.tasks[TASK] for record in records if TASK in record.tasks]
        measured = [outcome for outcome in found if curve_of(outcome)]
        return cls.shown(measured[-1]) if measured else cls(last_cache_bytes(machine))

    @classmethod
    def shown(cls, outcome: Outcome) -> Regime:
        """Return the cache size that a measured read curve shows, together with this curve."""
        curve: Sequence[tuple[int, float]] = curve_of(outcome)
        return cls(flat_from(curve) // IN_MEMORY, tuple(curve))
