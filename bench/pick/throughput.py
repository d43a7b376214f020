"""Memory throughput: it changes within minutes, for all processes alike.

Virtual machines share their memory with others. On two cores of an EPYC 9004 all
processes read 33 GB/s for some minutes and 62 GB/s for others. The reads that are
timed beside the steps tell how long a step that waits for memory takes at the
machine's usual throughput.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

import numpy as np
from scipy.stats import trim_mean

from bench.pick.draws import Floats

IN_MEMORY = 4
"""Data count as read from memory from this many times the effective cache on.

A cache that keeps what it can then holds a quarter of the data at the most.
"""

STATES = 20
"""Number of equally likely memory states that stand for all observed throughputs."""

WORTH_TELLING = 1.25
"""Ratio of fast to slow reads above which a remark tells the user."""

OUTLIERS = 0.1
"""Share of the reads, at either end, that the usual throughput leaves out."""

SEED = crc32(b"memory")
"""Seed of the memory states' draws: one for all backends, because they share the memory."""


@dataclass(frozen=True)
class MemoryThroughput:
    """The throughputs at which memory was read.

    Attributes
    ----------
    cache_bytes : int
        The effective size of the last cache, see `bench.pick.regime`.
    bytes_per_s : tuple of float
        One per process and size, ascending, without what the cache held.
    """

    cache_bytes: int
    bytes_per_s: tuple[float, ...] = ()

    @classmethod
    def of(cls, reads: Iterable[tuple[int, float]], cache_bytes: int) -> MemoryThroughput:
        """Take pairs of bytes and bytes/s; reads that a cache may have served are left out."""
        bare = cls(cache_bytes)
        return cls(
            cache_bytes,
            tuple(sorted(bare._beyond_cache(*r) for r in reads if bare.holds(r[0]))),
        )

    def holds(self, nbytes: int) -> bool:
        """Return whether data of this size are read from memory."""
        return nbytes >= IN_MEMORY * self.cache_bytes

    def _beyond_cache(self, nbytes: int, bytes_per_s: float) -> float:
        """Return the throughput of the bytes that a full cache cannot have kept."""
        return bytes_per_s * (1 - self.cache_bytes / nbytes)

    @cached_property
    def _usual_s(self) -> float:
        """Mean seconds a byte: a long descent meets every state for its share of the time."""
        return float(trim_mean(1 / np.array(self.bytes_per_s), OUTLIERS))

    @property
    def usual(self) -> float:
        """Bytes/s that a long descent gets on average."""
        return 1 / self._usual_s

    @property
    def slow(self) -> float:
        """Bytes/s that are seldom undercut."""
        return self.usual / self.states[-2]

    @property
    def fast(self) -> float:
        """Bytes/s that are seldom exceeded."""
        return self.usual / self.states[1]

    @property
    def changes(self) -> bool:
        """Whether the throughput differed enough to tell the user."""
        return bool(self.states) and self.fast > WORTH_TELLING * self.slow

    def slowness(self, nbytes: int, bytes_per_s: float) -> float:
        """Return how long a read took, relative to the usual throughput."""
        return 1 / (self._beyond_cache(nbytes, bytes_per_s) * self._usual_s)

    @cached_property
    def states(self) -> tuple[float, ...]:
        """`STATES` equally likely slownesses; empty where nothing was read."""
        if not self.bytes_per_s:
            return ()
        slow = 1 / (np.array(self.bytes_per_s) * self._usual_s)
        return tuple(np.quantile(slow, (np.arange(STATES) + 0.5) / STATES).tolist())

    def steady(
        self, nbytes: int, step_s: float, read_bytes_per_s: float
    ) -> tuple[float, float]:
        """Return a step's time at the usual throughput, and the share that waits for memory.

        A step reads its bytes at a fraction of the throughput of the bare read beside
        it. That fraction of the step's time is memory's; the rest is arithmetic.
        """
        waiting = min(1.0, nbytes / step_s / read_bytes_per_s)
        reading = step_s * waiting / self.slowness(nbytes, read_bytes_per_s)
        steady = step_s * (1 - waiting) + reading
        return steady, reading / steady


def drawn(states: tuple[float, ...], uniform: Floats) -> Floats:
    """Return the memory state that each number in (0, 1) stands for."""
    return np.asarray(states, dtype=np.float64).take((uniform * len(states)).astype(int))
