"""Sources made of other sources: several files, X and y from two files, only complete rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.errors import ProblemError
from backends.problem import Problem
from backends.rows.blocks import Cutter, Piece
from backends.rows.columns import NO_ROWS
from backends.rows.made import InMemory
from backends.rows.source import Source

CHUNK_ROWS = 1 << 16
"""Number of rows in a chunk. `Complete` counts the rows without missing values in each
chunk, so that it can skip the chunks before a requested range."""


@dataclass(frozen=True, eq=False)
class Chained(Source):
    """The rows of several sources, one source after the other.

    Attributes
    ----------
    sources : tuple of Source
        Sources with equal features and dtype.
    name : str
        Where the rows come from, in a few words.
    """

    sources: tuple[Source, ...]
    name: str

    @classmethod
    def of(cls, sources: list[Source], name: str) -> Source:
        """Return one source with the rows of all sources.

        If all sources are in memory, their rows are copied to new arrays in memory.
        """
        first = sources[0]
        held = [source.problem for source in sources if isinstance(source, InMemory)]
        if len(held) == len(sources):
            x = np.concatenate([problem.x for problem in held])
            y = np.concatenate([problem.y for problem in held])
            return InMemory.of(Problem(x, y, name, known_finite=True))
        rows = sum(source.rows for source in sources)
        return cls(rows, first.features, first.dtype, tuple(sources), name)

    @property
    def source(self) -> str:
        return self.name

    @property
    def in_order(self) -> bool:
        return self.sources[0].in_order

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        first = 0
        for source in self.sources:
            low, high = max(start - first, 0), min(stop - first, source.rows)
            if low < high:
                yield from source.pieces(low, high)
            first += source.rows


@dataclass(frozen=True, eq=False)
class Paired(Source):
    """X from one source and y from another source, row for row.

    Attributes
    ----------
    xs : Source
        Source of X; its target is not used.
    ys : Source
        Source of y; its features are not used.
    name : str
        Where the rows come from, in a few words.
    """

    xs: Source
    ys: Source
    name: str

    @classmethod
    def of(cls, xs: Source, ys: Source, name: str) -> Source:
        """Return one source whose X comes from the source `xs` and whose y comes from `ys`.

        Raises
        ------
        ProblemError
            The numbers of rows differ.
        """
        if xs.rows != ys.rows:
            raise ProblemError(f"x has {xs.rows} rows but the target's file has {ys.rows}")
        if isinstance(xs, InMemory) and isinstance(ys, InMemory):
            return InMemory.of(Problem(xs.problem.x, ys.problem.y, name, known_finite=True))
        return cls(xs.rows, xs.features, xs.dtype, xs, ys, name)

    @property
    def source(self) -> str:
        return self.name

    @property
    def in_order(self) -> bool:
        return self.xs.in_order or self.ys.in_order

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        overwritten = self.in_order and not self.xs.in_order
        targets = Cutter(self.ys.pieces(start, stop))
        for parts, unused in self.xs.pieces(start, stop):
            some = [y.copy() for _, y in targets.take(len(unused))]
            y = some[0] if len(some) == 1 else np.concatenate(some or [unused[:0]])
            rows = [part[: len(y)] for part in parts]
            yield [part.copy() for part in rows] if overwritten else rows, y


@dataclass(frozen=True, eq=False)
class Complete(Source):
    """The complete rows of another source: rows in which no value is missing.

    Attributes
    ----------
    whole : Source
        The other source.
    ends : tuple of int
        For each chunk of `CHUNK_ROWS` rows, the number of complete rows up to the chunk's end.
        If the first two chunks have 100 and 150 complete rows, `ends` begins with 100 and 250.
    """

    whole: Source
    ends: tuple[int, ...]

    @property
    def source(self) -> str:
        return self.whole.source

    @property
    def in_order(self) -> bool:
        return self.whole.in_order

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        chunk = int(np.searchsorted(self.ends, start, "right"))
        at = self.ends[chunk - 1] if chunk else 0
        for parts, y in self.whole.pieces(chunk * CHUNK_ROWS, self.whole.rows):
            complete = _complete(parts, y)
            keep = complete[max(start - at, 0) : max(stop - at, 0)]
            at += len(complete)
            if len(keep):
                yield [part[keep] for part in parts], y[keep]
            if at >= stop:
                return


def _complete(parts: list[NDArray[Any]], y: NDArray[Any]) -> NDArray[Any]:
    """Return the positions of the rows in which no value is NaN."""
    keep = np.ones(len(y), bool)
    for values in (*parts, y[:, None]):
        if values.dtype.kind == "f":
            keep &= ~np.isnan(values).any(axis=1)
    return np.flatnonzero(keep)


def without_missing(source: Source) -> tuple[Source, int]:
    """Return a source with only the complete rows, and the number of rows left out.

    If `source` is in memory, the result is also in memory. Any other source is read once to
    count its complete rows; the rows are read again when they are needed.

    Raises
    ------
    ProblemError
        No row is complete.
    """
    if isinstance(source, InMemory):
        x, y = source.problem.x.reshape(source.rows, -1), source.problem.y
        keep = _complete([x], y)
        if len(keep) == source.rows:
            return InMemory.of(Problem(source.problem.x, y, source.source)), 0
        _check_some(len(keep))
        whole = Problem(x[keep], y[keep], source.source)
        return InMemory.of(whole), source.rows - len(keep)
    ends, cutter = [0], Cutter(source.pieces(0, source.rows))
    for _ in range(0, source.rows, CHUNK_ROWS):
        ends.append(ends[-1] + sum(len(_complete(*p)) for p in cutter.take(CHUNK_ROWS)))
    rows = ends[-1]
    if rows == source.rows:
        return source, 0
    _check_some(rows)
    complete = Complete(rows, source.features, source.dtype, source, tuple(ends[1:]))
    return complete, source.rows - rows


def _check_some(rows: int) -> None:
    if not rows:
        raise ProblemError(f"every row lacks a value in a column that is used: {NO_ROWS}")
