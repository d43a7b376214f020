"""Define the options of ``fit``, ``predict``, ``pick`` and ``run`` about a data file."""

from __future__ import annotations

import atexit
import csv
import functools
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from bench.show.mistake import Mistake

if TYPE_CHECKING:
    from backends.rows.source import Source

NAMED = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";"}
"""Maps names such as ``tab`` to characters that are hard to type in a shell."""


@dataclass(frozen=True)
class DataFile:
    """A data file named on the command line, and the options for reading it.

    Attributes
    ----------
    path : Path
        A file, a folder, or a pattern that several files match.
    x : tuple of str, optional
        Names of the feature columns.
    y : str, optional
        Name of the target column.
    how : dict
        Values of the options in `HOW` that the user gave.
    """

    path: Path
    x: tuple[str, ...] | None
    y: str | None
    how: dict[str, Any]

    def files(self) -> tuple[Path, ...]:
        """Return the path of the data, followed by the path of ``--target`` if it was given."""
        target = (Path(self.how["target"]),) if "target" in self.how else ()
        return (self.path, *target)

    def open(self, dtype: str) -> Source:
        """Open the file, and print on stderr what was assumed about it."""
        from backends.rows.datafile import open_source
        from backends.rows.reading import Reading

        source = open_source(self.path, self.x, self.y, dtype, Reading(**self.how))
        tell(source)
        return source


def tell(source: Source) -> None:
    """Print on stderr what was assumed about a data file, one line for each assumption."""
    if source.origin is not None:
        for note in source.origin.notes:
            click.echo(f"descentbench: {source.origin.path}: {note}", err=True)


def described(source: Source) -> dict[str, Any]:
    """Return the file, columns and number of rows of a source, for JSON output.

    The result is an empty dict for generated rows.
    """
    if source.origin is None:
        return {}
    origin = source.origin
    return {
        "data": {
            "path": origin.path,
            "files": list(origin.files),
            "x": list(origin.x),
            "y": origin.y,
            "rows": source.rows,
            "notes": list(origin.notes),
        }
    }


def columns(text: str) -> tuple[str, ...]:
    """Parse column names separated by commas; a name in double quotes can contain commas."""
    try:
        (names,) = csv.reader([text], skipinitialspace=True, strict=True)
    except (csv.Error, ValueError):
        raise click.BadParameter(
            f"{text!r} is not a list of names with commas; close the quotation marks"
        ) from None
    return tuple(name.strip() for name in names)


def character(text: str) -> str:
    """Parse a character, or its name: ``tab``, ``space``, ``comma`` or ``semicolon``."""
    return NAMED.get(text.lower(), text)


def yes_or_no(text: str) -> bool:
    """Return whether the text is ``yes``; accept only ``yes`` and ``no``."""
    if text.lower() not in ("yes", "no"):
        raise click.BadParameter(f"{text!r} is neither yes nor no")
    return text.lower() == "yes"


OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--data",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Take the rows from this CSV, npy, npz, Parquet or Arrow file, or from a folder, "
        "a pattern in quotes, or - (standard input).",
    ),
    click.option(
        "--target",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Take y from this file, row for row.",
    ),
    click.option(
        "--x",
        "x_columns",
        type=columns,
        multiple=True,
        metavar="COL,…",
        help="Columns of X; may be repeated. Put double quotes round a name with a comma.",
    ),
    click.option("--y", "y_column", metavar="COL", help="Column of y.  [default: the last]"),
    click.option(
        "--header",
        type=yes_or_no,
        metavar="yes|no",
        help="Whether the first line of a text file has column names.  [default: detected]",
    ),
    click.option(
        "--delimiter",
        type=character,
        metavar="CHAR",
        help="Character between the cells of a text file, or tab, or space.  "
        "[default: detected]",
    ),
    click.option(
        "--decimal",
        type=character,
        metavar="CHAR",
        help="Character for the decimal point.  [default: detected]",
    ),
    click.option(
        "--thousands",
        type=character,
        metavar="CHAR",
        help="Character between groups of three digits.",
    ),
    click.option("--encoding", help="Encoding of a text file.  [default: UTF-8]"),
    click.option(
        "--na",
        type=click.Choice(["error", "drop"]),
        help="What to do with rows that lack a value.  [default: error]",
    ),
)
"""The options about a data file, in the order of the help text."""

HOW = ("target", "header", "delimiter", "decimal", "thousands", "encoding", "na")
"""Options that become fields of `Reading`, which says how to read a file."""


def data_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `OPTIONS` to a command; the command gets them as one argument `data`.

    `data` is a `DataFile`, or None without ``--data``.
    """

    @functools.wraps(command)
    def wrapped(
        *args: Any,
        data: Path | None,
        x_columns: tuple[tuple[str, ...], ...],
        y_column: str | None,
        **kwargs: Any,
    ) -> Any:
        how = {name: kwargs.pop(name) for name in HOW}
        how = {name: value for name, value in how.items() if value is not None}
        asked = None
        if data is not None:
            path = _standard_input() if str(data) == "-" else data
            if "target" in how:
                how["target"] = str(how["target"].absolute())
            x = tuple(name for names in x_columns for name in names) or None
            asked = DataFile(path, x, y_column, how)
        elif x_columns or y_column is not None:
            raise Mistake("--x and --y name columns of a file; add --data FILE")
        elif how:
            raise Mistake(f"--{next(iter(how))} is about a data file; add --data FILE")
        return command(*args, data=asked, **kwargs)

    made: Any = wrapped
    for option in reversed(OPTIONS):
        made = option(made)
    return cast(Callable[..., Any], made)


def _standard_input() -> Path:
    """Copy standard input to a temporary file, and return the file's path."""
    if sys.stdin.isatty():
        raise Mistake("--data - reads standard input: send a file there, as in ... < data.csv")
    folder = Path(tempfile.mkdtemp(prefix="descentbench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "standard-input"
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return path
