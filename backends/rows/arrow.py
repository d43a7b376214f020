"""Rows of Arrow files: ``.arrow``, ``.feather``, ``.ipc``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from backends.errors import ProblemError
from backends.rows.blocks import Piece
from backends.rows.columns import (
    EXACT_FLOAT32,
    NO_ROWS,
    Table,
    inexact,
    listing,
    named_errors,
)
from backends.rows.parquet import BATCH_BYTES, as_piece, check_kind, index_columns, library
from backends.rows.source import Source


def arrow_table(path: Path, *, drop: bool) -> Table:
    """Open an Arrow file as a table of columns.

    If `drop` is true, a null becomes NaN, so that its row can be dropped. Otherwise, a null is
    an error.
    """
    with _opened(path, None) as file:
        schema = file.schema
    notes: list[str] = []
    hidden = dict.fromkeys(index_columns(schema), "the pandas index")

    def source(xs: list[str], y: str, dtype: str) -> Source:
        for name in (*xs, y):
            check_kind(name, schema.field(name).type)
        counts, in_place = _counts(path, schema.names.index(y))
        ends = tuple(accumulate(counts))
        if not ends or not ends[-1]:
            raise ProblemError(NO_ROWS)
        if dtype == "float32":
            notes.extend(_inexact(path, schema, [*xs, y]))
        whole = (ends[-1], len(xs), dtype, path.absolute())
        return ArrowSource(*whole, tuple(xs), y, ends, drop, in_place)

    return Table(list(schema.names), source, hidden=hidden, notes=notes)


def _inexact(path: Path, schema: Any, names: list[str]) -> Iterator[str]:
    """Read the integer columns; yield a note for each column with integers above 2²⁴."""
    types, compute = library("types", ".arrow"), library("compute", ".arrow")
    for name in names:
        if not types.is_integer(schema.field(name).type):
            continue
        largest = 0.0
        with _opened(path, [schema.names.index(name)]) as file:
            for k in range(file.num_record_batches):
                ends = compute.min_max(file.get_batch(k).column(0)).as_py()
                largest = max(largest, *(abs(float(end or 0)) for end in ends.values()))
        if largest > EXACT_FLOAT32:
            yield inexact(name, largest)


def _counts(path: Path, column: int) -> tuple[list[int], bool]:
    """Return the number of rows of each batch, and whether batches are used without a copy.

    A compressed batch needs a copy, because pyarrow allocates memory for its values. In this
    case, only one column is read to count the rows.
    """
    allocated = library("lib", ".arrow").total_allocated_bytes
    with _opened(path, None) as file:
        counts, before = [], allocated()
        for k in range(file.num_record_batches):
            batch = file.get_batch(k)
            if allocated() > before:
                break
            counts.append(batch.num_rows)
        else:
            return counts, True
    with _opened(path, [column]) as file:
        return [file.get_batch(k).num_rows for k in range(file.num_record_batches)], False


@contextmanager
def _opened(path: Path, columns: list[int] | None) -> Iterator[Any]:
    """Open a file for reading all columns, or only the columns at the given positions.

    If `columns` is None, the file is memory-mapped, and batches that are not compressed are
    read without a copy. Otherwise pyarrow copies the chosen columns of a batch.
    """
    ipc = library("ipc", ".arrow")
    options = ipc.IpcReadOptions(included_fields=columns, use_threads=False)
    lib = library("lib", ".arrow")
    opened = lib.memory_map if columns is None else lib.OSFile
    with named_errors(path), opened(str(path)) as file:
        yield ipc.open_file(file, options=options)


@dataclass(frozen=True, eq=False)
class ArrowSource(Source):
    """The rows of an Arrow file, which consists of batches of rows.

    Attributes
    ----------
    path : Path
    x : tuple of str
        Columns of X.
    y : str
        Column of y.
    ends : tuple of int
        Number of rows up to the end of each batch: (100, 250) for batches of 100 and 150 rows.
    drop : bool
        If true, a null becomes NaN, and its row is dropped later. If false, a null is an error.
    in_place : bool
        Whether batches are read from the memory-mapped file without a copy. This is possible if
        the batches are not compressed.
    """

    path: Path
    x: tuple[str, ...]
    y: str
    ends: tuple[int, ...]
    drop: bool = False
    in_place: bool = False

    @property
    def in_order(self) -> bool:
        """Return True: one thread reads all rows in order, and decodes each batch only once."""
        return True

    @property
    def source(self) -> str:
        return f"{self.path.name}: {self.y!r} from {listing(self.x)}"

    def pieces(self, start: int, stop: int) -> Iterator[Piece]:
        chosen = [*self.x, self.y]
        size = max(1024, BATCH_BYTES // (4 * len(chosen)))
        columns = None
        if not self.in_place:
            with _opened(self.path, None) as file:
                columns = sorted(file.schema.names.index(name) for name in chosen)
        for k, end in enumerate(self.ends):
            first = self.ends[k - 1] if k else 0
            low, high = max(start, first), min(stop, end)
            # Mapped pages count as memory until the file is closed.
            step = size if self.in_place else max(1, high - low)
            for at in range(low, high, step):
                with _opened(self.path, columns) as file:
                    batch = file.get_batch(k)
                    for row in range(at, min(at + step, high), size):
                        rows = batch.slice(row - first, min(size, high - row))
                        yield as_piece(rows, chosen, row, self.drop, {})
