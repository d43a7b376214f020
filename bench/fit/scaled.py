"""Standardise columns, or add a column of ones, each time the rows are read.

Standardised columns are scaled and, with an intercept, also centred. An intercept adds a column
of ones. Backends read scaled rows like any other rows, so scaling works with every backend and
every loss.

Rows are centred in float64, and only then rounded to the dtype of the backend. Rounding before
centring would lose digits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from backends.losses import Loss
from backends.rows.blocks import Block, Piece, convert
from backends.rows.made import InMemory
from backends.rows.source import Source
from bench.fit.scaling import Columns, Scaling, may_shift_target

PIECE_BYTES = 1 << 20
"""Rows are scaled in pieces. The float64 copy of a piece has at most this size in bytes: 1 MiB
fits in a second-level cache."""


@dataclass(frozen=True, eq=False)
class Scaled(Source):
    """The rows of another source, scaled by a `Scaling` each time that they are read.

    Attributes
    ----------
    raw : Source
        Rows in the units of the data.
    scaling : Scaling
    """

    raw: Source
    scaling: Scaling

    @classmethod
    def of(cls, raw: Source, scaling: Scaling, dtype: str) -> Scaled:
        """Return the rows of `raw`, scaled and then rounded to `dtype`."""
        size = raw.rows, scaling.weights, dtype
        return cls(*size, raw, scaling, origin=raw.origin, loss=raw.loss)

    @property
    def source(self) -> str:
        """A short text that says where the unscaled rows came from."""
        return self.raw.source

    @property
    def in_order(self) -> bool:
        """Whether one thread should read all rows in order."""
        return self.raw.in_order

    def with_loss(self, loss: Loss) -> Self:
        """Return a source with the same scaled rows, for a descent with another loss."""
        return replace(self, raw=self.raw.with_loss(loss), loss=loss)

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        """Yield rows `start` to `stop` in order, in pieces of at most `PIECE_BYTES`."""
        length = max(1, PIECE_BYTES // (8 * self.features))
        for parts, y in self.raw.pieces(start, stop):
            for first in range(0, len(y), length):
                rows = slice(first, first + length)
                yield (
                    self._mapped([part[rows] for part in parts], start),
                    self._shifted(y[rows]),
                )
                start += len(y[rows])

    def _mapped(self, parts: list[NDArray[Any]], first_row: int) -> list[NDArray[Any]]:
        """Scale the parts of X, which are groups of columns; add a column of ones if needed."""
        d = self.scaling.features
        rows = np.empty((len(parts[0]), self.features if len(parts) == 1 else d), self.dtype)
        rows[:, d:] = 1
        at = 0
        mapped = []
        for part in parts:
            into = rows[:, at : at + part.shape[1]]
            convert(self.scaling.mapped(part, at), into, first_row)
            mapped.append(into)
            at += part.shape[1]
        if len(parts) == 1:
            return [rows]
        ones = np.ones((len(rows), 1), self.dtype)
        return [*mapped, ones] if self.scaling.intercept else mapped

    def _shifted(self, y: NDArray[Any]) -> NDArray[Any]:
        return y - np.float64(self.scaling.target) if self.scaling.target else y


def measured(source: Source) -> Columns:
    """Read all rows once, and return the means, spreads and ranges of the columns.

    Raises
    ------
    ProblemError
        A value is not finite, or the loss does not accept a target.
    """

    def statistics(block: Block) -> Columns:
        block.check()
        return Columns.of(block.x[: block.rows], block.y[: block.rows])

    return Columns.of_blocks(source.each_block(statistics, PIECE_BYTES))


@dataclass(frozen=True, eq=False)
class Prepared:
    """The rows of a fit, before and after scaling.

    Attributes
    ----------
    raw : Source
        Rows in the units of the data.
    source : Source
        Rows that the descent reads.
    scaling : Scaling
        How `raw` is converted to `source`.
    constant : tuple of int
        Indices of the columns that have no effect after standardising: columns of zeros and,
        with an intercept, columns with one value only. Empty without standardising.
    """

    raw: Source
    source: Source
    scaling: Scaling
    constant: tuple[int, ...] = ()

    def used(self) -> Scaling | None:
        """Return the scaling; None if the descent reads the rows of `raw` unchanged."""
        return None if self.source is self.raw else self.scaling

    def names(self) -> tuple[str, ...]:
        """Return the names of the columns; columns without names get ``"0"``, ``"1"``, …."""
        named = self.raw.origin.x if self.raw.origin else ()
        if len(named) == self.raw.features:
            return named
        return tuple(map(str, range(self.raw.features)))


def prepare(
    raw: Source, dtype: str, *, intercept: bool, standardize: bool, send: bool = False
) -> Prepared:
    """Return the rows for a descent.

    If `standardize` is True, the columns are standardised. If `intercept` is True, a column of
    ones is added.

    Parameters
    ----------
    raw : Source
        Rows in the units of the data. To standardise accurately, give float64 rows.
    dtype : str
        Dtype of the rows that the backend reads.
    intercept, standardize : bool
    send : bool
        Whether the backend sends the rows to other processes. If it does, rows in memory are
        scaled before they are sent.
    """
    if not (intercept or standardize):
        return Prepared(raw, raw, Scaling.identity(raw.features, intercept=False))
    constant: tuple[int, ...] = ()
    if standardize:
        columns = measured(raw)
        shift = may_shift_target(raw.loss)
        scaling = Scaling.of(columns, intercept=intercept, standardize=True, shift_target=shift)
        useless = columns.constant & (intercept | (columns.high == 0))
        constant = tuple(np.flatnonzero(useless).tolist())
    else:
        scaling = Scaling.identity(raw.features, intercept=True)
    source: Source = Scaled.of(raw, scaling, dtype)
    if send and isinstance(raw, InMemory):
        source = replace(InMemory.of(source.load()), origin=raw.origin)
    return Prepared(raw, source, scaling, constant)
