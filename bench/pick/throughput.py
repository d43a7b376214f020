"""At what pace memory is read: it changes within minutes, and for all processes alike.

What was read beside the steps tells how a step that waits for memory would have
done at the machine's usual pace. Virtual machines in particular share their memory
with others: on two cores of an EPYC 9004 all processes read 33 GB/s for some
minutes and 62 for others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy.stats import trim_mean

Floats = NDArray[np.float64]

IN_MEMORY = 4
"""Data of so many times the last cache are read from memory."""

STATES = 20
"""Equally likely ones, as which the paces are handed on."""

WORTH_TELLING = 1.25
"""Ratio of a slow to a fast read, beyond which a remark says so."""

OUTLIERS = 0.1
"""Of the reads, on either side, that the usual pace leaves out."""


@dataclass(frozen=True)
class MemoryPace:
    """The paces at which memory was read.

    Attributes
    ----------
    cache_bytes : int
        The last cache's size.
    bytes_per_s : tuple of float
        One a process and size, ascending, of what no cache held.
    """

    cache_bytes: int
    bytes_per_s: tuple[float, ...] = ()

    @classmethod
    def of(cls, reads: Iterable[tuple[int, float]], cache_bytes: int) -> MemoryPace:
        """Take bytes, and the bytes/s at which they were read; few bytes do not count."""
        bare = cls(cache_bytes)
        return cls(
            cache_bytes,
            tuple(sorted(bare._beyond_cache(*r) for r in reads if bare.holds(r[0]))),
        )

    def holds(self, nbytes: int) -> bool:
        """Whether so many bytes are read from memory."""
        return nbytes >= IN_MEMORY * self.cache_bytes

    def _beyond_cache(self, nbytes: int, bytes_per_s: float) -> float:
        """Return the pace of the bytes that the cache, once full, cannot have kept."""
        return bytes_per_s * (1 - self.cache_bytes / nbytes)

    @cached_property
    def _usual_s(self) -> float:
        """Seconds a byte: a descent that lasts meets all paces, each for its share of time."""
        return float(trim_mean(1 / np.array(self.bytes_per_s), OUTLIERS))

    @property
    def usual(self) -> float:
        """Bytes a second; what a long descent gets on average."""
        return 1 / self._usual_s

    @property
    def slow(self) -> float:
        """Bytes a second; seldom less."""
        return self.usual / self.states[-2]

    @property
    def fast(self) -> float:
        """Bytes a second; seldom more."""
        return self.usual / self.states[1]

    @property
    def changes(self) -> bool:
        """Whether the pace differed so much that who reads the times should know."""
        return bool(self.states) and self.fast > WORTH_TELLING * self.slow

    def slowness(self, nbytes: int, bytes_per_s: float) -> float:
        """Return how many times as long as usual a read took."""
        return 1 / (self._beyond_cache(nbytes, bytes_per_s) * self._usual_s)

    @cached_property
    def states(self) -> tuple[float, ...]:
        """`STATES` equally likely slownesses; none where nothing was read."""
        if not self.bytes_per_s:
            return ()
        slow = 1 / (np.array(self.bytes_per_s) * self._usual_s)
        return tuple(np.quantile(slow, (np.arange(STATES) + 0.5) / STATES).tolist())

    def steady(
        self, nbytes: int, step_s: float, read_bytes_per_s: float
    ) -> tuple[float, float]:
        """Return a step at the usual pace, and the share of it that waits for memory.

        A step reads its bytes at a fraction of the pace that a bare read beside it had:
        so much of its time is memory's, and the rest, arithmetic say, is its own.
        """
        waiting = min(1.0, nbytes / step_s / read_bytes_per_s)
        reading = step_s * waiting / self.slowness(nbytes, read_bytes_per_s)
        steady = step_s * (1 - waiting) + reading
        return steady, reading / steady


def drawn(states: tuple[float, ...], uniform: Floats) -> Floats:
    """Return the state that each number in (0, 1) stands for."""
    return np.asarray(states, dtype=np.float64).take((uniform * len(states)).astype(int))


SEED = crc32(b"memory")
"""Of the states' draws: the same for all backends, since all share the memory."""
