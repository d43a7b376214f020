"""The yardstick: how fast this machine reads memory, at a given working set.

Every thread reads its own slice with a NumPy reduction, which uses wide loads
and does without the interpreter's lock. Which reduction reads fastest depends
on the machine and the size, so a `Reader` tries a few and keeps the best.

Found on two cores of an AMD EPYC 9004 with 32 MB of third-level cache, rates
relative to `sums` (interleaved, upper decile of many rounds), beside the
fastest read that was written in C, with 64-byte loads from two streams:

=============== =========== =========== =========== =========== ============
..              1 to 2 MB   4 to 16 MB  32 MB       48 to 72 MB 132 MB, more
=============== =========== =========== =========== =========== ============
largest         1.04–1.06   0.95–0.97   1.07        1.05–1.15   0.90–0.96
sums_of_halves  0.67–0.69   0.65–0.71   0.97        1.08–1.20   1.02–1.03
in C            1.09–1.10   0.97–1.01   1.10        1.03–1.15   0.98–0.99
=============== =========== =========== =========== =========== ============
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

_CHUNK = 1 << 10  # words, 8 kB
_ROUND_BYTES = 1 << 27  # small working sets are read again and again in a round

Words = NDArray[np.int64]


@dataclass(frozen=True)
class Reduction:
    """A thread's share of the work: reduce the last axis of `values`, which repeats them."""

    reduce: Callable[..., object]
    values: NDArray[np.integer]
    results: NDArray[np.integer]  # given, they settle the order; else memory's would be taken

    @classmethod
    def of(cls, function: np.ufunc, values: NDArray[np.integer], passes: int) -> Reduction:
        """Reduce the values' last axis, `passes` times over."""
        # A zero stride repeats the values inside one NumPy call.
        repeated = np.broadcast_to(values, (passes, *values.shape))
        return cls(function.reduce, repeated, np.empty(repeated.shape[:-1], values.dtype))

    def __call__(self) -> None:
        """Read the values."""
        self.reduce(self.values, axis=-1, out=self.results)


def sums(words: Words, passes: int) -> Reduction:
    """Add the words up, from the first to the last."""
    return Reduction.of(np.add, words, passes)


def largest(words: Words, passes: int) -> Reduction:
    """Find the largest byte, from the first to the last."""
    return Reduction.of(np.maximum, words.view(np.uint8), passes)


def sums_of_halves(words: Words, passes: int) -> Reduction:
    """Add up, a chunk of one half and a chunk of the other in turn; a last bit is left out."""
    chunks = len(words) // (2 * _CHUNK)
    halves = words[: 2 * chunks * _CHUNK].reshape(2, chunks, _CHUNK)
    return Reduction.of(np.add, halves.swapaxes(0, 1), passes)


WAYS = (sums, largest, sums_of_halves)


class Reader:
    """Reads a buffer of `nbytes` with `threads` threads, in the fastest of the `WAYS`.

    Attributes
    ----------
    passes : int
        How often a call reads the whole buffer.
    """

    def __init__(self, nbytes: int, threads: int) -> None:
        words = np.ones(max(threads, nbytes // 8), np.int64)
        self.passes = max(1, _ROUND_BYTES // words.nbytes)
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
    return sum(int(part.values.nbytes) for part in way)
