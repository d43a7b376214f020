"""Measure a step's baseline: the speed at which this machine reads as many bytes.

Every thread reads its own slice, without holding the interpreter's lock. The fastest way of
reading depends on the machine and the size, so a `Reader` tries several ways and uses the
fastest: loops compiled by Numba that read from one, two and four places, with and without a
prefetch, and reductions of NumPy. Without Numba only the reductions are left, and the record
says so.

A call reads for as long as a round of steps takes. A single pass includes the time of waking
the threads and refilling the caches, so its speed is no bound for consecutive steps. One pass
over 80 MB read 29–35 GB/s; twelve passes, and the steps of a descent, read 40–56 GB/s.
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
"""Largest number of trials of a way for data in a cache, and for data in memory.

Data in memory take longer to read, and all ways read memory at nearly one speed.
"""

_TRIAL_BYTES = 1 << 28
"""Smallest number of bytes that a trial reads: milliseconds, long beside waking the threads."""

HOPELESS = 0.75
"""A way gets no second trial if its throughput in the first trial is below this fraction of the
highest throughput."""

_ROUND_BYTES = 1 << 30
"""Smallest number of bytes that a call reads; the call then takes about as long as a round."""

_CHUNK_BYTES = 1 << 14
"""Size in bytes of each half of a dot product: small enough that BLAS uses one thread."""

_WORD_BYTES = 8

IN_PLACE_BYTES = 1 << 25
"""Data size in bytes from which the problem's data are read before each round: 32 MB, which
seldom fit into a cache. The memory's throughput can change by half within seconds on a shared
machine."""

_IN_PLACE_READ_BYTES = 1 << 28
"""Smallest number of bytes that such a read covers: several passes in half a round."""

Values = NDArray[np.generic]


class Part(Protocol):
    """A thread's share of the work."""

    def __call__(self) -> None:
        """Read the values."""

    @property
    def nbytes(self) -> int:
        """Return the number of bytes that a call reads."""


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


@dataclass(frozen=True)
class Compiled:
    """A thread's share of the work: a compiled loop that reads from several places.

    `ahead` is the prefetch distance in cache lines; 0 prefetches none.
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
        """Return the loop that reads the values as integers."""
        return cls(values.view(np.int32), places, ahead, passes)


Way = Callable[[Values, int], Part]
"""``way(values, passes)`` returns the work of a thread that reads the values `passes` times."""

REDUCTIONS: dict[str, Way] = {
    "NumPy, integer sums": sums,
    "NumPy, largest byte": largest,
    "NumPy, dot products": dots,
}


@cache
def compiled() -> dict[str, Way]:
    """Return the compiled loops by name; none if Numba cannot be used here."""
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
    """Return the ways of reading by name.

    Below `SMALLEST_BYTES` no share of the read is reported, so nothing is compiled.
    """
    return REDUCTIONS if nbytes < SMALLEST_BYTES else compiled() | REDUCTIONS


_known: dict[tuple[int, int], str] = {}
"""Bytes and threads → the fastest way of reading in this process."""


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
        """Return the name of the way with the fastest trial."""
        rates = {name: self._try(parts) for name, parts in work.items()}
        first = max(rates.values())
        tried = [name for name, rate in rates.items() if rate >= HOPELESS * first]
        for _ in range(trials - 1):
            for name in tried:
                rates[name] = max(rates[name], self._try(work[name]))
        return max(rates, key=lambda name: rates[name])

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
