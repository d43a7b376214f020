"""The baseline of a step: how fast this machine reads a working set of its size.

Every thread reads its own slice with a NumPy reduction, which uses wide loads and
releases the interpreter's lock. The fastest reduction depends on the machine and the
size, so a `Reader` tries a few and keeps the best.

A call reads for as long as a round of steps takes. A single pass pays for waking the
threads and refilling the caches, so it is no bound for steps that follow each other: a
call of one pass over 80 MB read 29–35 GB/s, while calls of twelve passes, and the steps
of a descent, read 40–56 GB/s.

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

Data in memory take longer to read, and all reductions read them alike.
"""

_ROUND_BYTES = 1 << 30
"""Fewest bytes that a call reads: they take about as long as a round of steps."""

_CHUNK_BYTES = 1 << 14
"""Bytes of each half of a dot product: few enough that BLAS uses one thread."""

_WORD_BYTES = 8

IN_PLACE_BYTES = 1 << 28
"""Data size in bytes from which the data themselves are read; smaller ones are repeated."""

Values = NDArray[np.generic]


@dataclass(frozen=True)
class Reduction:
    """A thread's share of the work: it reduces the last axis of repeated values."""

    reduce: Callable[..., object]
    values: tuple[Values, ...]
    results: Values  # given, they settle the order; else memory's would be taken

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
        """Bytes that a call reads."""
        return sum(int(values.nbytes) for values in self.values)


def sums(values: Values, passes: int) -> Reduction:
    """Add the values' words up as integers, from the first to the last."""
    return Reduction.of(np.add.reduce, values.view(np.int64), passes=passes)


def largest(values: Values, passes: int) -> Reduction:
    """Find the largest byte, from the first to the last."""
    return Reduction.of(np.maximum.reduce, values.view(np.uint8), passes=passes)


def dots(values: Values, passes: int) -> Reduction:
    """Multiply one half by the other, side by side as a step walks X and y.

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
        Number of times that a call reads all arrays.
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
        """Return a reader of a buffer of its own; a call takes as long as a round of steps."""
        words = np.ones(max(threads, nbytes // _WORD_BYTES))
        passes = max(1, _ROUND_BYTES // max(words.nbytes, SMALLEST_BYTES))
        return cls([words], threads, passes)

    @classmethod
    def of(cls, problem: Problem, threads: int) -> Reader:
        """Return a reader of as many bytes as a step over the problem reads.

        It reads large data in place: a step and a read then find the same memory in the
        same state.
        """
        if problem.bytes_per_step < IN_PLACE_BYTES:
            return cls.of_bytes(problem.bytes_per_step, threads)
        return cls(
            [np.ascontiguousarray(v).reshape(-1) for v in (problem.x, problem.y)], threads
        )

    @property
    def nbytes(self) -> int:
        """Bytes that a pass reads."""
        return _nbytes(self._way) // self.passes

    def _try(self, way: list[list[Reduction]]) -> float:
        """Return the bytes a second of one reduction."""
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
        """Read everything `passes` times."""
        self._read(self._way)

    def bytes_per_s(self) -> float:
        """Read everything `passes` times and return the bytes a second.

        The first read is not timed: it takes twice as long while threads of a backend
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
    """Cut an array into a part for each thread, of whole words."""
    words = values.nbytes // _WORD_BYTES
    ends = [words * k // threads * _WORD_BYTES // values.itemsize for k in range(threads + 1)]
    return [values[start:stop] for start, stop in pairwise(ends)]
