"""Blocks of rows in memory. All blocks of a source have one shape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.errors import ProblemError
from backends.losses import SQUARED_ERROR, Loss
from backends.problem import Array, Problem, check_finite

Piece = tuple[list[NDArray[Any]], NDArray[Any]]
"""m rows of any dtype, as a pair (X, y). X is a list of arrays of shape (m, k); their columns
together are the features. y has the shape (m,)."""


COLUMN_ROWS = 1 << 13
"""Number of rows that `_copy` transposes at a time: 8192 rows of 32 float32 columns take 1 MB
and fit in the caches."""


PADDING = 16
"""Number of unused elements after each column of the buffer in `_copy`. Without these
elements, the columns would compete for the same cache sets, and `_copy` would take three times
as long."""


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive rows of a source, in memory.

    Attributes
    ----------
    x : (m,) or (m, d), of the source's dtype
    y : (m,)
    start : int
        Position of the block's first row in the source, from 0.
    stop : int
        Position in the source after the last requested row. If the block reaches beyond this
        position, the rest of the block is padding.
    loss : Loss
        The loss function.
    """

    x: Array
    y: Array
    start: int
    stop: int
    loss: Loss = SQUARED_ERROR

    @property
    def rows(self) -> int:
        """Number of rows without the padding."""
        return min(len(self.y), self.stop - self.start)

    def problem(self) -> Problem:
        """Return a `Problem` with the arrays of the block, without a copy.

        The values are not checked. The attribute `Problem.single_pass` is true.
        """
        return Problem(self.x, self.y, known_finite=True, single_pass=True, loss=self.loss)

    def losses(self, mean: float) -> float:
        """Return the sum of the losses of the block's rows, not counting the padding rows.

        The parameter `mean` is a mean loss that counts the padding rows, too.
        """
        filling = len(self.y) - self.rows
        if not filling or self.loss == SQUARED_ERROR:  # the residual of a padding row is 0
            return mean * len(self.y)
        y = self.y[-1:]
        each = float(self.loss.value(np, np.zeros_like(y), y)[0])
        return mean * len(self.y) - filling * each

    def fill(self, pieces: Iterable[Piece], last: int, stop: int) -> None:
        """Copy the rows in `pieces` into the block, and fill the rest with padding rows.

        The parameter `last` is the position in the source after these rows. The numbers are
        converted to the block's dtype. A padding row has zeros as X, so it adds nothing to a
        gradient. Its target is 0 for squared error. For other losses, its target is copied from
        the last row of data, because the loss can be undefined for 0.

        Raises
        ------
        ProblemError
            The source has fewer rows than when it was opened, or a value is too large.
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
                "they were opened; do not change them during a run"
            )
        x[filled:] = 0
        self.y[filled:] = 0 if self.loss == SQUARED_ERROR else self.y[filled - 1]

    def check(self) -> None:
        """Raise ProblemError, which names the row of the source, if a value cannot be used."""
        check_finite(self.x, self.y, self.start)
        self.check_targets()

    def check_targets(self) -> None:
        """Raise ProblemError, which names the row, if the loss does not accept a target."""
        self.loss.check(self.y[: self.rows], self.start)


class Cutter:
    """Takes the requested number of rows at a time from a stream of pieces."""

    def __init__(self, pieces: Iterator[Piece]) -> None:
        self.pieces = pieces
        self.rest: Piece = [], np.empty(0)

    def take(self, rows: int) -> Iterator[Piece]:
        """Yield pieces that together hold the next `rows` rows.

        At the end of the data, the pieces hold fewer rows. A piece is valid until the next
        piece is requested.
        """
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
        """Return a list of pieces that together hold the next `rows` rows.

        The pieces must stay valid while other pieces are read (see `Source.in_order`).
        """
        return list(self.take(rows))


def _copy(parts: list[NDArray[Any]], into: Array, first_row: int) -> None:
    """Copy the arrays `parts` side by side into the array `into`, converted to its dtype.

    Columns are first converted one by one into a buffer that fits in the caches, and the buffer
    is then transposed. Writing each column directly into the rows would be far slower.
    """
    if len(parts) == 1:
        return convert(parts[0], into, first_row)
    length = min(COLUMN_ROWS, len(into))
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
    """Copy numbers into the array `into`, converted to its dtype.

    `first_row` is the number of rows before `values`, for the error message.

    Raises
    ------
    ProblemError
        A number is too large for the dtype.
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
