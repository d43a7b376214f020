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
"""Of each way; fewer of data in memory, which all ways read alike, and which take longer."""

_ROUND_BYTES = 1 << 30
"""What a call reads at the least: about as long as a round of steps."""

_CHUNK_BYTES = 1 << 14
"""Of each half of a dot product: BLAS leaves so few to one thread."""

_WORD_BYTES = 8

IN_PLACE_BYTES = 1 << 28
"""From here on data are read where they are. Of less, a call would take too little time."""

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


def sums(values: Values, passes: int) -> Reduction:
    """Add the values' words up as integers, from the first to the last."""
    return Reduction.of(np.add.reduce, values.view(np.int64), passes=passes)


def largest(values: Values, passes: int) -> Reduction:
    """Find the largest byte, from the first to the last."""
    return Reduction.of(np.maximum.reduce, values.view(np.uint8), passes=passes)


def dots(values: Values, passes: int) -> Reduction:
    """Multiply one half by the other, side by side as a step walks X and y.

    What no whole chunk of both halves holds is left out.
    """
    length = _CHUNK_BYTES // values.itemsize
    chunks = len(values) // (2 * length)
    halves = values[: 2 * chunks * length].reshape(2, chunks, length)
    return Reduction.of(np.vecdot, *halves, passes=passes)


WAYS = (sums, largest, dots)


class Reader:
    """Reads arrays with `threads` threads, in the fastest of the `WAYS`.

    Attributes
    ----------
    passes : int
        How often a call reads all of them.
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
        """Read a buffer of its own, for as long as a round of steps takes."""
        words = np.ones(max(threads, nbytes // _WORD_BYTES))
        passes = max(1, _ROUND_BYTES // max(words.nbytes, SMALLEST_BYTES))
        return cls([words], threads, passes)

    @classmethod
    def of(cls, problem: Problem, threads: int) -> Reader:
        """Read as many bytes as a step over the problem; in place where they are many.

        Then both find the same memory in the same state.
        """
        if problem.bytes_per_step < IN_PLACE_BYTES:
            return cls.of_bytes(problem.bytes_per_step, threads)
        return cls(
            [np.ascontiguousarray(v).reshape(-1) for v in (problem.x, problem.y)], threads
        )

    @property
    def nbytes(self) -> int:
        """How much a pass reads."""
        return _nbytes(self._way) // self.passes

    def _try(self, way: list[list[Reduction]]) -> float:
        """Return the bytes read a second in one of the ways."""
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
        """Read everything `passes` times, and return at what pace.

        Threads of a backend may still spin on the processors: the first read takes twice
        as long, and is not timed.
        """
        warm_up(self)
        return self._try(self._way)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def _nbytes(way: list[list[Reduction]]) -> int:
    return sum(reduction.nbytes for part in way for reduction in part)


def _split(values: Values, threads: int) -> list[Values]:
    """Cut an array in a part a thread, each of whole words."""
    words = values.nbytes // _WORD_BYTES
    ends = [words * k // threads * _WORD_BYTES // values.itemsize for k in range(threads + 1)]
    return [values[start:stop] for start, stop in pairwise(ends)]
