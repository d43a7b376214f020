"""Sources: rows that are read in ranges and need not fit in memory.

A `Source` yields any range of its rows in pieces. `Source.each_block` copies the pieces into
blocks of one shape. Each of several threads reads and processes its own block, so that reading
and computing overlap. Most sources hold only the path of a file and can be pickled. Another
process that gets such a source opens the file itself.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self, TypeVar

import numpy as np

from backends.errors import Weights
from backends.losses import SQUARED_ERROR, Loss
from backends.problem import Array, Problem, check_shape, step_bytes
from backends.reference import Reference
from backends.rows.blocks import Block, Cutter, Piece
from backends.threads import processors

BLOCK_BYTES = 4 << 20
"""Default size in bytes of X and y in a block. A block of this size stays in the caches until
the backend reads it. It is also large enough that the overhead per block is small."""

RUN = 4
"""Number of consecutive blocks that a thread reads each time it opens the file."""


Result = TypeVar("Result")


@dataclass(frozen=True)
class Origin:
    """The file and the columns that a source reads.

    Attributes
    ----------
    path : str
        The file, folder or pattern that the user named.
    files : tuple of str
        The files that are read, in order.
    x : tuple of str
        Names of the features, one for each weight.
    y : str
        Name of the target.
    notes : tuple of str
        Assumptions that were made about the data, such as a delimiter, one line each.
    """

    path: str
    files: tuple[str, ...]
    x: tuple[str, ...]
    y: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Source(ABC):
    """Rows of X and y that can be read any number of times.

    Attributes
    ----------
    rows, features : int
        Number of rows, n, and of features, d.
    dtype : str
        ``float32`` or ``float64``: the dtype to which rows are converted.
    origin : Origin, optional
        The file and the columns; None for rows that do not come from a file.
    loss : Loss
        The loss function; `with_loss` changes it.
    """

    rows: int
    features: int
    dtype: str
    origin: Origin | None = field(default=None, kw_only=True)
    loss: Loss = field(default=SQUARED_ERROR, kw_only=True)

    def __post_init__(self) -> None:
        check_shape(self.rows, self.features, self.dtype)

    @property
    @abstractmethod
    def source(self) -> str:
        """Where the rows come from, in a few words."""

    @property
    def in_order(self) -> bool:
        """Return whether one thread should read all rows in order.

        If true, the arrays that `pieces` yields are never overwritten. If false, the arrays of
        a piece can be overwritten when the next piece is requested.
        """
        return False

    @abstractmethod
    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        """Yield rows `start` to `stop`, in order, as pieces of several rows."""

    def filled(
        self, run: list[Block], stop: int, pieces: Iterable[Piece] | None = None
    ) -> Iterator[Block]:
        """Fill consecutive blocks with rows up to `stop`; yield each block when it is full.

        The rows are taken from `pieces`, or read from the source if `pieces` is None.
        """
        last = min(run[-1].start + len(run[-1].y), stop)
        cut = Cutter(iter(self.pieces(run[0].start, last) if pieces is None else pieces))
        for block in run:
            end = min(block.start + len(block.y), last)
            block.fill(cut.take(end - block.start), end, stop)
            yield block

    def joined(self) -> Joined | None:
        """Return the rows with y as an additional feature (`Joined`), or None if impossible."""
        return None

    def with_loss(self, loss: Loss) -> Self:
        """Return the same rows with another loss. Targets are checked when rows are read."""
        if loss == self.loss:
            return self
        other = copy.copy(self)
        object.__setattr__(other, "loss", loss)
        vars(other).pop("reference", None)  # synthetic targets depend on the loss
        return other

    @property
    def bytes_per_step(self) -> int:
        """Size of X and y in bytes. Every step has to read at least these bytes."""
        return step_bytes(self.rows, self.features, self.dtype)

    @cached_property
    def reference(self) -> Reference:
        """The `Reference`, which computes exact results for squared error."""

        def checked() -> Iterator[tuple[Array, Array]]:
            for block in self.blocks():
                block.check()
                yield block.x, block.y

        return Reference.of_blocks(checked, self.rows)

    def blocks(
        self, block_bytes: int = BLOCK_BYTES, start: int = 0, stop: int | None = None
    ) -> Iterator[Block]:
        """Yield rows `start` to `stop` in blocks of equal shape.

        Other threads read blocks in advance. The last block can end in padding rows. A block's
        arrays are overwritten once the next block is requested.
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
        """Yield the result of `work` for each block of rows `start` to `stop`, in order.

        Parameters
        ----------
        work : callable
            ``work(block)`` is called by several threads at the same time. After a call, the
            block's arrays are overwritten.
        block_bytes : int
            Largest size of X and y in a block, in bytes. ``threads + 1`` blocks are in memory.
            If the property `in_order` is true, the rows for up to ``(threads + 1)·run`` blocks
            are also in memory.
        start, stop : int
            The first row, and the row after the last one. By default, all rows are read.
        threads : int, optional
            Number of threads that read blocks and call `work`. The default is the result of the
            function `most_threads`.
        run : int
            Number of consecutive blocks that a thread processes before it takes others.

        Yields
        ------
        Result
            The result of ``work(block)``. The last block can end in padding rows, which add
            nothing to a gradient (see `Block.fill`).

        Raises
        ------
        ProblemError
            The rows cannot be read or converted.
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
                Block(*buffers[k % len(buffers)], at, stop, self.loss)
                for at in range(first, min(first + rows * run, stop), rows)
            ]
            for k, first in enumerate(firsts)
        )
        return self._each(runs, work, start, stop, threads)

    def _rows_a_block(self, block_bytes: int, start: int, stop: int) -> int:
        """Return the number of rows per block.

        The rows are divided into as few blocks as possible, and no block exceeds `block_bytes`.
        A row that alone exceeds `block_bytes` is a block of its own.
        """
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
        """Fill the blocks in the lists `runs`; yield the result of `work` for each block."""
        pending: deque[Future[list[Result]]] = deque()
        whole = Cutter(self.pieces(start, stop) if self.in_order else iter(()))

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
        """Read rows `start` to `stop` (by default all) into memory, and check the values."""
        stop = self.rows if stop is None else stop
        shape = (stop - start,) if self.features == 1 else (stop - start, self.features)
        x, y = np.empty(shape, self.dtype), np.empty(stop - start, self.dtype)
        rows = self._rows_a_block(BLOCK_BYTES, start, stop)
        runs = (
            [Block(x[at : at + rows], y[at : at + rows], start + at, stop, self.loss)]
            for at in range(0, stop - start, rows)
        )
        for _ in self._each(runs, Block.check, start, stop, most_threads()):
            pass
        return Problem(x, y, self.source, known_finite=True, loss=self.loss)

    def sample(self, most: int, stretches: int = 20) -> Problem:
        """Return at most `most` rows: several ranges of rows, evenly spaced over the source."""
        if self.rows <= most:
            return self.load()
        length = max(1, most // stretches)
        starts = np.linspace(0, self.rows - length, stretches).astype(int).tolist()
        parts = [self.load(start, start + length) for start in starts]
        x, y = (np.concatenate([getattr(p, of) for p in parts]) for of in ("x", "y"))
        return Problem(x, y, self.source, known_finite=True, loss=self.loss)


@dataclass(frozen=True)
class Joined:
    """Rows with y as an additional feature and zero as the target, for squared error only.

    The weight of the feature y is −1, so the prediction for a row is the residual ``x·w − y``.
    A gradient over these rows therefore contains the gradient with respect to w. X and y need
    not be copied to separate arrays.

    Attributes
    ----------
    source : Source
        The rows with y as a feature.
    x : list of int
        Positions of X's features among all features.
    y : int
        Position of y among all features.
    """

    source: Source
    x: list[int]
    y: int

    def weights(self, w: Weights) -> Weights:
        """Return `w` with −1 inserted for the feature y: a prediction is then ``x·w − y``."""
        joined = np.full(len(w) + 1, -1.0)
        joined[self.x] = w
        return joined

    def gradient(self, sums: Weights) -> Weights:
        """Return the gradient `sums` without the value for the feature y."""
        return sums[self.x]

    def moments(self, gram: Weights) -> tuple[Weights, Weights, float]:
        """Return XᵀX, Xᵀy and yᵀy from ``[X y]ᵀ[X y]``."""
        xs, y = self.x, self.y
        return gram[np.ix_(xs, xs)], gram[xs, y], float(gram[y, y])


def most_threads() -> int:
    """Return the number of processors, but at least 2: one thread reads, another computes."""
    return max(2, processors())
