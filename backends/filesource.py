"""Files that are read a range of rows at a time: ``.npy``, and Parquet in one or many files.

Only what a range needs is read, and nothing larger than a piece is held.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from backends.columns import NO_ROWS, choose, listing, named_errors, not_numbers
from backends.interface import MissingLibraryError, ProblemError
from backends.problem import Array
from backends.source import Piece, Source, convert

WINDOW_BYTES = 16 << 20
"""Of a file that are mapped at a time; mapped pages count as the process's memory."""

BATCH_BYTES = 16 << 20
"""Of Parquet columns that are decoded at a time."""


def npy_source(path: Path, x: Sequence[str] | None, y: str | None, dtype: str) -> NpySource:
    """Open an array of rows × columns; a column's name is its position."""
    data = open_memmap(path, mode="r")
    if data.ndim != 2:
        raise ProblemError(f"the array must be 2-D, rows × columns, not {data.shape}")
    _check_rows(len(data))  # without rows a few bytes may claim any number of columns
    xs, target = choose([str(position) for position in range(data.shape[1])], x, y)
    if data.dtype.kind not in "iuf":
        raise not_numbers(xs[0], data.dtype)
    columns = tuple(map(int, xs))
    return NpySource(len(data), len(xs), dtype, path.absolute(), columns, int(target))


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
    """

    path: Path
    x: tuple[int, ...]
    y: int

    @property
    def source(self) -> str:
        return f"{self.path.name}: '{self.y}' from {listing([str(j) for j in self.x])}"

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        """Map a window of the file after the other: the memory held is a window's."""
        with named_errors(self.path):
            whole = open_memmap(self.path, mode="r")
            columns = whole.shape[1] if whole.ndim == 2 else 0
            if columns <= max(*self.x, self.y):
                raise ProblemError(f"has {columns} columns, and had more when it was opened")
            rows = max(1, WINDOW_BYTES // (columns * whole.itemsize))
            stop = min(stop, len(whole))
            for first in range(start, stop, rows):
                last = min(first + rows, stop)
                if whole.flags.c_contiguous:
                    window = _window(whole, first * columns, (last - first, columns))
                    yield _columns(window, self.x), window[:, self.y]
                else:
                    each = [
                        _window(whole, j * len(whole) + first, (last - first, 1))
                        for j in (*self.x, self.y)
                    ]
                    yield each[:-1], each[-1][:, 0]


def _window(whole: np.memmap[Any, Any], start: int, shape: tuple[int, int]) -> NDArray[Any]:
    """Map a part of a mapped array anew, from its element `start` on."""
    offset = whole.offset + start * whole.itemsize
    return np.memmap(str(whole.filename), whole.dtype, "r", offset, shape)


def _columns(rows: NDArray[Any], x: tuple[int, ...]) -> list[NDArray[Any]]:
    """Return columns that stand side by side as one part, which is copied faster."""
    if x == tuple(range(x[0], x[0] + len(x))):
        return [rows[:, x[0] : x[0] + len(x)]]
    return [rows[:, j : j + 1] for j in x]


def _check_rows(rows: int) -> None:
    if rows == 0:
        raise ProblemError(NO_ROWS)


def parquet_files(path: Path) -> list[Path]:
    """Return the ``.parquet`` files that are meant, in the order of their names; maybe none."""
    if path.is_dir():
        files = sorted(path.glob("*.parquet"))
        if not files:
            raise ProblemError("is a directory without any .parquet file")
        return files
    if path.suffix.lower() != ".parquet":
        return []
    if path.is_file():
        return [path] if path.stat().st_size else []
    return [file for file in sorted(path.parent.glob(path.name)) if file.is_file()]


def parquet_source(
    path: Path, files: Sequence[Path], x: Sequence[str] | None, y: str | None, dtype: str
) -> ParquetSource:
    """Open files that have the same columns; their rows are one after the other."""
    parquet, types = _pyarrow("parquet"), _pyarrow("types")
    rows = 0
    for file in files:
        with named_errors(file), parquet.ParquetFile(file) as opened:
            schema = opened.schema_arrow
            if file == files[0]:
                xs, target = choose(list(schema.names), x, y)
            for name in (*xs, target):
                if name not in schema.names:
                    raise ProblemError(f"there is no column {name!r}, as in {files[0].name}")
                kind = schema.field(name).type
                if not (types.is_integer(kind) or types.is_floating(kind)):
                    raise not_numbers(name, kind)
            rows += opened.metadata.num_rows
    _check_rows(rows)
    absolute = tuple(file.absolute() for file in files)
    return ParquetSource(rows, len(xs), dtype, path.name, absolute, tuple(xs), target)


def _pyarrow(module: str) -> Any:
    try:
        return importlib.import_module(f"pyarrow.{module}")
    except ImportError as error:
        raise MissingLibraryError(
            "reading .parquet needs pyarrow: pip install pyarrow"
        ) from error


@dataclass(frozen=True, eq=False)
class ParquetSource(Source):
    """The rows of Parquet files, one after the other.

    Attributes
    ----------
    name : str
        What was asked for.
    paths : tuple of Path
    x : tuple of str
        Columns of X.
    y : str
        Column of y.
    """

    name: str
    paths: tuple[Path, ...]
    x: tuple[str, ...]
    y: str

    @property
    def source(self) -> str:
        return f"{self.name}: {self.y!r} from {listing(self.x)}"

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        """Decode the row groups that hold the range, a batch at a time."""
        parquet = _pyarrow("parquet")
        first = 0
        for path in self.paths:
            with named_errors(path), parquet.ParquetFile(path) as file:
                last = first + file.metadata.num_rows
                if first < stop and start < last:
                    yield from self._pieces_of(file, first, start, stop)
                first = last

    def _pieces_of(self, file: Any, first: int, start: int, stop: int) -> Iterator[Piece]:
        """Yield what a file has of the range; its rows count from `first`."""
        counts = [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
        begins = first + np.cumsum([0, *counts])
        groups = [g for g in range(len(counts)) if begins[g] < stop and start < begins[g + 1]]
        at = int(begins[groups[0]])
        size = max(1024, BATCH_BYTES // (4 * (self.features + 1)))
        names = [*self.x, self.y]
        # Column after column, then rows from all of them: far faster than a column into rows.
        columns: Array = np.empty((len(names), size), self.dtype)
        for batch in file.iter_batches(size, row_groups=groups, columns=names):
            low, high = max(start - at, 0), min(stop - at, batch.num_rows)
            if low < high:
                part = batch.slice(low, high - low)
                for name, into in zip(names, columns, strict=True):
                    numbers = _numbers(part.column(name), name, at + low)
                    convert(numbers, into[: high - low], at + low)
                yield [columns[:-1, : high - low].T], columns[-1, : high - low]
            at += batch.num_rows


def _numbers(column: Any, name: str, first_row: int) -> NDArray[Any]:
    if column.null_count:
        row = first_row + int(np.argmax(column.is_null())) + 1
        raise ProblemError(f"column {name!r} holds a null in row {row}; remove the row")
    values: NDArray[Any] = column.to_numpy()
    return values
