"""Rows of Parquet files, decoded one batch of rows at a time."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.errors import MissingLibraryError, ProblemError
from backends.rows.blocks import Piece
from backends.rows.columns import (
    EXACT_FLOAT32,
    NO_ROWS,
    Table,
    inexact,
    listing,
    named_errors,
    not_numbers,
)
from backends.rows.source import Source

BATCH_BYTES = 4 << 20
"""Size in bytes of the rows that are decoded at a time, with 4 bytes for each number."""

MAPPED_BYTES = 16 << 20
"""Limit in bytes for memory-mapping several row groups at the same time, because mapped pages
count as memory of the process. A row group that exceeds the limit is mapped alone."""


@dataclass(frozen=True)
class Part:
    """One Parquet file of a data set.

    Attributes
    ----------
    path : Path
    constants : dict
        Values of additional columns, such as 2024 for a file in the folder ``year=2024``.
    """

    path: Path
    constants: dict[str, str]


def parquet_table(path: Path, parts: Sequence[Part], *, drop: bool) -> Table:
    """Open Parquet files as one table with the rows of all files, file after file.

    Parameters
    ----------
    path : Path
        The file, folder or pattern that the user named.
    parts : sequence of Part
    drop : bool
        If true, a null becomes NaN, so that its row can be dropped. If false, a null is an
        error.
    """
    parquet = library("parquet", ".parquet")
    with named_errors(parts[0].path), parquet.ParquetFile(parts[0].path) as opened:
        schema = opened.schema_arrow
    folders = [name for name in parts[0].constants if name not in schema.names]
    hidden = dict.fromkeys(index_columns(schema), "the pandas index")
    hidden |= dict.fromkeys(folders, "from the names of folders")
    notes: list[str] = []

    def source(xs: list[str], y: str, dtype: str) -> Source:
        chosen, rows = [*xs, y], 0
        largest: dict[str, float] = {}
        for part in parts:
            with named_errors(part.path), parquet.ParquetFile(part.path) as opened:
                schema = opened.schema_arrow
                for name in chosen:
                    if name in part.constants and name not in schema.names:
                        number_in_folder(name, part.constants[name])
                        continue
                    if name not in schema.names:
                        first = parts[0].path
                        raise ProblemError(f"there is no column {name!r}, which {first} has")
                    check_kind(name, schema.field(name).type)
                rows += opened.metadata.num_rows
                _largest_integers(opened.metadata, schema, chosen, largest)
        if rows == 0:
            raise ProblemError(NO_ROWS)
        if dtype == "float32":
            notes.extend(inexact(name, most) for name, most in largest.items())
        absolute = tuple(Part(part.path.absolute(), part.constants) for part in parts)
        return ParquetSource(rows, len(xs), dtype, path.name, absolute, tuple(xs), y, drop)

    return Table([*schema.names, *folders], source, hidden=hidden, notes=notes)


def library(module: str, suffix: str) -> Any:
    """Import a module of pyarrow.

    Raises
    ------
    MissingLibraryError
        pyarrow is not installed.
    """
    try:
        return importlib.import_module(f"pyarrow.{module}")
    except ImportError as error:
        raise MissingLibraryError(
            f"reading {suffix} needs pyarrow: pip install pyarrow"
        ) from error


def check_kind(name: str, kind: Any) -> None:
    """Raise ProblemError unless a column of this Arrow type holds numbers."""
    types = library("types", "Arrow data")
    right = types.is_integer, types.is_floating, types.is_boolean, types.is_decimal
    if not any(test(kind) for test in right):
        raise not_numbers(name, kind)


def index_columns(schema: Any) -> list[str]:
    """Return the columns in which pandas stored the index of a DataFrame."""
    try:
        told = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
        return [c for c in told.get("index_columns", []) if c in schema.names]
    except (ValueError, AttributeError, TypeError):
        return []


def _largest_integers(
    metadata: Any, schema: Any, names: Sequence[str], into: dict[str, float]
) -> None:
    """Store each column's largest absolute integer in `into` if it exceeds `EXACT_FLOAT32`.

    The largest integers are in the file's statistics, so no rows are read.
    """
    types = library("types", ".parquet")
    integers = {
        n for n in names if n in schema.names and types.is_integer(schema.field(n).type)
    }
    if not integers:
        return
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for j in range(row_group.num_columns):
            column = row_group.column(j)
            name, known = column.path_in_schema, column.statistics
            if name in integers and known is not None and known.has_min_max:
                most = float(max(abs(known.min), abs(known.max)))
                if most > max(EXACT_FLOAT32, into.get(name, 0)):
                    into[name] = most


def number_in_folder(name: str, text: str) -> float:
    """Return the value that a folder's name gives to a column, such as 2024 for ``year=2024``.

    Raises
    ------
    ProblemError
        The text is not a number. For example, Hive writes ``__HIVE_DEFAULT_PARTITION__`` for a
        missing value.
    """
    try:
        return float(text)
    except ValueError:
        raise ProblemError(
            f"column {name!r} is {text!r} by the name of the folder; "
            "only integers and floats can be used"
        ) from None


@dataclass(frozen=True, eq=False)
class ParquetSource(Source):
    """The rows of Parquet files, one file after the other.

    Attributes
    ----------
    name : str
        Name of the file, folder or pattern that the user named.
    parts : tuple of Part
    x : tuple of str
        Columns of X.
    y : str
        Column of y.
    drop : bool
        If true, a null becomes NaN, and its row is dropped later. If false, a null is an error.
    """

    name: str
    parts: tuple[Part, ...]
    x: tuple[str, ...]
    y: str
    drop: bool = False

    @property
    def in_order(self) -> bool:
        """Return True: one thread reads all rows in order, and decodes each row group once."""
        return True

    @property
    def source(self) -> str:
        return f"{self.name}: {self.y!r} from {listing(self.x)}"

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        """Decode the row groups that hold rows `start` to `stop`, one batch at a time."""
        parquet = library("parquet", ".parquet")
        first = 0
        for part in self.parts:
            with named_errors(part.path):
                with parquet.ParquetFile(part.path) as file:
                    metadata = file.metadata
                last = first + metadata.num_rows
                if first < stop and start < last:
                    yield from self._pieces_of(part, metadata, first, start, stop)
                first = last

    def _pieces_of(
        self, part: Part, metadata: Any, first: int, start: int, stop: int
    ) -> Iterator[Piece]:
        """Yield the rows from `start` to `stop` that this file contains.

        `start` and `stop` count the rows of all files. `first` is the number of rows in the
        files before this file.
        """
        size = max(1024, BATCH_BYTES // (4 * (self.features + 1)))
        chosen, parquet = [*self.x, self.y], library("parquet", ".parquet")
        for at, groups in _runs(metadata, first, start, stop):
            # The file is mapped, because pyarrow would copy data that are read in another way.
            with parquet.ParquetFile(part.path, metadata=metadata, memory_map=True) as file:
                there = [name for name in chosen if name in file.schema_arrow.names]
                for batch in file.iter_batches(size, row_groups=groups, columns=there or None):
                    low, high = max(start - at, 0), min(stop - at, batch.num_rows)
                    if low < high:
                        rows = batch.slice(low, high - low)
                        yield as_piece(rows, chosen, at + low, self.drop, part.constants)
                    at += batch.num_rows


def _runs(metadata: Any, first: int, start: int, stop: int) -> Iterator[tuple[int, list[int]]]:
    """Divide the row groups with rows `start` to `stop` into lists, and yield the lists.

    The row groups of a list are memory-mapped at the same time. Each list comes with the
    position of its first row. Positions count the rows of all files. The parameter `first` is
    the position of this file's first row.
    """
    run: list[int] = []
    held, at, begins = 0, first, first
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        ends = begins + row_group.num_rows
        if begins < stop and start < ends:
            if run and held + row_group.total_byte_size > MAPPED_BYTES:
                yield at, run
                run, held = [], 0
            at = at if run else begins
            run.append(group)
            held += row_group.total_byte_size
        begins = ends
    if run:
        yield at, run


def as_piece(
    batch: Any, names: Sequence[str], first_row: int, drop: bool, constants: dict[str, str]
) -> Piece:
    """Return a batch as a piece of X and y; y is the last of the columns `names`.

    `first_row` is the position of the batch's first row. `constants` are columns from the names
    of folders, such as ``year=2024`` (see `Part`).
    """
    columns = []
    for name in names:
        if name in batch.schema.names:
            columns.append(_numbers(batch.column(name), name, first_row, drop))
        else:
            value = number_in_folder(name, constants[name])
            columns.append(np.full(batch.num_rows, value))
    return [x[:, None] for x in columns[:-1]], columns[-1]


def _numbers(column: Any, name: str, first_row: int, drop: bool) -> NDArray[Any]:
    types = library("types", "Arrow data")
    if types.is_decimal(column.type):
        column = column.cast("float64")
    if column.null_count and not drop:
        row = first_row + int(np.argmax(column.is_null())) + 1
        raise ProblemError(
            f"column {name!r} holds a null in row {row}; remove the row, or leave out such "
            "rows with --na drop"
        )
    if types.is_boolean(column.type):
        column = column.cast("int8")
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values
