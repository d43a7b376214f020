"""Measure how fast this machine reads its memory, as a baseline for the speed of a step.

A `Reader` reads as many bytes as a step. Several threads read at the same time, each thread its
own slice of the data. The fastest way of reading depends on the machine and on the size of the
data. A `Reader` therefore tries these ways and uses the fastest:

- reductions of NumPy, such as a sum;
- if Numba is installed, compiled loops that read from one, two or four places of a slice in
  turn, with and without a prefetch.

A `Reader` reads the data many times in a row, so that starting the threads takes only a small
part of the time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from backends import catalogue
from backends.errors import MissingLibraryError
from backends.names import libraries
from backends.problem import Problem
from bench.host.waiting import warm_up
from bench.results.case import SMALLEST_BYTES

TRIALS, FEWER_TRIALS = 5, 2
"""Number of trials of each way of reading: 5, or 2 for large data (`Reader.passes` is 1). All
ways read large data at nearly the same speed."""

_TRIAL_BYTES = 1 << 28
"""Approximate number of bytes read in one trial: 256 MiB. Reading them takes milliseconds, much
longer than starting the threads."""

HOPELESS = 0.75
"""A way of reading is tried again only if its throughput in the first trial is at least 75 % of
the fastest way's throughput."""

_ROUND_BYTES = 1 << 30
"""Approximate number of bytes that a `Reader` reads from a new buffer in one call: 1 GiB.
Reading them takes about 20 ms, as long as a timed round of steps."""

_CHUNK_BYTES = 1 << 14
"""Size in bytes of each operand of a dot product: so small that BLAS starts no threads."""

_WORD_BYTES = 8
"""Size of a word in bytes: 8. Arrays are split between two words, never inside a word."""

IN_PLACE_BYTES = 1 << 25
"""Smallest size in bytes of X and y for which a `Reader` reads X and y themselves: 32 MiB.

For smaller X and y, which can fit into a cache, a `Reader` reads a new buffer of as many bytes.
"""

_IN_PLACE_READ_BYTES = 1 << 28
"""Smallest number of bytes that a `Reader` reads from X and y in one call: 256 MiB.

X and y are read several times if they are smaller. Reading 256 MiB takes about 10 ms.
"""

Values = NDArray[np.generic]


class Part(Protocol):
    """A function without arguments that reads one thread's slice of an array."""

    def __call__(self) -> None:
        """Read all values of one thread's slice of an array."""

    @property
    def nbytes(self) -> int:
        """Return the number of bytes that one call of this function reads."""


@dataclass(frozen=True)
class Reduction:
    """Reads one thread's slice of an array with a reduction of NumPy, such as a sum."""

    reduce: Callable[..., object]
    values: tuple[Values, ...]
    results: Values  # as `out`, so that NumPy reads the values in order

    @classmethod
    def of(cls, reduce: Callable[..., object], *values: Values, passes: int) -> Reduction:
        """Return a `Part` that makes `passes` passes over the values, in one call of NumPy."""
        # A stride of 0 repeats the values inside one NumPy call.
        repeated = tuple(np.broadcast_to(v, (passes, *v.shape)) for v in values)
        return cls(reduce, repeated, np.empty(repeated[0].shape[:-1], values[0].dtype))

    def __call__(self) -> None:
        """Read all values of one thread's slice of an array."""
        self.reduce(*self.values, axis=-1, out=self.results)

    @property
    def nbytes(self) -> int:
        """Return the number of bytes that one call of this object reads."""
        return sum(int(values.nbytes) for values in self.values)


def sums(values: Values, passes: int) -> Reduction:
    """Return a `Part` that reads the values by adding them up as 8-byte integers."""
    return Reduction.of(np.add.reduce, values.view(np.int64), passes=passes)


def largest(values: Values, passes: int) -> Reduction:
    """Return a `Part` that reads the values by computing the maximum of all bytes."""
    return Reduction.of(np.maximum.reduce, values.view(np.uint8), passes=passes)


def dots(values: Values, passes: int) -> Reduction:
    """Return a `Part` that reads the values by computing dot products.

    Each product has one operand from the first half of the values and one from the second half.
    A step also reads two arrays at a time: X and y. An operand has `_CHUNK_BYTES` bytes. The
    last values of a half are not read if they do not fill an operand.
    """
    length = _CHUNK_BYTES // values.itemsize
    chunks = len(values) // (2 * length)
    halves = values[: 2 * chunks * length].reshape(2, chunks, length)
    return Reduction.of(np.vecdot, *halves, passes=passes)


@dataclass(frozen=True)
class Compiled:
    """Reads one thread's slice of an array `passes` times with a compiled loop.

    The loop reads from `places` places of the array in turn. `ahead` is the prefetch distance
    in cache lines; 0 means no prefetch.
    """

    values: Values
    places: int
    ahead: int
    passes: int

    def __call__(self) -> None:
        """Read all values of one thread's slice of an array."""
        from backends.numba.read import sum_of

        sum_of(self.values, self.places, self.passes, self.ahead)

    @property
    def nbytes(self) -> int:
        """Return the number of bytes that one call of this object reads."""
        from backends.numba.read import values_read

        return self.passes * self.values.itemsize * values_read(len(self.values), self.places)

    @classmethod
    def of(cls, places: int, ahead: int, values: Values, passes: int) -> Compiled:
        """Return a `Compiled` that reads the slice `values` as 4-byte integers."""
        return cls(values.view(np.int32), places, ahead, passes)


Way = Callable[[Values, int], Part]
"""A way of reading: ``way(values, passes)`` returns a `Part` that reads all values `passes`
times. The values are one thread's slice of an array."""

REDUCTIONS: dict[str, Way] = {
    "NumPy, integer sums": sums,
    "NumPy, largest byte": largest,
    "NumPy, dot products": dots,
}
"""Ways of reading with NumPy; see `Way`. The keys are names that result files contain."""


@cache
def compiled() -> dict[str, Way]:
    """Return the ways of reading with a compiled loop, by name; empty without Numba."""
    try:
        module = catalogue.load(libraries()["numba"], "backends.numba.read")
    except MissingLibraryError:
        return {}
    for places in module.PLACES:
        module.sum_of(np.empty(0, np.int32), places, 1)  # compiles, or loads compiled code
    found: dict[str, Way] = {}
    for places in module.PLACES:
        name = f"compiled, {places} place{'s' * (places > 1)}"
        found[name] = partial(Compiled.of, places, module.AHEAD_LINES)
        found[f"{name}, no prefetch"] = partial(Compiled.of, places, 0)
    return found


def ways(nbytes: int) -> dict[str, Way]:
    """Return the ways of reading that a `Reader` tries for an array of `nbytes` bytes, by name.

    The compiled ways are left out if `nbytes` is below `SMALLEST_BYTES`.
    """
    return REDUCTIONS if nbytes < SMALLEST_BYTES else compiled() | REDUCTIONS


_known: dict[tuple[int, int], str] = {}
"""Name of the fastest way of reading, for each pair (number of bytes, number of threads)."""


class Reader:
    """Reads arrays with `threads` threads in the fastest of several ways.

    Attributes
    ----------
    passes : int
        Number of times that each call of the reader reads all arrays.
    way : str
        Name of the fastest way of reading.
    """

    def __init__(self, arrays: Sequence[Values], threads: int, passes: int = 1) -> None:
        self.passes = passes
        self._pool = ThreadPoolExecutor(threads)
        parts = list(zip(*(_split(values, threads) for values in arrays), strict=True))
        nbytes = sum(values.nbytes for values in arrays)
        possible, tried = ways(nbytes), min(passes, -(-_TRIAL_BYTES // max(1, nbytes)))

        def work(name: str, passes: int) -> list[list[Part]]:
            return [[possible[name](v, passes) for v in part] for part in parts]

        self.way = _known.get((nbytes, threads), "")
        if self.way not in possible:
            trials = {name: work(name, tried) for name in possible}
            self.way = self._fastest(trials, TRIALS if passes > 1 else FEWER_TRIALS)
            _known[nbytes, threads] = self.way
        self._work = work(self.way, passes)

    def _fastest(self, work: dict[str, list[list[Part]]], trials: int) -> str:
        """Try each way of reading and return the fastest way's name.

        A way that is `HOPELESS` in its first trial is not tried again.
        """
        rates = {name: self._try(parts) for name, parts in work.items()}
        first = max(rates.values())
        tried = [name for name, rate in rates.items() if rate >= HOPELESS * first]
        for _ in range(trials - 1):
            for name in tried:
                rates[name] = max(rates[name], self._try(work[name]))
        return max(rates, key=lambda name: rates[name])

    @classmethod
    def of_bytes(cls, nbytes: int, threads: int) -> Reader:
        """Return a reader for a new buffer of `nbytes` bytes.

        Each call of the reader reads the buffer repeatedly, about `_ROUND_BYTES` in total. For
        a buffer smaller than `SMALLEST_BYTES`, the total is smaller.
        """
        words = np.ones(max(threads, nbytes // _WORD_BYTES))
        passes = max(1, _ROUND_BYTES // max(words.nbytes, SMALLEST_BYTES))
        return cls([words], threads, passes)

    @classmethod
    def of(cls, problem: Problem, threads: int) -> Reader:
        """Return a reader that reads as many bytes as one gradient step on `problem`.

        If X and y have `IN_PLACE_BYTES` or more, the reader reads X and y themselves, so that a
        step and a read use the same pages of memory. Otherwise the reader reads a new buffer.
        """
        if problem.bytes_per_step < IN_PLACE_BYTES:
            return cls.of_bytes(problem.bytes_per_step, threads)
        arrays = [np.ascontiguousarray(v).reshape(-1) for v in (problem.x, problem.y)]
        return cls(arrays, threads, -(-_IN_PLACE_READ_BYTES // problem.bytes_per_step))

    @property
    def nbytes(self) -> int:
        """Return the number of bytes that the reader reads in one pass over the arrays."""
        return _nbytes(self._work) // self.passes

    def _try(self, work: list[list[Part]]) -> float:
        """Read the slices in `work` once, with all threads; return the bytes per second."""
        began = time.perf_counter()
        self._read(work)
        return _nbytes(work) / (time.perf_counter() - began)

    def _read(self, work: list[list[Part]]) -> None:
        for _ in self._pool.map(self._read_share, work):
            pass

    @staticmethod
    def _read_share(parts: list[Part]) -> None:
        for part in parts:
            part()

    def __call__(self) -> None:
        """Read all arrays `passes` times."""
        self._read(self._work)

    def bytes_per_s(self) -> float:
        """Read all arrays `passes` times and return the bytes per second.

        An untimed read comes first. During this read, the threads of an earlier step stop using
        the processors.
        """
        warm_up(self)
        return self._try(self._work)

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown()


def _nbytes(work: list[list[Part]]) -> int:
    return sum(part.nbytes for parts in work for part in parts)


def _split(values: Values, threads: int) -> list[Values]:
    """Split an array into one slice for each thread; the slices have whole 8-byte words."""
    words = values.nbytes // _WORD_BYTES
    ends = [words * k // threads * _WORD_BYTES // values.itemsize for k in range(threads + 1)]
    return [values[start:stop] for start, stop in pairwise(ends)]
