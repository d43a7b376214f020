"""Rows from data files: text, ``.npy``, ``.npz``, Parquet and Arrow.

A file is a table of named columns. If a file has no names (``.npy``, text without a header), a
column's name is its position: ``"0"``, ``"1"``, … By default the last column is y and all
other columns are x. No code in a file is ever run: pickled objects raise an error.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import assert_never

from backends.errors import ProblemError
from backends.problem import DTYPES, Problem
from backends.rows.arrow import arrow_table
from backends.rows.columns import Table, choose, find, find_all, listing, named_errors
from backends.rows.combined import Chained, Paired, without_missing
from backends.rows.discover import Found, discover
from backends.rows.npy import npy_table
from backends.rows.parquet import Part, parquet_table
from backends.rows.reading import Reading
from backends.rows.source import Origin, Source
from backends.rows.tables import npz_table, text_table


def load(
    path: str | Path,
    x: Sequence[str] | None = None,
    y: str | None = None,
    dtype: str = "float32",
    reading: Reading | None = None,
) -> Problem:
    """Read columns of a file into memory; `open_source` describes the parameters."""
    path = Path(path)
    with named_errors(path):
        return open_source(path, x, y, dtype, reading).load()


def open_source(
    path: str | Path,
    x: Sequence[str] | None = None,
    y: str | None = None,
    dtype: str = "float32",
    reading: Reading | None = None,
) -> Source:
    """Open columns of a file, a folder or a pattern of files.

    The result's attribute ``origin.notes`` contains the assumptions that were made about the
    file, such as its delimiter.

    Parameters
    ----------
    path : str or Path
        The suffix determines the format. If the suffix is unknown, the file's first bytes
        determine it. ``.npy``, Parquet and Arrow files are read when their rows are needed.
        Text and ``.npz`` files are read as a whole by this call.
    x : sequence of str, optional
        Names of the columns of X. The default is all columns but y, or the array x of an
        ``.npz`` file with arrays x and y.
    y : str, optional
        Name of the column of y. The default is the last column, or the array y of an ``.npz``
        file with arrays x and y.
    dtype : str
        ``float32`` or ``float64``, to which all numbers are converted.
    reading : Reading, optional
        Options for reading the file.

    Raises
    ------
    ProblemError
        The file, a column or a value cannot be used.
    MissingLibraryError
        The format needs a library that is not installed.
    """
    path, reading = Path(path), reading or Reading()
    if dtype not in DTYPES:
        raise ProblemError(f"dtype must be {' or '.join(DTYPES)}, not {dtype}")
    with _only_errors(path):
        if reading.target is None:
            source, origin = _open(path, x, y, dtype, reading)
        else:
            source, origin = _open_pair(path, Path(reading.target), x, y, dtype, reading)
        source, notes = _with_all_values(source, reading)
        origin = replace(origin, notes=(*origin.notes, *notes))
    object.__setattr__(source, "origin", origin)
    return source


def _open(
    path: Path, x: Sequence[str] | None, y: str | None, dtype: str, reading: Reading
) -> tuple[Source, Origin]:
    """Open a file, a folder or a pattern that has both x and y."""
    found = discover(path)
    tables = _tables(path, found, reading)
    xs, target = choose(tables[0], x, y)
    source = _chain(path, found, tables, xs, target, dtype)
    notes = [*_hidden(tables[0], x, y, [*xs, target]), *_notes(path, found, tables)]
    return source, _origin(path, found, source, xs, target, notes)


def open_features(
    path: str | Path, x: Sequence[str], dtype: str = "float32", reading: Reading | None = None
) -> tuple[Source, tuple[str, ...]]:
    """Open the feature columns of a file for predictions. The file needs no target.

    The y of the result has no meaning: it is a copy of the first feature. The function
    `open_source` describes the parameters.

    Returns
    -------
    source : Source
    unused : tuple of str
        Names of the file's columns that are not in `x`.

    Raises
    ------
    ProblemError
        The file, a column or a value cannot be used.
    MissingLibraryError
        The format needs a library that is not installed.
    """
    path, reading = Path(path), reading or Reading()
    with _only_errors(path):
        found = discover(path)
        # A one-dimensional array is accepted, as if another file held the target.
        tables = _tables(path, found, replace(reading, target=str(path)))
        names = tables[0].names
        xs = find_all(x, names)
        source = _chain(path, found, tables, xs, xs[0], dtype)
        notes = _notes(path, found, tables)
        source, dropped = _with_all_values(source, reading)
        origin = _origin(path, found, source, xs, "", [*notes, *dropped])
    object.__setattr__(source, "origin", origin)
    left = tuple(name for name in names if name not in xs and name not in tables[0].hidden)
    return source, left


@contextmanager
def _only_errors(path: Path) -> Iterator[None]:
    """Add the file's name to errors that occur in the context, and hide NumPy's warnings."""
    with named_errors(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _with_all_values(source: Source, reading: Reading) -> tuple[Source, list[str]]:
    """If `reading.na` is "drop", leave out the rows with missing values; otherwise do nothing.

    Returns the source, and a list. If rows were left out, the list contains a note.
    """
    if reading.na != "drop":
        return source, []
    kept, dropped = without_missing(source)
    if not dropped:
        return kept, []
    return kept, [f"{dropped} of {source.rows} rows lack a value and were left out"]


def _open_pair(
    path: Path,
    target: Path,
    x: Sequence[str] | None,
    y: str | None,
    dtype: str,
    reading: Reading,
) -> tuple[Source, Origin]:
    """Open x from one file and y from another."""
    found = discover(path)
    tables = _tables(path, found, reading)
    names = [name for name in tables[0].names if name not in tables[0].hidden]
    chosen = [x] if isinstance(x, str) else x
    xs = names if chosen is None else [find(name, tables[0].names) for name in chosen]
    if not xs:
        raise ProblemError("x needs at least one column")
    notes = [*_hidden(tables[0], x, "", xs), *_notes(path, found, tables)]
    features = _chain(path, found, tables, xs, xs[0], dtype)
    with named_errors(target):
        others = discover(target)
        beside = _tables(target, others, reading)
        columns = [name for name in beside[0].names if name not in beside[0].hidden]
        if y is None and len(columns) != 1:
            raise ProblemError(f"which column is y? Name one with --y: {listing(columns)}")
        name = columns[0] if y is None else find(y, beside[0].names)
        ys = _chain(target, others, beside, [name], name, dtype)
        notes += _notes(target, others, beside)
    called = f"{path.name}, {target.name}: {name!r} from {listing(xs)}"
    source = Paired.of(features, ys, called)
    return source, _origin(path, [*found, *others], source, xs, name, notes)


def _tables(path: Path, found: Sequence[Found], reading: Reading) -> list[Table]:
    """Return a table for each file, or a single table for all Parquet files."""
    drop = reading.na == "drop"
    kind = found[0].format  # all files are of one format
    if kind == "parquet":
        parts = [Part(file.path, file.constants) for file in found]
        return [parquet_table(path, parts, drop=drop)]
    tables = []
    for file in found:
        with named_errors(file.path):
            if kind == "text":
                table = text_table(file.path, reading, file.constants)
            elif kind == "npy":
                table = npy_table(file.path, may_be_1d=reading.target is not None)
            elif kind == "npz":
                table = npz_table(file.path, drop=drop)
            elif kind == "arrow":
                table = arrow_table(file.path, drop=drop)
            else:
                assert_never(kind)
        tables.append(table)
    return tables


def _chain(
    path: Path,
    found: Sequence[Found],
    tables: Sequence[Table],
    xs: list[str],
    y: str,
    dtype: str,
) -> Source:
    """Return a source with the rows of all tables; raise ProblemError if one lacks a column."""
    if len(tables) == 1:
        return tables[0].source(xs, y, dtype)
    sources = []
    for file, table in zip(found, tables, strict=True):
        with named_errors(file.path):
            for name in (*xs, y):
                if name not in table.names:
                    raise ProblemError(
                        f"there is no column {name!r}, which {found[0].path} has"
                    )
            sources.append(table.source(xs, y, dtype))
            if sources[-1].features != sources[0].features:
                raise ProblemError(
                    f"x has {sources[-1].features} columns, but {sources[0].features} in "
                    f"{found[0].path}"
                )
    return Chained.of(sources, f"{path.name}: {y!r} from {listing(xs)}")


def _hidden(
    table: Table, x: Sequence[str] | None, y: str | None, used: Sequence[str]
) -> list[str]:
    """Return a list with one note on the unused columns of `Table.hidden`, or an empty list."""
    left = [name for name in table.hidden if name not in used]
    if not left or (x is not None and y is not None):
        return []
    reasons = ", ".join(f"{name!r} ({table.hidden[name]})" for name in left)
    return [f"not used unless --x or --y names it: {reasons}"]


def _notes(path: Path, found: Sequence[Found], tables: Sequence[Table]) -> list[str]:
    """Return the notes on all files, each note once.

    If there are several files, a note begins with the name of the first file it is about.
    """
    notes: dict[str, str] = {}
    for file, table in zip(found, tables, strict=False):
        for note in table.notes:
            several = len(tables) > 1 and file.path != path
            notes.setdefault(note, f"{file.path.name}: {note}" if several else note)
    return list(notes.values())


def _origin(
    path: Path, found: Sequence[Found], source: Source, xs: list[str], y: str, notes: list[str]
) -> Origin:
    """Return the `Origin` of the rows.

    If X is a single array with several columns, they are named ``x[0]``, ``x[1]`` and so on.
    """
    names = list(xs)
    if len(xs) < source.features:
        wide = source.features - len(xs) + 1
        names = [f"{xs[0]}[{j}]" for j in range(wide)] if len(xs) == 1 else []
    files = tuple(str(file.path) for file in found)
    return Origin(str(path), files, tuple(names), y, tuple(notes))
