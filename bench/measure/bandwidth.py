"""The baseline of a step: the speed at which this machine reads as many bytes as a step.

Every thread reads its own slice with a NumPy reduction, which uses wide loads and releases the
interpreter's lock. The fastest reduction depends on the machine and the size, so a `Reader`
tries a few reductions and uses the fastest.

A call reads for as long as a round of steps takes. A single pass includes the time of waking
the threads and refilling the caches, so its speed is no bound for consecutive steps. One pass
over 80 MB read 29–35 GB/s; twelve passes, and the steps of a descent, read 40–56 GB/s.

The table gives GB/s on two cores of an AMD EPYC 9004 with 32 MB of third-level cache:
medians of 25 interleaved rounds, beside the descent of one float32 feature
(`numba:parallel`).

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
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from backends.problem import Problem
from bench.host.waiting import warm_up
from bench.results.case import SMALLEST_BYTES

TRIALS, FEWER_TRIALS = 5, 2
"""Trials of each reduction for data in a cache, and for data in memory.

Data in memory take longer to read, and all reductions read memory at nearly one speed.
"""

_ROUND_BYTES = 1 << 30
"""Smallest number of bytes that a call reads: about as long as a round of steps."""

_CHUNK_BYTES = 1 << 14
"""Size in bytes of each half of a dot product: small enough that BLAS uses one thread."""

_WORD_BYTES = 8

IN_PLACE_BYTES = 1 << 28
"""Data size in bytes from which the problem's data are read; smaller sizes use a separate
buffer."""

Values = NDArray[np.generic]


@dataclass(frozen=True)
class Reduction:
    """A thread's share of the work: a reduction of the last axis of repeated values."""

    reduce: Callable[..., object]
    values: tuple[Values, ...]
    results: Values  # fixes the order of reading; NumPy would use memory order

    @classmethod
    def of(cls, reduce: Callable[..., object], *values: Values, passes: int) -> Reduction:
        """Return the reduction of the values' last axis, `passes` times over."""
        # A zero stride repeats the values inside one NumPy call.
        repeated = tuple(np.broadcast_to(v, (passes, *v.shape)) for v in values)
        return cls(reduce, repeated, np.empty(repeated[0].shape[:-1], values[0].dtype))

    def __call__(self) -> None:
        """Read the values."""
        self.reduce(*self.values, axis=-1, out=self.results)

    @property
    def nbytes(self) -> int:
        """Return the number of bytes that a call reads."""
        return sum(int(values.nbytes) for values in self.values)


def sums(values: Values, passes: int) -> Reduction:
    """Add up the values' words as integers, from the first to the last."""
    return Reduction.of(np.add.reduce, values.view(np.int64), passes=passes)


def largest(values: Values, passes: int) -> Reduction:
    """Find the largest byte, from the first to the last."""
    return Reduction.of(np.maximum.reduce, values.view(np.uint8), passes=passes)


def dots(values: Values, passes: int) -> Reduction:
    """Multiply one half by the other; like a step over X and y, this reads two arrays.

    Values beyond the last whole chunk of both halves are left out.
    """
    length = _CHUNK_BYTES // values.itemsize
    chunks = len(values) // (2 * length)
    halves = values[: 2 * chunks * length].reshape(2, chunks, length)
    return Reduction.of(np.vecdot, *halves, passes=passes)


WAYS = (sums, largest, dots)


class Reader:
    """Reads arrays with `threads` threads and the fastest of the `WAYS`.

    Attributes
    ----------
    passes : int
        Number of passes over all arrays in a call.
    """

    def __init__(self, arrays: Sequence[Values], threads: int, passes: int = 1) -> None:
        self.passes = passes
        self._pool = ThreadPoolExecutor(threads)
        parts = list(zip(*(_split(values, threads) for values in arrays), strict=True))
        ways = [[[way(v, passes) for v in part] for part in parts] for way in WAYS]
        trials = TRIALS if passes > 1 else FEWER_TRIALS
        rates = np.array([[self._try(way) for way in ways] for _ in range(trials)])
        self._way = ways[rates.max(axis=0).argmax()]

    @classmethod
    def of_bytes(cls, nbytes: int, threads: int) -> Reader:
        """Return a reader of a new buffer; a call takes as long as a round of steps."""
        words = np.ones(max(threads, nbytes // _WORD_BYTES))
        passes = max(1, _ROUND_BYTES // max(words.nbytes, SMALLEST_BYTES))
        return cls([words], threads, passes)

    @classmethod
    def of(cls, problem: Problem, threads: int) -> Reader:
        """Return a reader of as many bytes as a step over the problem reads.

        Large data are read in place, so that a step and a read use one piece of memory in one
        state.
        """
        if problem.bytes_per_step < IN_PLACE_BYTES:
            return cls.of_bytes(problem.bytes_per_step, threads)
        return cls(
            [np.ascontiguousarray(v).reshape(-1) for v in (problem.x, problem.y)], threads
        )

    @property
    def nbytes(self) -> int:
        """Return the number of bytes that a pass reads."""
        return _nbytes(self._way) // self.passes

    def _try(self, way: list[list[Reduction]]) -> float:
        """Return the bytes per second that one reduction reads."""
        began = time.perf_counter()
        self._read(way)
        return _nbytes(way) / (time.perf_counter() - began)

    def _read(self, way: list[list[Reduction]]) -> None:
        for _ in self._pool.map(self._read_part, way):
            pass

    @staticmethod
    def _read_part(part: list[Reduction]) -> None:
        for reduction in part:
            reduction()

    def __call__(self) -> None:
        """Read all arrays `passes` times."""
        self._read(self._way)

    def bytes_per_s(self) -> float:
        """Read all arrays `passes` times and return the bytes per second.

        The first read is not timed, because it takes twice as long while a backend's threads
        still spin on the processors.
        """
        warm_up(self)
        return self._try(self._way)

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown()


def _nbytes(way: list[list[Reduction]]) -> int:
    return sum(reduction.nbytes for part in way for reduction in part)


def _split(values: Values, threads: int) -> list[Values]:
    """Cut an array into one part of whole words for each thread."""
    words = values.nbytes // _WORD_BYTES
    ends = [words * k // threads * _WORD_BYTES // values.itemsize for k in range(threads + 1)]
    return [values[start:stop] for start, stop in pairwise(ends)]
