"""Estimate the speed at which memory is read, which changes within minutes.

Reason for the changes: several virtual machines share one memory. On two cores of an EPYC 9004,
all processes read 33 GB/s for some minutes and 62 GB/s for other minutes. Reads are therefore
timed together with the steps. Each step's time is converted to the usual speed of memory.
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
"""Data are read from memory if they are at least four times as large as the effective cache.

At this size, the cache holds at most a quarter of the data.
"""

STATES = 20
"""Number of equally likely speeds of memory that summarise all measured speeds."""

WORTH_TELLING = 1.25
"""The answer mentions the memory if its fast throughput is over 1.25 times its slow one."""

OUTLIERS = 0.1
"""The usual throughput ignores the fastest 10 % and the slowest 10 % of the reads."""

SEED = crc32(b"memory")
"""Seed of the random speeds of memory; one seed, because all backends use the same memory."""


@dataclass(frozen=True)
class MemoryThroughput:
    """The measured throughputs of reads from memory.

    Attributes
    ----------
    cache_bytes : int
        Effective size of the last cache, see `bench.pick.regime`.
    bytes_per_s : tuple of float
        Throughput of each read in bytes/s, ascending. Bytes that the cache may have held are
        not counted.
    """

    cache_bytes: int
    bytes_per_s: tuple[float, ...] = ()

    @classmethod
    def of(cls, reads: Iterable[tuple[int, float]], cache_bytes: int) -> MemoryThroughput:
        """Collect the throughputs of the reads that memory has served.

        `reads` are pairs of bytes and bytes/s. Reads of data that fit in a cache are left out.
        """
        bare = cls(cache_bytes)
        return cls(
            cache_bytes,
            tuple(sorted(bare._beyond_cache(*r) for r in reads if bare.holds(r[0]))),
        )

    def holds(self, nbytes: int) -> bool:
        """Return whether data of `nbytes` bytes are read from memory instead of a cache."""
        return nbytes >= IN_MEMORY * self.cache_bytes

    def _beyond_cache(self, nbytes: int, bytes_per_s: float) -> float:
        """Return the throughput of a read, counting only the bytes that exceed the cache."""
        return bytes_per_s * (1 - self.cache_bytes / nbytes)

    @cached_property
    def _usual_s(self) -> float:
        """Mean seconds per byte of all reads, without the outliers.

        Reason for the mean: a long descent experiences all speeds of the memory.
        """
        return float(trim_mean(1 / np.array(self.bytes_per_s), OUTLIERS))

    @property
    def usual(self) -> float:
        """Average throughput during a long descent, in bytes/s."""
        return 1 / self._usual_s

    @property
    def slow(self) -> float:
        """Second slowest of the `states` as a throughput, in bytes/s."""
        return self.usual / self.states[-2]

    @property
    def fast(self) -> float:
        """Second fastest of the `states` as a throughput, in bytes/s."""
        return self.usual / self.states[1]

    @property
    def changes(self) -> bool:
        """Whether the throughput varies enough to be mentioned in the answer."""
        return bool(self.states) and self.fast > WORTH_TELLING * self.slow

    def usual_read_s(self, nbytes: int) -> float:
        """Return the seconds to read `nbytes` bytes at the usual throughput.

        Bytes in the cache count as 0 seconds.
        """
        return (nbytes - self.cache_bytes) * self._usual_s

    def slowness(self, nbytes: int, bytes_per_s: float) -> float:
        """Return the time of a read, divided by its time at the usual throughput."""
        return 1 / (self._beyond_cache(nbytes, bytes_per_s) * self._usual_s)

    @cached_property
    def states(self) -> tuple[float, ...]:
        """`STATES` equally likely times of a read, divided by its time at the usual throughput.

        The times are ascending. The tuple is empty if no reads from memory were timed.
        """
        if not self.bytes_per_s:
            return ()
        slow = 1 / (np.array(self.bytes_per_s) * self._usual_s)
        return tuple(np.quantile(slow, (np.arange(STATES) + 0.5) / STATES).tolist())

    def steady(
        self, nbytes: int, step_s: float, read_bytes_per_s: float
    ) -> tuple[float, float]:
        """Convert a step's time to the usual throughput of memory.

        Only the part of the time in which the step waits for memory is converted. As a fraction
        of the step's time, it is the step's throughput divided by that of a read without
        computing.

        Returns
        -------
        seconds : float
            Time of the step at the usual throughput.
        waiting : float
            Fraction of this time in which the step waits for memory.
        """
        waiting = min(1.0, nbytes / step_s / read_bytes_per_s)
        reading = step_s * waiting / self.slowness(nbytes, read_bytes_per_s)
        steady = step_s * (1 - waiting) + reading
        return steady, reading / steady


def drawn(states: tuple[float, ...], uniform: Floats) -> Floats:
    """Return one of `states` for each uniform random number in (0, 1)."""
    return np.asarray(states, dtype=np.float64).take((uniform * len(states)).astype(int))
