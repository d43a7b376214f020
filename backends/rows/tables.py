"""Files that are read as a whole: text (``.csv`` and similar formats) and ``.npz``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import read_array_header_1_0, read_array_header_2_0, read_magic
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from backends.errors import ProblemError
from backends.problem import Array, Problem
from backends.rows.columns import NO_ROWS, Table, inexact, listing, not_numbers
from backends.rows.made import InMemory
from backends.rows.npy import rounds
from backends.rows.parquet import number_in_folder
from backends.rows.reading import Reading
from backends.rows.source import Source
from backends.rows.text import TextFile

Column = NDArray[Any]
"""A column of shape (n,). For an ``.npz`` file, it can be an array of shape (n, d)."""

_TARGETS = ("target", "targets", "label", "labels", "response", "outcome")
"""Usual names of the targets in an ``.npz`` file. By default, y is the last array of the file.
If another array has one of these names, y is unclear, and the user must name y."""

_LARGEST = 1e20
"""Limit for the warning about integers that float32 cannot represent exactly. A column with
a larger value causes no warning, because the column holds floats."""

_BLOCK_ROWS = 4096
"""Number of rows copied at a time: 4096 rows of 32 float32 columns take 512 kB."""


def text_table(path: Path, reading: Reading, constants: Mapping[str, str]) -> Table:
    """Open a text file; its rows are read when `Table.source` is called.

    Parameters
    ----------
    constants : mapping
        Values of additional columns, such as 2024 for a file in the folder ``year=2024``.
    """
    file = TextFile.open(path, reading)
    notes = list(file.dialect.notes)
    names = file.dialect.names
    folders = [name for name in constants if name not in names]
    hidden = dict.fromkeys(file.dialect.unnamed, "without a name, like an index")
    hidden |= dict.fromkeys(folders, "from the names of folders")

    def source(xs: list[str], y: str, dtype: str) -> Source:
        chosen = [*xs, y]
        columns, said = file.read([name for name in chosen if name not in folders])
        notes.extend(said)
        rows = len(next(iter(columns.values()), ()))
        for name in set(folders).intersection(chosen):
            columns[name] = np.full(rows, number_in_folder(name, constants[name]))
        if dtype == "float32":
            notes.extend(_inexact({name: columns[name] for name in chosen}))
        return _in_memory(path, columns, xs, y, dtype, drop=reading.na == "drop")

    return Table([*names, *folders], source, hidden=hidden, notes=notes)


def npz_table(path: Path, *, drop: bool) -> Table:
    """Open an ``.npz`` file with arrays x and y (or X and Y), or with one array per column.

    If the file has other arrays, the user must say which arrays are x and y. `Table.ask` is
    then the message that asks the user.
    """
    with _archive(path) as arrays:
        names = list(arrays.files)
    notes: list[str] = []

    def source(xs: list[str], y: str, dtype: str) -> Source:
        with _archive(path) as arrays:
            columns = {name: np.asarray(arrays[name]) for name in (*xs, y)}
        if dtype == "float32":
            notes.extend(_inexact(columns))
        return _in_memory(path, columns, xs, y, dtype, drop=drop)

    shapes = _shapes(path)
    x, y, ask = _usual(names, shapes)
    return Table(names, source, x, y, notes=notes, ask=ask)


def _usual(
    names: list[str], shapes: dict[str, tuple[int, ...]]
) -> tuple[list[str] | None, str | None, str]:
    """Return the default names of x and y in an ``.npz`` file, from its arrays' names.

    The third result is "" if the defaults are clear. Otherwise it is the message that asks the
    user to name x and y (`Table.ask`).
    """
    listed = ", ".join(f"{name!r} {shapes.get(name, '')}".strip() for name in names)
    ask = f"say which arrays are x and y with --x and --y; there are {listed}"
    xs = [name for name in names if name.lower() == "x"]
    ys = [name for name in names if name.lower() == "y"]
    others = [name for name in names if name not in (*xs, *ys)]
    if len(xs) == len(ys) == 1:
        return xs, ys[0], ""
    if len(xs) > 1 or len(ys) > 1:
        return None, None, ask
    if xs and len(others) == 1:
        return xs, others[0], ""
    columns = len({shapes.get(name, (0,)) for name in names}) <= 1 and all(
        len(shapes.get(name, (0,))) == 1 for name in names
    )
    named = [name for name in names if name.lower() in _TARGETS]
    if not columns or xs or (named and named != names[-1:]):
        return xs or None, ys[0] if ys else None, ask
    return None, ys[0] if ys else None, ""


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return each array's name and shape in an ``.npz`` file; leave out damaged arrays."""
    shapes = {}
    with _archive(path) as arrays:
        for name in arrays.files:
            try:
                with arrays.zip.open(f"{name}.npy") as member:  # type: ignore[union-attr]
                    version = read_magic(member)
                    read = read_array_header_1_0 if version == (1, 0) else read_array_header_2_0
                    shapes[name] = read(member)[0]
            except (KeyError, ValueError, OSError, EOFError):
                continue  # an attempt to read this array will raise an error
    return shapes


@contextmanager
def _archive(path: Path) -> Iterator[NpzFile]:
    # numpy.load would report that a file which is no zip archive is a pickle.
    with path.open("rb") as file, NpzFile(file, allow_pickle=False) as archive:
        yield archive


def _in_memory(
    path: Path,
    columns: Mapping[str, Column],
    xs: Sequence[str],
    y: str,
    dtype: str,
    *,
    drop: bool,
) -> InMemory:
    """Return a source in memory whose X and y are copied from the columns.

    A NaN is an error. If `drop` is true, a NaN is accepted, because its row is dropped later.
    """
    target = columns[y]
    if target.ndim == 2 and target.shape[1] == 1:
        target = target[:, 0]
    for name in xs:
        _check(name, columns[name], may_be_wide=True)
        if len(columns[name]) != len(target):
            raise ProblemError(
                f"column {name!r} has {len(columns[name])} rows but {y!r} has {len(target)}"
            )
    _check(y, target, may_be_wide=False)
    if not len(target):
        raise ProblemError(NO_ROWS)
    features = [column for name in xs for column in np.atleast_2d(columns[name].T)]
    source = f"{path.name}: {y!r} from {listing(xs)}"
    x, target = _stack(features, dtype), _stack([target], dtype)[:, 0]
    return InMemory.of(Problem(x, target, source, known_finite=drop))


def _check(name: str, values: Column, *, may_be_wide: bool) -> None:
    if values.dtype.kind not in "iufb":
        raise not_numbers(name, values.dtype)
    wide = may_be_wide and values.ndim == 2 and values.shape[1] > 0
    if values.ndim != 1 and not wide:
        raise ProblemError(
            f"column {name!r} has shape {values.shape}; y must be (n,) or (n, 1), "
            "x (n,) or (n, d)"
        )


def _stack(columns: Sequence[Column], dtype: str) -> Array:
    """Copy the columns side by side into a new array, `_BLOCK_ROWS` rows at a time.

    These rows of the new array stay in the caches until all columns are copied.
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


def _inexact(columns: Mapping[str, Column]) -> Iterator[str]:
    """Yield a note for each column with an integer that float32 cannot represent exactly."""
    for name, values in columns.items():
        if values.dtype.kind not in "iuf" or not values.size:
            continue
        finite = values[np.isfinite(values)]
        whole = values.dtype.kind in "iu" or bool((finite == np.trunc(finite)).all())
        if whole and len(finite) and rounds(finite) and np.abs(finite).max() < _LARGEST:
            yield inexact(name, float(np.abs(finite.astype(np.float64)).max()))
