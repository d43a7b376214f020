"""Rows that need not be in memory: a recipe that any process can open for itself.

A `Source` knows how many rows it has and yields any range of them in pieces.
`Source.each_block` puts the pieces into blocks of one shape and works on several
at the same time, a thread each, so that one is read while another is computed
with. Sources are small and can be pickled, so a process elsewhere reads its own
rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from backends.errors import ProblemError, Weights
from backends.problem import Array, Problem, check_finite, check_shape, step_bytes
from backends.reference import Reference
from backends.synthetic import generate
from backends.threads import processors

Piece = tuple[list[NDArray[Any]], NDArray[Any]]
"""Some rows: X in parts of one or more columns, (m, k) each, and y, (m,), of any dtype."""

BLOCK_BYTES = 4 << 20
"""Of X and y: a thread's block stays in the caches between being filled and being computed
with, and placing it costs little beside both."""

RUN = 4
"""Blocks that a thread takes one after the other, for which a file is opened once."""

COLUMN_ROWS = 1 << 13
"""Rows that are put together from columns at a time: all of them stay in the caches."""

PADDING = 16
"""Numbers between such columns: rows come from them three times as fast as without."""

Result = TypeVar("Result")


@dataclass(frozen=True, eq=False)
class Source(ABC):
    """Rows X, y of a least-squares fit that can be read again and again.

    Attributes
    ----------
    rows, features : int
        n and d.
    dtype : str
        ``float32`` or ``float64``: what the rows are converted to.
    """

    rows: int
    features: int
    dtype: str

    def __post_init__(self) -> None:
        check_shape(self.rows, self.features, self.dtype)

    @property
    @abstractmethod
    def source(self) -> str:
        """Where the rows come from, in a few words."""

    in_order: ClassVar[bool] = False
    """Whether rows are best read from the first to the last, by one thread; then a piece
    stays valid. Else any range costs what it holds."""

    @abstractmethod
    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        """Yield rows `start` to `stop` in their order; a piece is valid until the next one."""

    def filled(
        self, run: list[Block], stop: int, pieces: Iterable[Piece] | None = None
    ) -> Iterator[Block]:
        """Yield neighbouring blocks, each when it holds its rows up to `stop`.

        `pieces` have been read for them; else they are read now.
        """
        last = min(run[-1].start + len(run[-1].y), stop)
        cut = _Cutter(iter(self.pieces(run[0].start, last) if pieces is None else pieces))
        for block in run:
            end = min(block.start + len(block.y), last)
            block.fill(cut.take(end - block.start), end, stop)
            yield block

    def joined(self) -> Joined | None:
        """Return the same rows with y as one more feature, where they are read faster so."""
        return None

    @property
    def bytes_per_step(self) -> int:
        """Bytes that a step must read at the least, once they are in memory: X and y."""
        return step_bytes(self.rows, self.features, self.dtype)

    @cached_property
    def reference(self) -> Reference:
        """The float64 answer, from one pass over the rows."""

        def checked() -> Iterator[tuple[Array, Array]]:
            for block in self.blocks():
                block.check()
                yield block.x, block.y

        return Reference.of_blocks(checked(), self.rows)

    def blocks(
        self, block_bytes: int = BLOCK_BYTES, start: int = 0, stop: int | None = None
    ) -> Iterator[Block]:
        """Yield rows `start` to `stop` in blocks of one shape, read ahead; see `each_block`.

        A block's arrays are written over after the next one was asked for.
        """
        return self.each_block(lambda block: block, block_bytes, start, stop, run=1)

    def each_block(
        self,
        work: Callable[[Block], Result],
        block_bytes: int = BLOCK_BYTES,
        start: int = 0,
        stop: int | None = None,
        threads: int | None = None,
        run: int = RUN,
    ) -> Iterator[Result]:
        """Yield what `work` makes of rows `start` to `stop`, block after block.

        Parameters
        ----------
        work : callable
            Is called by several threads at the same time; the block's arrays are written
            over afterwards.
        block_bytes : int
            Of X and y in a block, at the most; one more than `threads` are held, and of
            rows that are read in order `run` times as many.
        start, stop : int
            The range; all rows by default.
        threads : int, optional
            That read and work; `most_threads` by default.
        run : int
            Blocks that a thread takes one after the other.

        Yields
        ------
        Result
            In the blocks' order. What the last block lacks are rows of zeros: they have
            no residual and add to no sum.

        Raises
        ------
        ProblemError
            The rows cannot be read, or converted.
        """
        stop = self.rows if stop is None else stop
        threads = threads or most_threads()
        rows = self._rows_a_block(block_bytes, start, stop)
        shape = (rows,) if self.features == 1 else (rows, self.features)
        firsts = range(start, stop, rows * run)
        buffers = [
            (np.empty(shape, self.dtype), np.empty(rows, self.dtype))
            for _ in firsts[: threads + 1]
        ]
        runs = (
            [
                Block(*buffers[k % len(buffers)], at)
                for at in range(first, min(first + rows * run, stop), rows)
            ]
            for k, first in enumerate(firsts)
        )
        return self._each(runs, work, start, stop, threads)

    def _rows_a_block(self, block_bytes: int, start: int, stop: int) -> int:
        """Return the rows of each of the fewest blocks that are no longer than allowed."""
        most = max(1, block_bytes // step_bytes(1, self.features, self.dtype))
        count = -(-(stop - start) // most)
        return -(-(stop - start) // count)

    def _each(
        self,
        runs: Iterable[list[Block]],
        work: Callable[[Block], Result],
        start: int,
        stop: int,
        threads: int,
    ) -> Iterator[Result]:
        """Fill blocks and work on them, one run more than there are threads at a time."""
        pending: deque[Future[list[Result]]] = deque()
        whole = _Cutter(self.pieces(start, stop) if self.in_order else iter(()))

        def task(run: list[Block], read: Future[list[Piece]] | None) -> list[Result]:
            return [work(b) for b in self.filled(run, stop, read.result() if read else None)]

        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(threads) as pool:
            for run in runs:
                rows = sum(len(block.y) for block in run)
                read = reader.submit(whole.take_all, rows) if self.in_order else None
                pending.append(pool.submit(task, run, read))
                if len(pending) > threads:
                    yield from pending.popleft().result()
            while pending:
                yield from pending.popleft().result()

    def load(self, start: int = 0, stop: int | None = None) -> Problem:
        """Return rows `start` to `stop`, all by default, in memory and checked."""
        stop = self.rows if stop is None else stop
        shape = (stop - start,) if self.features == 1 else (stop - start, self.features)
        x, y = np.empty(shape, self.dtype), np.empty(stop - start, self.dtype)
        rows = self._rows_a_block(BLOCK_BYTES, start, stop)
        runs = (
            [Block(x[first : first + rows], y[first : first + rows], start + first)]
            for first in range(0, stop - start, rows)
        )
        for _ in self._each(runs, Block.check, start, stop, most_threads()):
            pass
        return Problem(x, y, self.source, known_finite=True)

    def sample(self, most: int, stretches: int = 20) -> Problem:
        """Return at most about so many rows, from evenly spaced stretches."""
        if self.rows <= most:
            return self.load()
        length = max(1, most // stretches)
        starts = np.linspace(0, self.rows - length, stretches).astype(int).tolist()
        parts = [self.load(start, start + length) for start in starts]
        x, y = (np.concatenate([getattr(p, of) for p in parts]) for of in ("x", "y"))
        return Problem(x, y, self.source)


@dataclass(frozen=True, eq=False)
class Block:
    """Some rows of a source, in memory.

    Attributes
    ----------
    x : (m,) or (m, d), of the source's dtype
    y : (m,)
    start : int
        Its first row in the source.
    """

    x: Array
    y: Array
    start: int

    def problem(self) -> Problem:
        """Return the rows as a problem of a single pass, unchecked, in the block's memory."""
        return Problem(self.x, self.y, known_finite=True, single_pass=True)

    def fill(self, pieces: Iterable[Piece], last: int, stop: int) -> None:
        """Copy rows up to `last` of the source, converted; zeros beyond.

        Raises
        ------
        ProblemError
            There are fewer rows, of `stop` that are meant, or a value is too large.
        """
        x, filled = self.x.reshape(len(self.y), -1), 0
        for parts, y in pieces:
            to, first_row = slice(filled, filled + len(y)), self.start + filled
            _copy(parts, x[to], first_row)
            convert(y, self.y[to], first_row)
            filled += len(y)
        if filled < last - self.start:
            raise ProblemError(
                f"the data end after row {self.start + filled}, but had {stop} or more when "
                "they were opened; do not change them meanwhile"
            )
        x[filled:], self.y[filled:] = 0, 0

    def check(self) -> None:
        """Raise ProblemError, with the row in the source, where a value is not finite."""
        check_finite(self.x, self.y, self.start)


@dataclass(frozen=True)
class Joined:
    """Rows with the features of X and, as one more, y; what they have as y is zero.

    ``[X y]·(w, −1)`` is the residual ``X·w − y``, so whatever sums over rows sums over
    these as well, and X and y need not be taken apart.

    Attributes
    ----------
    source : Source
    x : list of int
        The features that are those of X.
    y : int
        The one that is y.
    """

    source: Source
    x: list[int]
    y: int

    def weights(self, w: Weights) -> Weights:
        """Return the weights, (d + 1,), with which the residual is that of `w`, (d,)."""
        joined = np.full(len(w) + 1, -1.0)
        joined[self.x] = w
        return joined

    def gradient(self, sums: Weights) -> Weights:
        """Return ``Xᵀ(X·w − y)``, (d,), from the sums over all features."""
        return sums[self.x]

    def moments(self, gram: Weights) -> tuple[Weights, Weights, float]:
        """Return XᵀX, Xᵀy and yᵀy from ``[X y]ᵀ[X y]``."""
        xs, y = self.x, self.y
        return gram[np.ix_(xs, xs)], gram[xs, y], float(gram[y, y])


def most_threads() -> int:
    """Return as many threads as this process may use processors; two at the least.

    With one of them, nothing would be read while something is computed.
    """
    return max(2, processors())


class _Cutter:
    """Cuts pieces of any length into blocks' worth of them."""

    def __init__(self, pieces: Iterator[Piece]) -> None:
        self.pieces = pieces
        self.rest: Piece = [], np.empty(0)

    def take(self, rows: int) -> Iterator[Piece]:
        """Yield the next rows, or what there is of them; each is valid until the next."""
        while rows:
            parts, y = self.rest
            if not len(y):
                self.rest = next(self.pieces, ([], np.empty(0)))
                if not len(self.rest[1]):
                    return
                continue
            self.rest = [part[rows:] for part in parts], y[rows:]
            yield [part[:rows] for part in parts], y[:rows]
            rows -= min(rows, len(y))

    def take_all(self, rows: int) -> list[Piece]:
        """Return them at once, of pieces that stay valid."""
        return list(self.take(rows))


def _copy(parts: list[NDArray[Any]], into: Array, first_row: int) -> None:
    """Copy X into rows, from one part or from columns.

    Many columns are copied one after the other, then turned into rows while they are
    in the caches: far faster than a column into rows.
    """
    if len(parts) == 1:
        return convert(parts[0], into, first_row)
    length = min(COLUMN_ROWS, len(into))
    # Longer than a power of two: columns would contend for the same lines of the cache.
    columns = np.empty((into.shape[1], length + PADDING), into.dtype)
    for start in range(0, len(into), COLUMN_ROWS):
        rows, at = slice(start, start + COLUMN_ROWS), 0
        some = columns[:, : len(into[rows])]
        for part in parts:
            width = part.shape[1]
            convert(part[rows], some[at : at + width].T, first_row + start)
            at += width
        into[rows] = some.T
    return None


def convert(values: NDArray[Any], into: Array, first_row: int) -> None:
    """Copy numbers into an array of another dtype.

    Raises
    ------
    ProblemError
        One is too large for it; rows are counted from `first_row`.
    """
    if np.can_cast(values.dtype, into.dtype):
        return np.copyto(into, values)
    try:
        with np.errstate(over="raise", invalid="ignore"):
            np.copyto(into, values, casting="unsafe")
    except FloatingPointError:
        row, *column = np.argwhere(np.abs(values) > np.finfo(into.dtype).max)[0]
        raise ProblemError(
            f"{values[(row, *column)]} in row {first_row + row + 1} is too large for "
            f"{into.dtype}"
        ) from None
    return None


@dataclass(frozen=True, eq=False)
class Generated(Source):
    """The synthetic rows of `backends.synthetic.generate`, made when they are read."""

    features: int = 1
    dtype: str = "float32"
    seed: int = 0

    @property
    def source(self) -> str:
        return f"synthetic, {self.rows} × {self.features}, seed {self.seed}"

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        rows = max(1, BLOCK_BYTES // step_bytes(1, self.features, self.dtype))
        for first in range(start, stop, rows):
            part = {"start": first, "stop": min(first + rows, stop)}
            made = generate(self.rows, self.features, self.dtype, self.seed, **part)
            yield [made.x.reshape(-1, self.features)], made.y

    def load(self, start: int = 0, stop: int | None = None) -> Problem:
        """Make rows `start` to `stop`, all by default."""
        shape = self.rows, self.features, self.dtype, self.seed
        made = generate(*shape, start=start, stop=stop)
        return Problem(made.x, made.y, self.source, known_finite=True)


@dataclass(frozen=True, eq=False)
class InMemory(Source):
    """The rows of a problem that is in memory already."""

    problem: Problem

    @classmethod
    def of(cls, problem: Problem) -> InMemory:
        """Return the rows of a problem."""
        return cls(problem.rows, problem.features, problem.dtype, problem)

    @property
    def source(self) -> str:
        return self.problem.source

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        yield [self.problem.x.reshape(self.rows, -1)[start:stop]], self.problem.y[start:stop]

    def load(self, start: int = 0, stop: int | None = None) -> Problem:
        """Return rows `start` to `stop` as they are, without a copy."""
        x, y = self.problem.x[start:stop], self.problem.y[start:stop]
        return Problem(x, y, self.source, known_finite=True)
