"""Rows from a file: ``.csv``, ``.npy``, ``.npz`` or ``.parquet``.

A file is a table of named columns. Where it has no names (``.npy``, a CSV
without a header) a column's name is its position: ``"0"``, ``"1"``, … The last
column is y and all the others are x, unless told otherwise. Nothing in a file
is ever run: pickled objects are refused.
"""

from __future__ import annotations

import csv
import itertools
import reprlib
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from backends.errors import ProblemError
from backends.problem import DTYPES, Array, Problem
from backends.rows.columns import NO_ROWS, choose, listing, named_errors, not_numbers
from backends.rows.made import InMemory
from backends.rows.npy import npy_source
from backends.rows.parquet import parquet_files, parquet_source
from backends.rows.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Column = NDArray[Any]
"""One column, (n,); an array of an ``.npz`` may hold several, (n, d)."""

_BLOCK_ROWS = 4096


def load(
    path: str | Path,
    x: Sequence[str] | None = None,
    y: str | None = None,
    dtype: str = "float32",
) -> Problem:
    """Read the columns `x` and `y` of a file into memory; see `open_source`."""
    path = Path(path)
    with named_errors(path):
        return open_source(path, x, y, dtype).load()


def open_source(
    path: str | Path,
    x: Sequence[str] | None = None,
    y: str | None = None,
    dtype: str = "float32",
) -> Source:
    """Open the columns `x` and `y` of a file; its suffix says the format.

    Parameters
    ----------
    path : str or Path
        A ``.npy`` of rows × columns, a ``.parquet``, or a directory or pattern of
        ``.parquet`` files: these are read when their rows are needed. A ``.csv``
        or ``.npz`` is read now, as a whole. In a ``.csv`` (UTF-8, commas) the
        first line is a header if any of its cells is not a number.
    x : sequence of str, optional
        Columns by name. Default: all but y; in an ``.npz`` with the keys ``x``
        and ``y``, ``x``.
    y : str, optional
        Default: the last column; in an ``.npz`` with both keys, ``y``.
    dtype : str
        ``float32`` or ``float64``; integers and other floats are converted.

    Raises
    ------
    ProblemError
        The file, a column or a value cannot be used.
    MissingLibraryError
        Parquet without pyarrow.
    """
    path = Path(path)
    if dtype not in DTYPES:
        raise ProblemError(f"dtype must be {' or '.join(DTYPES)}, not {dtype}")
    with named_errors(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is damaged, the error says enough
        if files := parquet_files(path):
            return parquet_source(path, files, x, y, dtype)
        suffix = _suffix(path)
        if suffix == ".npy":
            return npy_source(path, x, y, dtype)
        return InMemory.of(_problem(path, _TABLES[suffix](path), x, y, dtype))


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if not path.exists():
        raise ProblemError("there is no such file")
    if suffix not in SUFFIXES:
        raise ProblemError(f"unknown suffix {suffix!r}; there are {', '.join(SUFFIXES)}")
    if path.stat().st_size == 0:
        raise ProblemError("the file is empty")
    return suffix


def _problem(
    path: Path, table: Table, x: Sequence[str] | None, y: str | None, dtype: str
) -> Problem:
    xs, y = choose(table.names, table.x if x is None else x, table.y if y is None else y)
    columns = table.read([*xs, y])
    for name, values in columns.items():
        _check(name, values, may_be_wide=name != y)
        if len(values) != len(columns[y]):
            raise ProblemError(
                f"column {name!r} has {len(values)} rows but {y!r} has {len(columns[y])}"
            )
    if not len(columns[y]):
        raise ProblemError(NO_ROWS)
    features = [column for name in xs for column in np.atleast_2d(columns[name].T)]
    source = f"{path.name}: {y!r} from {listing(xs)}"
    return Problem(_stack(features, dtype), _stack([columns[y]], dtype)[:, 0], source)


@dataclass(frozen=True)
class Table:
    """The columns that a file has, not yet read.

    Attributes
    ----------
    names : list of str
    read : callable
        The columns of these names.
    x, y
        What to take by default; None: see `choose`.
    """

    names: list[str]
    read: Callable[[list[str]], Mapping[str, Column]]
    x: list[str] | None = None
    y: str | None = None


def _check(name: str, values: Column, *, may_be_wide: bool) -> None:
    if values.dtype.kind not in "iuf":
        raise not_numbers(name, values.dtype)
    wide = may_be_wide and values.ndim == 2 and values.shape[1] > 0
    if values.ndim != 1 and not wide:
        raise ProblemError(
            f"column {name!r} has shape {values.shape}; y must be (n,), x (n,) or (n, d)"
        )


def _stack(columns: Sequence[Column], dtype: str) -> Array:
    """Copy columns side by side, (n, d), a block of rows at a time.

    A block's rows stay in the cache while column after column is taken from
    them, which matters where columns are strided views of a wide file.
    """
    rows = len(columns[0])
    out: Array = np.empty((rows, len(columns)), dtype)
    for start in range(0, rows, _BLOCK_ROWS):
        block = [column[start : start + _BLOCK_ROWS] for column in columns]
        try:
            with np.errstate(over="raise", invalid="ignore"):
                np.stack(block, axis=1, out=out[start : start + _BLOCK_ROWS])
        except FloatingPointError:
            values = np.stack(block, axis=1)
            row, column = np.argwhere(np.abs(values) > np.finfo(dtype).max)[0]
            raise ProblemError(
                f"{values[row, column]} in row {start + row + 1} is too large for {dtype}"
            ) from None
    return out


def _csv(path: Path) -> Table:
    with _open_text(path) as file:
        line, first = next(_records(file), (0, []))
    if not first:
        raise ProblemError("the file has only blank lines")
    if all(map(_is_number, first)):
        line, names = 0, [str(position) for position in range(len(first))]
    else:
        names = [cell.strip() for cell in first]

    def read(wanted: list[str]) -> Mapping[str, Column]:
        # One character of an unwanted cell is kept, whatever it holds: leaving
        # the column out would also leave out the check for ragged rows.
        kinds = [(f"{i}", "f8" if name in wanted else "U1") for i, name in enumerate(names)]
        with _open_text(path) as file:
            try:
                rows = np.loadtxt(
                    itertools.islice(file, line, None),
                    dtype=kinds,
                    delimiter=",",
                    comments=None,
                    quotechar='"',
                    ndmin=1,
                )
            except UnicodeDecodeError:
                raise
            except ValueError:
                _raise_first_fault(path, line, names, set(wanted))
                raise
        return {name: rows[f"{names.index(name)}"] for name in wanted}

    return Table(names, read)


@contextmanager
def _open_text(path: Path) -> Iterator[TextIO]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            yield file
        except UnicodeDecodeError:
            _raise_not_utf8(path)
            raise


def _raise_not_utf8(path: Path) -> None:
    """Find the line: a decoder's own position counts from where its buffer began."""
    with path.open("rb") as file:
        for line, text in enumerate(file, 1):
            try:
                text.decode()
            except UnicodeDecodeError as error:
                raise ProblemError(
                    f"line {line} is not UTF-8 text (byte 0x{text[error.start]:02x}); "
                    "save the file as UTF-8"
                ) from None


def _records(file: TextIO) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not blank, each with the line it ends on."""
    reader = csv.reader(file)
    for cells in reader:
        if cells:
            yield reader.line_num, cells


def _is_number(cell: str) -> bool:
    """Whether `numpy.loadtxt` takes it; `float` takes ``1_000`` and ``１`` as well."""
    text = cell.strip()
    try:
        float(text)
    except ValueError:
        return False
    return text.isascii() and "_" not in text


def _raise_first_fault(path: Path, header: int, names: list[str], wanted: set[str]) -> None:
    """Find what `numpy.loadtxt` could not read and say what an editor would show."""
    with _open_text(path) as file:
        rows = (record for record in _records(file) if record[0] > header)
        for row, (line, cells) in enumerate(rows, 1):
            if len(cells) != len(names):
                raise ProblemError(
                    f"line {line} has {len(cells)} cell(s), the first line has {len(names)}"
                )
            for name, cell in zip(names, cells, strict=True):
                if name in wanted and not _is_number(cell):
                    fault = f"{reprlib.repr(cell)} is not a number" if cell else "empty cell"
                    raise ProblemError(f"line {line} (row {row}), column {name!r}: {fault}")


def _npz(path: Path) -> Table:
    def read(wanted: list[str]) -> Mapping[str, Column]:
        with _archive(path) as arrays:
            return {name: np.asarray(arrays[name]) for name in wanted}

    with _archive(path) as arrays:
        names = list(arrays.files)
    if {"x", "y"} <= set(names):
        return Table(names, read, ["x"], "y")
    return Table(names, read)


@contextmanager
def _archive(path: Path) -> Iterator[NpzFile]:
    # numpy.load would take what is not a zip archive for a pickle, and says so.
    with path.open("rb") as file, NpzFile(file, allow_pickle=False) as archive:
        yield archive


_TABLES: Mapping[str, Callable[[Path], Table]] = {".csv": _csv, ".npz": _npz}

SUFFIXES = (".csv", ".npy", ".npz", ".parquet")
