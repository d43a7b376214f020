"""Files that are read a range of rows at a time: ``.npy``, and Parquet in one or many files.

Only what a range needs is read, and nothing larger than a piece is held.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from backends.errors import MissingLibraryError, ProblemError
from backends.rows.blocks import Piece
from backends.rows.columns import choose, listing, named_errors, not_numbers
from backends.rows.npy import _check_rows
from backends.rows.source import Source

BATCH_BYTES = 4 << 20
"""Of Parquet columns that are decoded at a time."""

MAPPED_BYTES = 16 << 20
"""Of Parquet row groups that are mapped at a time, as far as a group is no larger: mapped
pages count as the process's memory."""


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
