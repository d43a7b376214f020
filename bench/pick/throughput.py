"""Estimate the memory throughput, which changes within minutes for all processes alike.

Virtual machines share their memory with other virtual machines. On two cores of an EPYC 9004,
all processes read 33 GB/s for some minutes and 62 GB/s for other minutes. Reads are therefore
timed together with the steps, and each step's time is converted to the machine's usual
throughput.
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
"""Smallest size of data that are read from memory, in multiples of the effective cache size.

At this size, the cache holds at most a quarter of the data.
"""

STATES = 20
"""Number of equally likely memory states that stand for all observed throughputs."""

WORTH_TELLING = 1.25
"""Ratio of fast to slow throughput above which the answer contains a remark about memory."""

OUTLIERS = 0.1
"""Fraction of the reads at each end that is left out of the usual throughput."""

SEED = crc32(b"memory")
"""Seed of the memory states' draws: one for all backends, because all share the memory."""


@dataclass(frozen=True)
class MemoryThroughput:
    """The measured throughputs of reads from memory.

    Attributes
    ----------
    cache_bytes : int
        Effective size of the last cache, see `bench.pick.regime`.
    bytes_per_s : tuple of float
        One throughput per process and size, ascending, in bytes/s. Bytes that the cache may
        have held are not counted.
    """

    cache_bytes: int
    bytes_per_s: tuple[float, ...] = ()

    @classmethod
    def of(cls, reads: Iterable[tuple[int, float]], cache_bytes: int) -> MemoryThroughput:
        """Return the throughputs of the reads, which are pairs of bytes and bytes/s.

        Reads of data that a cache may have held are left out.
        """
        bare = cls(cache_bytes)
        return cls(
            cache_bytes,
            tuple(sorted(bare._beyond_cache(*r) for r in reads if bare.holds(r[0]))),
        )

    def holds(self, nbytes: int) -> bool:
        """Return whether memory, not the cache, serves reads of `nbytes`."""
        return nbytes >= IN_MEMORY * self.cache_bytes

    def _beyond_cache(self, nbytes: int, bytes_per_s: float) -> float:
        """Return the throughput of the bytes that a full cache cannot have held."""
        return bytes_per_s * (1 - self.cache_bytes / nbytes)

    @cached_property
    def _usual_s(self) -> float:
        """Mean seconds per byte, because a long descent spends some time in every state."""
        return float(trim_mean(1 / np.array(self.bytes_per_s), OUTLIERS))

    @property
    def usual(self) -> float:
        """Average throughput of a long descent, in bytes/s."""
        return 1 / self._usual_s

    @property
    def slow(self) -> float:
        """Throughput in the second slowest memory state, in bytes/s."""
        return self.usual / self.states[-2]

    @property
    def fast(self) -> float:
        """Throughput in the second fastest memory state, in bytes/s."""
        return self.usual / self.states[1]

    @property
    def changes(self) -> bool:
        """Whether the throughput varies enough for a remark."""
        return bool(self.states) and self.fast > WORTH_TELLING * self.slow

    def usual_read_s(self, nbytes: int) -> float:
        """Return the seconds of a read of `nbytes` bytes at the usual throughput.

        The bytes that the cache holds take no time.
        """
        return (nbytes - self.cache_bytes) * self._usual_s

    def slowness(self, nbytes: int, bytes_per_s: float) -> float:
        """Return the time of a read ÷ the time of the same read at the usual throughput."""
        return 1 / (self._beyond_cache(nbytes, bytes_per_s) * self._usual_s)

    @cached_property
    def states(self) -> tuple[float, ...]:
        """Relative read times in `STATES` equally likely memory states; empty without reads."""
        if not self.bytes_per_s:
            return ()
        slow = 1 / (np.array(self.bytes_per_s) * self._usual_s)
        return tuple(np.quantile(slow, (np.arange(STATES) + 0.5) / STATES).tolist())

    def steady(
        self, nbytes: int, step_s: float, read_bytes_per_s: float
    ) -> tuple[float, float]:
        """Return a step's seconds at the usual throughput, and the fraction spent waiting.

        The fraction of a step's time spent waiting for memory is the step's throughput divided
        by the throughput of a plain read. The rest of the time is arithmetic, which does not
        depend on the memory.
        """
        waiting = min(1.0, nbytes / step_s / read_bytes_per_s)
        reading = step_s * waiting / self.slowness(nbytes, read_bytes_per_s)
        steady = step_s * (1 - waiting) + reading
        return steady, reading / steady


def drawn(states: tuple[float, ...], uniform: Floats) -> Floats:
    """Return one memory state for each uniform number in (0, 1)."""
    return np.asarray(states, dtype=np.float64).take((uniform * len(states)).astype(int))
