"""Rows of a ``.npy`` file, which is read in windows of a few megabytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
from backends.rows.columns import (
    EXACT_FLOAT32,
    NO_ROWS,
    Table,
    inexact,
    listing,
    named_errors,
    not_numbers,
)
from backends.rows.source import Joined, Source

WINDOW_BYTES = 2 << 20
"""Size in bytes of a window, the part of a file that is read at a time. A window of this size
stays in the caches until its numbers are converted."""

SAMPLE_WINDOWS = 16
"""Number of windows that are searched for integers which float32 cannot represent exactly. The
windows are evenly spaced over the file. A file of up to 32 MB is searched as a whole."""


def npy_table(path: Path, *, may_be_1d: bool = False) -> Table:
    """Open an array of rows × columns, or a structured array.

    A structured array has one column for each field, with the field's name. The columns of any
    other array are named by their positions: ``"0"``, ``"1"``, … A one-dimensional array
    without fields is a single column. It is accepted only if `may_be_1d` is true, for a file
    with only x or only y.
    """
    data = open_memmap(path, mode="r")
    fields = data.dtype.names
    if fields is not None and data.ndim != 1:
        raise ProblemError(f"a structured array must be 1-D, not {data.shape}")
    if data.ndim != 2 and not (data.ndim == 1 and (may_be_1d or fields is not None)):
        raise ProblemError(f"the array must be 2-D, rows × columns, not {data.shape}")
    if not len(data):  # a file without rows may claim any number of columns
        raise ProblemError(NO_ROWS)
    columns = 1 if fields is not None or data.ndim == 1 else data.shape[1]
    with path.open("rb") as file:
        header = file.read(data.offset)
    by_row = data.flags.c_contiguous or columns == 1
    layout = Layout(header, data.dtype, len(data), columns, by_row)
    names = list(fields) if fields is not None else [str(j) for j in range(columns)]
    notes: list[str] = []

    def source(xs: list[str], y: str, dtype: str) -> Source:
        for name in (*xs, y):
            kind = data.dtype if fields is None else data.dtype[name]
            if kind.kind not in "iufb":
                raise not_numbers(name, kind)
        size = len(data), len(xs), dtype, path.absolute()
        chosen = tuple(names.index(name) for name in xs), names.index(y)
        rows = (
            NpySource(*size, *chosen, layout)
            if fields is None
            else NpyRecords(*size, *chosen, layout)
        )
        if dtype == "float32":
            notes.extend(_inexact(rows, [*xs, y]))
        return rows

    return Table(names, source, notes=notes)


def _inexact(source: NpySource, names: list[str]) -> Iterator[str]:
    """Yield a note for each column with integers that float32 cannot represent exactly.

    A large file is searched only in part (see `SAMPLE_WINDOWS`).
    """
    dtype = source.layout.dtype
    kinds = [dtype] if dtype.names is None else [dtype[name] for name in dtype.names]
    if not any(kind.kind in "iu" and kind.itemsize >= 4 for kind in kinds):
        return
    window = max(1, WINDOW_BYTES // (source.layout.columns * dtype.itemsize))
    starts = np.linspace(0, max(0, source.rows - window), SAMPLE_WINDOWS).astype(int)
    largest: dict[str, float] = {}
    for start in sorted({*starts.tolist()}):
        for parts, y in source.pieces(start, min(start + window, source.rows)):
            columns = [part[:, j] for part in parts for j in range(part.shape[1])]
            for name, values in zip(names, [*columns, y], strict=True):
                if values.dtype.kind in "iu" and rounds(values):
                    most = float(np.abs(values.astype(np.float64)).max())
                    largest[name] = max(largest.get(name, 0), most)
    for name in names:
        if name in largest:
            yield inexact(name, largest[name])


def rounds(values: NDArray[Any]) -> bool:
    """Return whether a conversion to float32 changes any of the integers in `values`."""
    if not len(values) or max(values.max(), -float(values.min())) <= EXACT_FLOAT32:
        return False
    return bool((values.astype(np.float32).astype(np.float64) != values).any())


@dataclass(frozen=True)
class Layout:
    """How the numbers of a ``.npy`` file are stored.

    Attributes
    ----------
    header : bytes
        The file's bytes before the numbers. If these bytes differ later, the file has changed.
    dtype : dtype
        Dtype of a number, or of a record of a structured array.
    rows, columns : int
        Shape of the array. A structured array counts as one column.
    by_row : bool
        True if rows are stored one after another, False if columns are.
    """

    header: bytes
    dtype: np.dtype[Any]
    rows: int
    columns: int
    by_row: bool

    def offset(self, row: int, column: int = 0) -> int:
        """Return how many bytes of the file come before the number in this row and column."""
        before = row * self.columns + column if self.by_row else column * self.rows + row
        return len(self.header) + before * self.dtype.itemsize


@dataclass(frozen=True, eq=False)
class NpySource(Source):
    """The rows of a ``.npy`` file, whose array is stored by row or by column.

    Attributes
    ----------
    path : Path
    x : tuple of int
        Positions of X's columns.
    y : int
        Position of y's column.
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
        """Return the rows with y as an additional feature (see `Joined`), if possible.

        These rows are read faster, because the file's bytes are used as they are. The file must
        be stored by row in the requested dtype, and every column must be in X or y. For other
        files, the result is None.
        """
        layout, all_columns = self.layout, tuple(range(self.layout.columns))
        as_wanted = layout.by_row and layout.dtype == self.dtype
        if not as_wanted or {*self.x, self.y} != {*all_columns}:
            return None
        rows = NpyRows(
            self.rows, layout.columns, self.dtype, self.path, all_columns, self.y, layout
        )
        return Joined(rows, list(self.x), self.y)

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        """Yield the rows window by window. All windows are read into one buffer.

        The file is not memory-mapped, because memory-mapping would cause a page fault every few
        pages.
        """
        layout = self.layout
        rows = max(1, WINDOW_BYTES // (layout.columns * layout.dtype.itemsize))
        rows = min(rows, stop - start)
        read = self._rows if layout.by_row else self._columns
        with self.opened() as file:
            yield from read(file, start, stop, rows)

    @contextmanager
    def opened(self) -> Iterator[RawIOBase]:
        """Open the file; raise ProblemError if its header differs from `Layout.header`."""
        with named_errors(self.path), self.path.open("rb", buffering=0) as file:
            if file.read(len(self.layout.header)) != self.layout.header:
                raise ProblemError(
                    "has changed since it was opened; do not change it during a run"
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
    """Rows with all columns of the file as features, and zeros as y."""

    def joined(self) -> None:
        """Return None, because the features of these rows already include y."""

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        for parts, _ in super().pieces(start, stop):
            yield parts, np.zeros(len(parts[0]), self.dtype)

    def filled(
        self, run: list[Block], stop: int, pieces: Iterable[Piece] | None = None
    ) -> Iterator[Block]:
        """Read the bytes of the file directly into the blocks; yield each block when full."""
        with self.opened() as file:
            for block in run:
                held = min(len(block.y), stop - block.start)
                _read(file, self.layout.offset(block.start), block.x[:held])
                block.x[held:], block.y[:] = 0, 0
                yield block


def _read(file: RawIOBase, offset: int, into: NDArray[Any]) -> None:
    """Fill an array with the bytes of the file from position `offset` on."""
    file.seek(offset)
    left = into.reshape(-1).view(np.uint8).data
    while left:
        count = file.readinto(left)
        if not count:
            raise ProblemError("has become shorter; do not change it during a run")
        left = left[count:]


def _parts(rows: NDArray[Any], x: tuple[int, ...]) -> list[NDArray[Any]]:
    """Return X's columns as one part if they are adjacent, otherwise one part per column."""
    if x == tuple(range(x[0], x[0] + len(x))):
        return [rows[:, x[0] : x[0] + len(x)]]
    return [rows[:, j : j + 1] for j in x]


class NpyRecords(NpySource):
    """Rows of a structured array, in which every column is a field."""

    def joined(self) -> None:
        """Return None: `Joined` rows are not possible, because fields can differ in dtype."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the fields of the structured array."""
        return self.layout.dtype.names or ()

    @property
    def source(self) -> str:
        names = self.names
        return f"{self.path.name}: {names[self.y]!r} from {listing([names[j] for j in self.x])}"

    def _rows(self, file: RawIOBase, start: int, stop: int, rows: int) -> Iterator[Piece]:
        names, window = self.names, np.empty(rows, self.layout.dtype)
        for first in range(start, stop, rows):
            part = window[: stop - first]
            _read(file, self.layout.offset(first), part)
            yield [part[names[j]][:, None] for j in self.x], part[names[self.y]]
