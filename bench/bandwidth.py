"""The yardstick: how fast this machine reads memory, at a given working set.

Every thread reads its own slice with a NumPy reduction, which uses wide loads
and does without the interpreter's lock. Which reduction reads fastest depends
on the machine and the size, so a `Reader` tries a few and keeps the best.

A call reads for as long as a round of steps takes. A single pass pays for
waking the threads and for what the caches lost meanwhile, and is no bound for
steps that follow each other: of 80 MB a call of one pass read 29 to 35 GB/s
where calls of twelve, and a descent's steps, read 40 to 56.

On two cores of an AMD EPYC 9004 with 32 MB of third-level cache, GB/s, the
median of 25 interleaved rounds, beside the descent of one float32 feature
(`numba:parallel`):

======== ==== ===== ===== ===== ===== ====== ====== ======
..       8 MB 32 MB 48 MB 64 MB 80 MB 100 MB 132 MB 280 MB
======== ==== ===== ===== ===== ===== ====== ====== ======
sums      118    65    48    43    42     42     40     34
largest   161    80    53    45    45     42     37     33
dots      154    82    54    46    44     42     39     33
descent   140    71    50    47    42     42     39     34
======== ==== ===== ===== ===== ===== ====== ====== ======
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SMALLEST_BYTES = 1 << 20
"""Below it a step waits for latency, not bandwidth: no fraction is reported."""

TRIALS = 5

_ROUND_BYTES = 1 << 30
"""What a call reads at the least: about as long as a round of steps."""

_CHUNK = 1 << 11
"""Words of a dot product, 16 kB of each half: BLAS leaves so few to one thread."""

Words = NDArray[np.float64]
Values = NDArray[np.generic]


@dataclass(frozen=True)
class Reduction:
    """A thread's share of the work: reduce the last axis of `values`, which repeat."""

    reduce: Callable[..., object]
    values: tuple[Values, ...]
    results: Values  # given, they settle the order; else memory's would be taken

    @classmethod
    def of(cls, reduce: Callable[..., object], *values: Values, passes: int) -> Reduction:
        """Reduce the values' last axis, `passes` times over."""
        # A zero stride repeats the values inside one NumPy call.
        repeated = tuple(np.broadcast_to(v, (passes, *v.shape)) for v in values)
        return cls(reduce, repeated, np.empty(repeated[0].shape[:-1], values[0].dtype))

    def __call__(self) -> None:
        """Read the values."""
        self.reduce(*self.values, axis=-1, out=self.results)

    @property
    def nbytes(self) -> int:
        """How much a call reads."""
        return sum(int(values.nbytes) for values in self.values)


def sums(words: Words, passes: int) -> Reduction:
    """Add the words up as integers, from the first to the last."""
    return Reduction.of(np.add.reduce, words.view(np.int64), passes=passes)


def largest(words: Words, passes: int) -> Reduction:
    """Find the largest byte, from the first to the last."""
    return Reduction.of(np.maximum.reduce, words.view(np.uint8), passes=passes)


def dots(words: Words, passes: int) -> Reduction:
    """Multiply one half by the other, side by side as a step walks X and y.

    What no whole chunk of both halves holds is left out.
    """
    chunks = len(words) // (2 * _CHUNK)
    halves = words[: 2 * chunks * _CHUNK].reshape(2, chunks, _CHUNK)
    return Reduction.of(np.vecdot, *halves, passes=passes)


WAYS = (sums, largest, dots)


class Reader:
    """Reads a buffer of `nbytes` with `threads` threads, in the fastest of the `WAYS`.

    Attributes
    ----------
    passes : int
        How often a call reads the whole buffer.
    """

    def __init__(self, nbytes: int, threads: int) -> None:
        words = np.ones(max(threads, nbytes // 8))
        self.passes = max(1, _ROUND_BYTES // max(words.nbytes, SMALLEST_BYTES))
        self._pool = ThreadPoolExecutor(threads)
        parts = np.array_split(words, threads)
        ways = [[way(part, self.passes) for part in parts] for way in WAYS]
        rates = np.array([[self._try(way) for way in ways] for _ in range(TRIALS)])
        self._way = ways[rates.max(axis=0).argmax()]

    @property
    def nbytes(self) -> int:
        """How much of the buffer is read."""
        return _nbytes(self._way) // self.passes

    def _try(self, way: list[Reduction]) -> float:
        """Return the bytes read a second; they choose a way, nothing of it is reported."""
        began = time.perf_counter()
        self._read(way)
        return _nbytes(way) / (time.perf_counter() - began)

    def _read(self, way: list[Reduction]) -> None:
        for _ in self._pool.map(Reduction.__call__, way):
            pass

    def __call__(self) -> None:
        """Read the buffer `passes` times."""
        self._read(self._way)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def _nbytes(way: list[Reduction]) -> int:
    return sum(part.nbytes for part in way)
