"""Measure how fast this machine reads as many bytes as a step reads: the baseline of a step.

Several threads read at the same time, each thread its own slice. The fastest way of reading
depends on the machine and the size. A `Reader` therefore tries these ways and uses the fastest:

- reductions of NumPy, such as a sum;
- if Numba is installed, compiled loops that read from one, two or four places of a slice in
  turn, with and without a prefetch.

A call reads the data many times in a row, for about as long as a round of steps takes. Reason:
a single pass also wakes the threads and refills the caches, so it is slower than consecutive
steps. One pass over 80 MB read 29–35 GB/s; twelve passes read 40–56 GB/s, as did the steps of a
descent.
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
"""Number of trials of each fast way of reading: 5 if a call reads the data several times, 2 if
it reads them once.

Data that are read once are large. All ways read large data at nearly the same speed.
"""

_TRIAL_BYTES = 1 << 28
"""Approximate number of bytes that one trial of a way of reading reads: 256 MiB. This takes
milliseconds, much longer than waking the threads."""

HOPELESS = 0.75
"""A way of reading gets only one trial if its throughput in this trial is below this fraction
of the fastest way's throughput."""

_ROUND_BYTES = 1 << 30
"""Approximate number of bytes that a call reads: 1 GiB, about as long as a round."""

_CHUNK_BYTES = 1 << 14
"""Size in bytes of each operand of a dot product: small enough that BLAS uses one thread."""

_WORD_BYTES = 8
"""Size of a word in bytes; each thread reads whole words."""

IN_PLACE_BYTES = 1 << 25
"""Data size in bytes from which a `Reader` reads the problem's own arrays: 32 MiB, which seldom
fit into a cache. For smaller data, a `Reader` reads a new buffer of the same size."""

_IN_PLACE_READ_BYTES = 1 << 28
"""Smallest number of bytes that a call reads from the problem's own arrays: 256 MiB. This takes
about half as long as a round."""

Values = NDArray[np.generic]


class Part(Protocol):
    """A function without arguments that reads the values of one thread."""

    def __call__(self) -> None:
        """Read the values."""

    @property
    def nbytes(self) -> int:
        """Return the number of bytes that a call reads."""


@dataclass(frozen=True)
class Reduction:
    """A `Part` that reads with a reduction of NumPy over the last axis, such as a sum."""

    reduce: Callable[..., object]
    values: tuple[Values, ...]
    results: Values  # as `out`, so that NumPy reads the values in order

    @classmethod
    def of(cls, reduce: Callable[..., object], *values: Values, passes: int) -> Reduction:
        """Return a part that reduces the last axis of the values `passes` times."""
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
    """Return a part that takes the values as 8-byte integers and adds them up."""
    return Reduction.of(np.add.reduce, values.view(np.int64), passes=passes)


def largest(values: Values, passes: int) -> Reduction:
    """Return a part that finds the largest byte of the values."""
    return Reduction.of(np.maximum.reduce, values.view(np.uint8), passes=passes)


def dots(values: Values, passes: int) -> Reduction:
    """Return a part that forms dot products of the first and the second half of the values.

    The part reads two arrays at a time, like a step that reads X and y. Each operand of a dot
    product has `_CHUNK_BYTES`. Values at the end of a half that fill no operand are not read.
    """
    length = _CHUNK_BYTES // values.itemsize
    chunks = len(values) // (2 * length)
    halves = values[: 2 * chunks * length].reshape(2, chunks, length)
    return Reduction.of(np.vecdot, *halves, passes=passes)


@dataclass(frozen=True)
class Compiled:
    """A `Part` with a compiled loop that reads the values `passes` times.

    The loop reads from several places of the array in turn; `places` is their number. `ahead`
    is the prefetch distance in cache lines; 0 means no prefetch.
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
        """Return a part that reads the values as 4-byte integers."""
        return cls(values.view(np.int32), places, ahead, passes)


Way = Callable[[Values, int], Part]
"""A way of reading: ``way(values, passes)`` returns a `Part` that reads all values `passes`
times."""

REDUCTIONS: dict[str, Way] = {
    "NumPy, integer sums": sums,
    "NumPy, largest byte": largest,
    "NumPy, dot products": dots,
}
"""Name in a record → way of reading with NumPy."""


@cache
def compiled() -> dict[str, Way]:
    """Return name → way of reading with a compiled loop; empty if Numba is not installed."""
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
    """Return name → way of reading, for the ways to try with `nbytes` bytes.

    Data below `SMALLEST_BYTES` are read with NumPy only. Reason: for such small data, no result
    shows the share of the read bandwidth, so it is not worth while to compile loops.
    """
    return REDUCTIONS if nbytes < SMALLEST_BYTES else compiled() | REDUCTIONS


_known: dict[tuple[int, int], str] = {}
"""Cache: (number of bytes, number of threads) → name of the fastest way of reading."""


class Reader:
    """Reads arrays with `threads` threads in the fastest of several ways.

    Attributes
    ----------
    passes : int
        How often a call reads all arrays.
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
        """Try each way of reading and return the fastest way's name; see `HOPELESS`."""
        rates = {name: self._try(parts) for name, parts in work.items()}
        first = max(rates.values())
        tried = [name for name, rate in rates.items() if rate >= HOPELESS * first]
        for _ in range(trials - 1):
            for name in tried:
                rates[name] = max(rates[name], self._try(work[name]))
        return max(rates, key=lambda name: rates[name])

    @classmethod
    def of_bytes(cls, nbytes: int, threads: int) -> Reader:
        """Return a reader of a new buffer; a call reads about `_ROUND_BYTES` in many passes."""
        words = np.ones(max(threads, nbytes // _WORD_BYTES))
        passes = max(1, _ROUND_BYTES // max(words.nbytes, SMALLEST_BYTES))
        return cls([words], threads, passes)

    @classmethod
    def of(cls, problem: Problem, threads: int) -> Reader:
        """Return a reader of as many bytes as a step over the problem reads.

        For `IN_PLACE_BYTES` or more, the reader reads the problem's own arrays, so that a step
        and a read use the same pages of memory.
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
        """Read once, with all threads, and return the bytes per second."""
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

        An untimed read comes first. Reason: while a backend's threads still spin on the
        processors, a read takes twice as long.
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
