"""Measure a step's baseline: how fast this machine reads the bytes of a step.

Every thread reads its own slice, without holding the interpreter's lock. The fastest way of
reading depends on the machine and the size, so a `Reader` tries several ways and uses the
fastest. There are loops compiled by Numba that read from one, two and four places, with and
without a prefetch, and there are reductions of NumPy. Without Numba, only the reductions are
tried. The record names the way that was used.

A call reads for about as long as a round of steps takes. A single pass includes the time of
waking the threads and refilling the caches, so its speed is no upper bound for consecutive
steps. One pass over 80 MB read 29–35 GB/s; twelve passes, and the steps of a descent, read
40–56 GB/s.
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
"""Number of trials of each fast way of reading, for data in a cache and for data in memory.

Data in memory take longer to read, and all ways read memory at nearly the same speed.
"""

_TRIAL_BYTES = 1 << 28
"""Approximate number of bytes that a trial of a way reads: 256 MiB take milliseconds, long
compared with waking the threads."""

HOPELESS = 0.75
"""A way gets no second trial if its throughput in the first trial is below this fraction of the
highest throughput."""

_ROUND_BYTES = 1 << 30
"""Approximate number of bytes that a call reads: 1 GiB takes as long as a round of steps."""

_CHUNK_BYTES = 1 << 14
"""Size in bytes of each operand of a dot product: small enough that BLAS uses one thread."""

_WORD_BYTES = 8
"""Size in bytes of the integers that are read."""

IN_PLACE_BYTES = 1 << 25
"""Data size in bytes from which the problem's own arrays are read before each round: 32 MiB,
which seldom fit into a cache. On a shared machine, the memory's throughput can change by half
within seconds."""

_IN_PLACE_READ_BYTES = 1 << 28
"""Smallest number of bytes that a read before a round covers: 256 MiB, about half a round."""

Values = NDArray[np.generic]


class Part(Protocol):
    """The part of a read that one thread does."""

    def __call__(self) -> None:
        """Read the values."""

    @property
    def nbytes(self) -> int:
        """Return the number of bytes that a call reads."""


@dataclass(frozen=True)
class Reduction:
    """A `Part` that reduces the last axis of repeated values with NumPy."""

    reduce: Callable[..., object]
    values: tuple[Values, ...]
    results: Values  # passed as `out`: otherwise NumPy chooses the order of reading

    @classmethod
    def of(cls, reduce: Callable[..., object], *values: Values, passes: int) -> Reduction:
        """Return the part that reduces the values' last axis `passes` times."""
        # A stride of 0 repeats the values inside one NumPy call.
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
    """Return the part that adds up the values as 8-byte integers, in order."""
    return Reduction.of(np.add.reduce, values.view(np.int64), passes=passes)


def largest(values: Values, passes: int) -> Reduction:
    """Return the part that finds the largest byte of the values, in order."""
    return Reduction.of(np.maximum.reduce, values.view(np.uint8), passes=passes)


def dots(values: Values, passes: int) -> Reduction:
    """Return the part that forms dot products of the two halves of the values.

    Like a step over X and y, it reads from two arrays. Values after the last whole chunk of a
    half are left out.
    """
    length = _CHUNK_BYTES // values.itemsize
    chunks = len(values) // (2 * length)
    halves = values[: 2 * chunks * length].reshape(2, chunks, length)
    return Reduction.of(np.vecdot, *halves, passes=passes)


@dataclass(frozen=True)
class Compiled:
    """A `Part` with a compiled loop that reads from several places of the values in turn.

    `ahead` is the prefetch distance in cache lines; 0 means no prefetch.
    """

    values: Values
    places: int
    ahead: int
    passes: int

    def __call__(self) -> None:
        """Read the values."""
        from backends.numba.read import sum_of

        sum_of(self.values, self.places, self.passes, self.ahead)

    @property
    def nbytes(self) -> int:
        """Return the number of bytes that a call reads."""
        from backends.numba.read import values_read

        return self.passes * self.values.itemsize * values_read(len(self.values), self.places)

    @classmethod
    def of(cls, places: int, ahead: int, values: Values, passes: int) -> Compiled:
        """Return the part that reads the values as 4-byte integers."""
        return cls(values.view(np.int32), places, ahead, passes)


Way = Callable[[Values, int], Part]
"""A way of reading: ``way(values, passes)`` returns a part that reads all values `passes`
times."""

REDUCTIONS: dict[str, Way] = {
    "NumPy, integer sums": sums,
    "NumPy, largest byte": largest,
    "NumPy, dot products": dots,
}
"""Ways of reading with NumPy, by the name that a record gives them."""


@cache
def compiled() -> dict[str, Way]:
    """Return the ways of reading with compiled loops, by name; none if Numba is missing."""
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
    """Return the ways of reading `nbytes` bytes, by name.

    For data below `SMALLEST_BYTES`, no share of the read bandwidth is reported, so no loop is
    compiled.
    """
    return REDUCTIONS if nbytes < SMALLEST_BYTES else compiled() | REDUCTIONS


_known: dict[tuple[int, int], str] = {}
"""Name of the fastest way of reading, by number of bytes and of threads, in this process."""


class Reader:
    """Reads arrays with `threads` threads in the fastest of several ways.

    Attributes
    ----------
    passes : int
        Number of passes over all arrays in a call.
    way : str
        Name of the fastest way.
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
        """Return the name of the way with the fastest trial, in bytes per second."""
        rates = {name: self._try(parts) for name, parts in work.items()}
        first = max(rates.values())
        tried = [name for name, rate in rates.items() if rate >= HOPELESS * first]
        for _ in range(trials - 1):
            for name in tried:
                rates[name] = max(rates[name], self._try(work[name]))
        return max(rates, key=lambda name: rates[name])

    @classmethod
    def of_bytes(cls, nbytes: int, threads: int) -> Reader:
        """Return a reader of a new buffer; a call takes about as long as a round of steps."""
        words = np.ones(max(threads, nbytes // _WORD_BYTES))
        passes = max(1, _ROUND_BYTES // max(words.nbytes, SMALLEST_BYTES))
        return cls([words], threads, passes)

    @classmethod
    def of(cls, problem: Problem, threads: int) -> Reader:
        """Return a reader of as many bytes as a step over the problem reads.

        Data from `IN_PLACE_BYTES` on are read in place, so that a step and a read use the same
        pages of memory.
        """
        if problem.bytes_per_step < IN_PLACE_BYTES:
            return cls.of_bytes(problem.bytes_per_step, threads)
        arrays = [np.ascontiguousarray(v).reshape(-1) for v in (problem.x, problem.y)]
        return cls(arrays, threads, -(-_IN_PLACE_READ_BYTES // problem.bytes_per_step))

    @property
    def nbytes(self) -> int:
        """Return the number of bytes that a pass reads."""
        return _nbytes(self._work) // self.passes

    def _try(self, work: list[list[Part]]) -> float:
        """Return the bytes per second that the threads read."""
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

        The first read is not timed, because it takes twice as long while a backend's threads
        still spin on the processors.
        """
        warm_up(self)
        return self._try(self._work)

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown()


def _nbytes(work: list[list[Part]]) -> int:
    return sum(part.nbytes for parts in work for part in parts)


def _split(values: Values, threads: int) -> list[Values]:
    """Cut an array into one part of whole words for each thread."""
    words = values.nbytes // _WORD_BYTES
    ends = [words * k // threads * _WORD_BYTES // values.itemsize for k in range(threads + 1)]
    return [values[start:stop] for start, stop in pairwise(ends)]
