"""Estimate how fast memory is read. This speed changes within minutes.

The speed changes because several virtual machines share one memory. On two cores of an EPYC
9004, all processes read 33 GB/s for some minutes and 62 GB/s for other minutes. Plain reads are
therefore timed together with the steps, in the same process. Each measured step time is
converted to the time that the step takes if memory has its usual speed.
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
"""Smallest data size that counts as read from memory, as a multiple of the cache size.

The cache size is what this process can really use (`bench.pick.regime`). At 4 times this size,
the cache holds at most a quarter of the data.
"""

STATES = 20
"""Number of equally likely values that represent the measured speeds of memory: 20."""

WORTH_TELLING = 1.25
"""Smallest ratio of fast to slow memory throughput that ``pick`` mentions in its answer."""

OUTLIERS = 0.1
"""Fraction of the reads to ignore at each end: the fastest 10 % and the slowest 10 %.

The usual throughput is computed from all other reads.
"""

SEED = crc32(b"memory")
"""Seed of the random numbers with which `drawn` selects a speed of memory.

All backends use this seed, so all of them get the same random speeds.
"""


@dataclass(frozen=True)
class MemoryThroughput:
    """The measured throughputs of reads from memory.

    Attributes
    ----------
    cache_bytes : int
        Cache size in bytes that this process can really use, see `bench.pick.regime`.
    bytes_per_s : tuple of float
        Throughputs of the reads in bytes/s, in ascending order. A throughput is the number of
        bytes that do not fit in the cache, divided by the time of the read.
    """

    cache_bytes: int
    bytes_per_s: tuple[float, ...] = ()

    @classmethod
    def of(cls, reads: Iterable[tuple[int, float]], cache_bytes: int) -> MemoryThroughput:
        """Collect the throughputs of the reads whose data do not fit in a cache.

        `reads` are pairs of bytes and bytes/s.
        """
        bare = cls(cache_bytes)
        return cls(
            cache_bytes,
            tuple(sorted(bare._beyond_cache(*r) for r in reads if bare.holds(r[0]))),
        )

    def holds(self, nbytes: int) -> bool:
        """Return whether data of `nbytes` bytes are held in memory, not in a cache."""
        return nbytes >= IN_MEMORY * self.cache_bytes

    def _beyond_cache(self, nbytes: int, bytes_per_s: float) -> float:
        """Return the throughput of a read, without the bytes that fit in the cache."""
        return bytes_per_s * (1 - self.cache_bytes / nbytes)

    @cached_property
    def _usual_s(self) -> float:
        """Mean seconds per byte of all reads, without the fastest and the slowest 10 %.

        The mean suits a long descent, during which memory is sometimes fast and sometimes slow.
        """
        return float(trim_mean(1 / np.array(self.bytes_per_s), OUTLIERS))

    @property
    def usual(self) -> float:
        """Average throughput of memory during a long descent, in bytes/s."""
        return 1 / self._usual_s

    @property
    def slow(self) -> float:
        """Throughput when memory is slow, in bytes/s: 7.5 % of the reads are slower."""
        return self.usual / self.states[-2]

    @property
    def fast(self) -> float:
        """Throughput in bytes/s that only the fastest 7.5 % of the reads exceed."""
        return self.usual / self.states[1]

    @property
    def changes(self) -> bool:
        """Whether memory's throughput varies by more than a quarter (`WORTH_TELLING`)."""
        return bool(self.states) and self.fast > WORTH_TELLING * self.slow

    def usual_read_s(self, nbytes: int) -> float:
        """Return the seconds to read `nbytes` bytes of data at memory's usual throughput.

        The part of the data that fits in the cache counts as 0 seconds.
        """
        return (nbytes - self.cache_bytes) * self._usual_s

    def slowness(self, nbytes: int, bytes_per_s: float) -> float:
        """Return the time of a read ÷ the time that it takes at memory's usual throughput."""
        return 1 / (self._beyond_cache(nbytes, bytes_per_s) * self._usual_s)

    @cached_property
    def states(self) -> tuple[float, ...]:
        """Possible times to read a byte from memory, divided by the usual time to read it.

        The tuple has 20 values (`STATES`), ascending and equally likely. It is empty if no
        reads from memory were timed.
        """
        if not self.bytes_per_s:
            return ()
        slow = 1 / (np.array(self.bytes_per_s) * self._usual_s)
        return tuple(np.quantile(slow, (np.arange(STATES) + 0.5) / STATES).tolist())

    def steady(
        self, nbytes: int, step_s: float, read_bytes_per_s: float
    ) -> tuple[float, float]:
        """Convert a step's time to the time that it takes at memory's usual throughput.

        Only the time in which the step waits for memory is converted. The step is assumed to
        wait as long as it takes to read its data without computing.

        Returns
        -------
        seconds : float
            Time of the step at the usual throughput.
        waiting : float
            Fraction of `seconds` in which the step waits for memory.
        """
        waiting = min(1.0, nbytes / step_s / read_bytes_per_s)
        reading = step_s * waiting / self.slowness(nbytes, read_bytes_per_s)
        steady = step_s * (1 - waiting) + reading
        return steady, reading / steady


def drawn(states: tuple[float, ...], uniform: Floats) -> Floats:
    """Return one element of `states` for each random number in `uniform` (from 0 to 1)."""
    return np.asarray(states, dtype=np.float64).take((uniform * len(states)).astype(int))
