"""Rows of a ``.npy`` file, read a window at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from backends.errors import ProblemError
from backends.rows.blocks import Block, Piece
from backends.rows.columns import NO_ROWS, choose, listing, named_errors, not_numbers
from backends.rows.source import Joined, Source

WINDOW_BYTES = 2 << 20
"""Of a file that are read at a time: they stay in the caches until they are converted."""


def npy_source(path: Path, x: Sequence[str] | None, y: str | None, dtype: str) -> NpySource:
    """Open an array of rows × columns; a column's name is its position."""
    data = open_memmap(path, mode="r")
    if data.ndim != 2:
        raise ProblemError(f"the array must be 2-D, rows × columns, not {data.shape}")
    _check_rows(len(data))  # without rows a few bytes may claim any number of columns
    xs, target = choose([str(position) for position in range(data.shape[1])], x, y)
    if data.dtype.kind not in "iuf":
        raise not_numbers(xs[0], data.dtype)
    with path.open("rb") as file:
        header = file.read(data.offset)
    layout = Layout(header, data.dtype, len(data), data.shape[1], data.flags.c_contiguous)
    columns = tuple(map(int, xs))
    return NpySource(len(data), len(xs), dtype, path.absolute(), columns, int(target), layout)


@dataclass(frozen=True)
class Layout:
    """How the numbers of a ``.npy`` file lie there.

    Attributes
    ----------
    header : bytes
        Before the numbers; a file that has another one now has changed.
    dtype : dtype
    rows, columns : int
    by_row : bool
        Row after row, else column after column.
    """

    header: bytes
    dtype: np.dtype[Any]
    rows: int
    columns: int
    by_row: bool

    def offset(self, row: int, column: int = 0) -> int:
        """Return where a number begins, bytes."""
        before = row * self.columns + column if self.by_row else column * self.rows + row
        return len(self.header) + before * self.dtype.itemsize


@dataclass(frozen=True, eq=False)
class NpySource(Source):
    """The rows of a ``.npy`` file, (n, columns), in either memory order.

    Attributes
    ----------
    path : Path
    x : tuple of int
        Columns of X.
    y : int
        Column of y.
    layout : Layout
    """

    path: Path
    x: tuple[int, ...]
    y: int
    layout: Layout

    @property
    def source(self) -> str:
        return f"{self.path.name}: '{self.y}' from {listing([str(j) for j in self.x])}"

    def joined(self) -> Joined | None:
        """Rows that lie in the file as they are wanted are read to where they are used."""
        layout, all_columns = self.layout, tuple(range(self.layout.columns))
        as_wanted = layout.by_row and layout.dtype == self.dtype
        if not as_wanted or {*self.x, self.y} != {*all_columns}:
            return None
        rows = NpyRows(
            self.rows, layout.columns, self.dtype, self.path, all_columns, self.y, layout
        )
        return Joined(rows, list(self.x), self.y)

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        """Read a window of the file after the other, into the same memory.

        To map the file instead takes a page fault every few pages.
        """
        layout = self.layout
        rows = max(1, WINDOW_BYTES // (layout.columns * layout.dtype.itemsize))
        rows = min(rows, stop - start)
        read = self._rows if layout.by_row else self._columns
        with self.opened() as file:
            yield from read(file, start, stop, rows)

    @contextmanager
    def opened(self) -> Iterator[RawIOBase]:
        """Open the file, unless it has changed."""
        with named_errors(self.path), self.path.open("rb", buffering=0) as file:
            if file.read(len(self.layout.header)) != self.layout.header:
                raise ProblemError(
                    "has changed since it was opened; do not change it meanwhile"
                )
            yield file

    def _rows(self, file: RawIOBase, start: int, stop: int, rows: int) -> Iterator[Piece]:
        window = np.empty((rows, self.layout.columns), self.layout.dtype)
        for first in range(start, stop, rows):
            part = window[: stop - first]
            _read(file, self.layout.offset(first), part)
            yield _parts(part, self.x), part[:, self.y]

    def _columns(self, file: RawIOBase, start: int, stop: int, rows: int) -> Iterator[Piece]:
        chosen = (*self.x, self.y)
        window = np.empty((len(chosen), rows), self.layout.dtype)
        for first in range(start, stop, rows):
            part = window[:, : stop - first]
            for into, column in zip(part, chosen, strict=True):
                _read(file, self.layout.offset(first, column), into)
            yield list(part[:-1, :, None]), part[-1]


class NpyRows(NpySource):
    """All columns of a file's rows as features, and zeros as y."""

    def joined(self) -> None:
        """They are that already."""

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        for parts, _ in super().pieces(start, stop):
            yield parts, np.zeros(len(parts[0]), self.dtype)

    def filled(
        self, run: list[Block], stop: int, pieces: Iterable[Piece] | None = None
    ) -> Iterator[Block]:
        """Read rows into the blocks themselves."""
        with self.opened() as file:
            for block in run:
                held = min(len(block.y), stop - block.start)
                _read(file, self.layout.offset(block.start), block.x[:held])
                block.x[held:], block.y[:] = 0, 0
                yield block


def _read(file: RawIOBase, offset: int, into: NDArray[Any]) -> None:
    """Read an array's bytes from an offset on."""
    file.seek(offset)
    left = into.reshape(-1).view(np.uint8).data
    while left:
        count = file.readinto(left)
        if not count:
            raise ProblemError("has become shorter; do not change it meanwhile")
        left = left[count:]


def _parts(rows: NDArray[Any], x: tuple[int, ...]) -> list[NDArray[Any]]:
    """Return columns that stand side by side as one part, which is copied faster."""
    if x == tuple(range(x[0], x[0] + len(x))):
        return [rows[:, x[0] : x[0] + len(x)]]
    return [rows[:, j : j + 1] for j in x]


def _check_rows(rows: int) -> None:
    if rows == 0:
        raise ProblemError(NO_ROWS)
