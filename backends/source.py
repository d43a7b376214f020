"""Rows that need not be in memory: a recipe that any process can open for itself.

A `Source` knows how many rows it has and yields any range of them in pieces.
`Source.blocks` puts the pieces into blocks of one size, reading the next block
while the last one is computed with. Sources are small and can be pickled, so a
process elsewhere reads its own rows.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.interface import ProblemError
from backends.problem import (
    Array,
    Problem,
    check_finite,
    check_shape,
    generate,
    step_bytes,
)
from backends.reference import Reference

Piece = tuple[list[NDArray[Any]], NDArray[Any]]
"""Some rows: X in parts of one or more columns, (m, k) each, and y, (m,), of any dtype."""

COPY_BYTES = 4 << 20
"""What a thread copies at a time."""

BLOCK_BYTES = 64 << 20
"""Of X and y: long enough that placing a block costs little, and two are quickly filled."""


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

    @abstractmethod
    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        """Yield rows `start` to `stop` in their order; a piece is valid until the next one."""

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
        """Yield rows `start` to `stop` in blocks of one shape, read ahead by one.

        Parameters
        ----------
        block_bytes : int
            Of X and y in a block, at the most; two are held.
        start, stop : int
            The range; all rows by default.

        Yields
        ------
        Block
            Its arrays are written over when the next but one is read. What the last
            one lacks are rows of zeros: they have no residual and add to no sum.

        Raises
        ------
        ProblemError
            The rows cannot be read, or converted.
        """
        stop = self.rows if stop is None else stop
        row_bytes = step_bytes(1, self.features, self.dtype)
        count = -(-(stop - start) // max(1, block_bytes // row_bytes))
        rows = -(-(stop - start) // count)
        shape = (rows,) if self.features == 1 else (rows, self.features)
        buffers = [
            (np.empty(shape, self.dtype), np.empty(rows, self.dtype))
            for _ in range(min(2, count))
        ]
        with ThreadPoolExecutor(1) as ahead, ThreadPoolExecutor(_processors()) as copying:
            filler = _Filler(self.pieces(start, stop), start, stop, copying)
            reading = ahead.submit(filler.fill, *buffers[0])
            for k in range(count):
                reading.result()
                if k + 1 < count:
                    reading = ahead.submit(filler.fill, *buffers[(k + 1) % 2])
                yield Block(*buffers[k % 2], start + k * rows)

    def load(self, start: int = 0, stop: int | None = None) -> Problem:
        """Return rows `start` to `stop`, all by default, in memory and checked."""
        stop = self.rows if stop is None else stop
        (block,) = self.blocks(
            (stop - start) * step_bytes(1, self.features, self.dtype), start, stop
        )
        block.check()
        whole = stop - start == self.rows
        return Problem(
            *(block.x, block.y, self.source),
            known_finite=True,
            origin=self if whole else None,
        )

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
        """Return the rows as a problem, unchecked; it is the block's own memory."""
        return Problem(self.x, self.y, known_finite=True)

    def check(self) -> None:
        """Raise ProblemError, with the row in the source, where a value is not finite."""
        check_finite(self.x, self.y, self.start)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2


class _Filler:
    """Copies pieces of any length into blocks, converted to their dtype.

    `row` is the next row to copy, and `piece_row` the first of the piece at hand.
    """

    def __init__(
        self, pieces: Iterator[Piece], start: int, stop: int, copying: ThreadPoolExecutor
    ) -> None:
        self.pieces, self.copying = pieces, copying
        self.row, self.stop = start, stop
        self.piece_row = start
        self.piece: Piece = [], np.empty(0)

    def fill(self, x: Array, y: Array) -> None:
        """Fill a block; what it has more than there are rows becomes zeros."""
        x, filled = x.reshape(len(y), -1), 0
        while filled < len(y) and self.row < self.stop:
            left = self.piece_row + len(self.piece[1]) - self.row
            if not left:
                self._next_piece()
                continue
            take = min(len(y) - filled, left)
            self._copy(x[filled : filled + take], y[filled : filled + take])
            filled, self.row = filled + take, self.row + take
        x[filled:], y[filled:] = 0, 0

    def _next_piece(self) -> None:
        self.piece, self.piece_row = next(self.pieces, ([], np.empty(0))), self.row
        if not len(self.piece[1]):
            raise ProblemError(
                f"the data end after row {self.row}, but had {self.stop} or more when they "
                "were opened; do not change them meanwhile"
            )

    def _copy(self, x: Array, y: Array) -> None:
        """Copy rows from `row` on, some for each thread."""
        rows = max(1, COPY_BYTES // (x.shape[1] * x.itemsize))

        def copy(start: int) -> None:
            to = slice(start, min(start + rows, len(y)))
            first = self.row + start
            of = slice(first - self.piece_row, first - self.piece_row + to.stop - to.start)
            column = 0
            for part in self.piece[0]:
                convert(part[of], x[to, column : column + part.shape[1]], first)
                column += part.shape[1]
            convert(self.piece[1][of], y[to], first)

        for _ in self.copying.map(copy, range(0, len(y), rows)):
            pass


def convert(values: NDArray[Any], into: Array, first_row: int) -> None:
    """Copy numbers into an array of another dtype.

    Raises
    ------
    ProblemError
        One is too large for it; rows are counted from `first_row`.
    """
    try:
        with np.errstate(over="raise", invalid="ignore"):
            np.copyto(into, values, casting="unsafe")
    except FloatingPointError:
        row, *column = np.argwhere(np.abs(values) > np.finfo(into.dtype).max)[0]
        raise ProblemError(
            f"{values[(row, *column)]} in row {first_row + row + 1} is too large for "
            f"{into.dtype}"
        ) from None


@dataclass(frozen=True, eq=False)
class Generated(Source):
    """The synthetic rows of `backends.problem.generate`, made when they are read."""

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
        whole = made.rows == self.rows
        origin = self if whole else None
        return Problem(made.x, made.y, self.source, known_finite=True, origin=origin)


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
