"""Files that are read a range of rows at a time: ``.npy``, and Parquet in one or many files.

Only what a range needs is read, and nothing larger than a piece is held.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from backends.errors import MissingLibraryError, ProblemError
from backends.rows.columns import NO_ROWS, choose, listing, named_errors, not_numbers
from backends.rows.source import Block, Joined, Piece, Source

WINDOW_BYTES = 2 << 20
"""Of a file that are read at a time: they stay in the caches until they are converted."""

BATCH_BYTES = 4 << 20
"""Of Parquet columns that are decoded at a time."""

MAPPED_BYTES = 16 << 20
"""Of Parquet row groups that are mapped at a time, as far as a group is no larger: mapped
pages count as the process's memory."""


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

    in_order: ClassVar[bool] = True  # pyarrow decodes columns side by side; a group is whole
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
            with named_errors(path):
                with parquet.ParquetFile(path) as file:
                    metadata = file.metadata
                last = first + metadata.num_rows
                if first < stop and start < last:
                    yield from self._pieces_of(path, metadata, first, start, stop)
                first = last

    def _pieces_of(
        self, path: Path, metadata: Any, first: int, start: int, stop: int
    ) -> Iterator[Piece]:
        """Yield what a file has of the range; its rows count from `first`."""
        size = max(1024, BATCH_BYTES // (4 * (self.features + 1)))
        names = [*self.x, self.y]
        for at, groups in _runs(metadata, first, start, stop):
            # Mapped, because what is read otherwise is copied once more.
            with _pyarrow("parquet").ParquetFile(
                path, metadata=metadata, memory_map=True
            ) as file:
                for batch in file.iter_batches(size, row_groups=groups, columns=names):
                    low, high = max(start - at, 0), min(stop - at, batch.num_rows)
                    if low < high:
                        part = batch.slice(low, high - low)
                        *xs, y = (_numbers(part.column(n), n, at + low) for n in names)
                        yield [x[:, None] for x in xs], y
                    at += batch.num_rows


def _runs(metadata: Any, first: int, start: int, stop: int) -> Iterator[tuple[int, list[int]]]:
    """Yield row groups that hold the range, as many as are mapped at a time.

    Before them stands their first row; the file's rows count from `first`.
    """
    run: list[int] = []
    held, at, begins = 0, first, first
    for group in range(metadata.num_row_groups):
        of = metadata.row_group(group)
        ends = begins + of.num_rows
        if begins < stop and start < ends:
            if run and held + of.total_byte_size > MAPPED_BYTES:
                yield at, run
                run, held = [], 0
            at = at if run else begins
            run.append(group)
            held += of.total_byte_size
        begins = ends
    if run:
        yield at, run


def _numbers(column: Any, name: str, first_row: int) -> NDArray[Any]:
    if column.null_count:
        row = first_row + int(np.argmax(column.is_null())) + 1
        raise ProblemError(f"column {name!r} holds a null in row {row}; remove the row")
    values: NDArray[Any] = column.to_numpy()
    return values
