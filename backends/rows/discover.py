"""Find the data files that a path, a folder or a pattern names, and their formats."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from backends.errors import ProblemError
from backends.rows.text import COMPRESSED

Format = Literal["text", "npy", "npz", "parquet", "arrow"]
"""Format of a file. mypy checks that `datafile._tables` has a reader for each format."""

FORMATS: dict[str, Format] = {
    ".csv": "text", ".tsv": "text", ".tab": "text", ".txt": "text", ".dat": "text",
    ".npy": "npy", ".npz": "npz",
    ".parquet": "parquet", ".pq": "parquet", ".parq": "parquet",
    ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow",
}  # fmt: skip
"""Format of a file by its suffix in lower case."""

MAGIC: dict[bytes, Format] = {
    b"PAR1": "parquet",
    b"ARROW1": "arrow",
    b"\x93NUMPY": "npy",
    b"PK\x03\x04": "npz",
    b"\x1f\x8b": "text", b"\x28\xb5\x2f\xfd": "text", b"BZh": "text", b"\xfd7zXZ": "text",
}  # fmt: skip
"""Format of a file by its first bytes, used for a file without a known suffix. A compressed
file is assumed to hold text."""

KNOWN = "there are .csv (.tsv, .txt; also .gz, .bz2, .xz, .zst), .npy, .npz, .parquet, .feather"
"""The usual suffixes, listed in the error message for an unknown suffix."""


@dataclass(frozen=True)
class Found:
    """A file of a data set.

    Attributes
    ----------
    path : Path
    format : Format
    constants : dict
        Values of additional columns. For example, each file in a folder ``year=2024`` has a
        column year, whose value is 2024 in all rows.
    """

    path: Path
    format: Format
    constants: dict[str, str]


def discover(path: Path) -> list[Found]:
    """Return the data files that a path, a folder or a pattern names, sorted by name.

    If the path is a folder, or the pattern matches a folder, all folders below it are searched,
    too. Names that begin with ``.`` or ``_`` are ignored. If a folder has a name such as
    ``year=2024``, the rows of its files get a column year with the value 2024. Spark, Hive and
    `pyarrow.dataset` follow the same rules.

    Raises
    ------
    ProblemError
        There is no file, the format of a file is unknown, or the files differ in their formats
        or in the columns that their folders add.
    """
    if path.is_dir():
        found = _without_notes([*_below(path, path)])
        if not found:
            raise ProblemError("is a directory without any data file")
    elif path.exists():
        return [Found(path, _format(path), {})]
    else:
        found = _without_notes(_matching(path))
        if not found:
            raise ProblemError("there is no such file")
    return _of_one_format(found)


def _without_notes(found: list[Found]) -> list[Found]:
    """Return the files sorted by name, without .txt and .dat files that are probably notes.

    If every file is a .txt or .dat file, no file is left out.
    """
    plain = [file for file in found if file.path.suffix.lower() not in (".txt", ".dat")]
    return sorted(plain or found, key=lambda file: file.path)


def _of_one_format(found: list[Found]) -> list[Found]:
    """Return the files unchanged, after a check.

    Raises
    ------
    ProblemError
        The files have different formats, or are in folders that add different columns. For
        example, a folder ``year=2024`` adds a column year.
    """
    first = found[0]
    for file in found:
        if file.format != first.format:
            raise ProblemError(
                f"{first.path.name} and {file.path.name} are of different formats; "
                "choose one format with a pattern such as '*.parquet'"
            )
        if [*file.constants] != [*first.constants]:
            raise ProblemError(
                f"{first.path} and {file.path} are in folders that add different columns"
            )
    return found


def _below(folder: Path, base: Path) -> Iterator[Found]:
    """Yield the data files of a folder and of the folders below it."""
    for at, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "_")))
        for name in sorted(files):
            file = Path(at, name)
            kind = FORMATS.get(_suffix(file))
            if kind is None or name.startswith((".", "_")) or not file.stat().st_size:
                continue
            yield Found(file, kind, _constants(file.relative_to(base)))


def _matching(path: Path) -> list[Found]:
    """Return the files that a pattern matches, and the files in matching folders."""
    fixed = Path(*_before_pattern(path))
    found: dict[Path, Found] = {}
    for name in sorted(glob.glob(str(path), recursive=True)):  # noqa: PTH207 (of any base)
        match = Path(name)
        if match.name.startswith("_") and not path.name.startswith("_"):
            continue
        if match.is_dir():
            found |= {file.path: file for file in _below(match, fixed)}
        elif match.stat().st_size:
            kind = _format(match)
            found[match] = Found(match, kind, _constants(match.relative_to(fixed)))
    return list(found.values())


def _before_pattern(path: Path) -> Iterator[str]:
    """Yield the parts of a path before the first part with a wildcard."""
    for part in path.parent.parts:
        if glob.has_magic(part):
            return
        yield part


def _constants(path: Path) -> dict[str, str]:
    """Return the columns, each with its value, that folders such as ``year=2024`` add."""
    pairs = (part.partition("=") for part in path.parent.parts if "=" in part)
    return {unquote(name): unquote(value) for name, _, value in pairs}


def _suffix(path: Path) -> str:
    """Return the suffix that determines the format. For ``a.csv.gz``, it is ``.csv``."""
    suffix = path.suffix.lower()
    return path.with_suffix("").suffix.lower() if suffix in COMPRESSED else suffix


def _format(path: Path) -> Format:
    """Return a file's format, by its suffix or, for an unknown suffix, by its first bytes."""
    if path.is_file() and not path.stat().st_size:
        raise ProblemError("the file is empty")
    suffix = _suffix(path)
    if suffix in FORMATS:
        return FORMATS[suffix]
    with path.open("rb") as file:
        start = file.read(512)
    known = next((kind for magic, kind in MAGIC.items() if start.startswith(magic)), None)
    workbook = suffix in (".xlsx", ".xls", ".xlsm", ".ods")
    if known is not None and not workbook:
        return known
    if suffix or b"\x00" in start:
        hint = "; save the sheet as CSV" if workbook else ""
        raise ProblemError(f"unknown suffix {path.suffix!r}; {KNOWN}{hint}")
    return "text"
