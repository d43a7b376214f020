"""Write predictions to a CSV or Parquet file. The file appears only when it is complete."""

from __future__ import annotations

import importlib
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from backends.errors import DescentbenchError, ProblemError, Weights
from backends.rows.source import Source
from bench.host.files import StoreError
from bench.host.optional import need

if TYPE_CHECKING:
    from bench.fit.model import Model

PARQUET = (".parquet", ".pq")
CSV = (".csv",)

Columns = Mapping[str, Weights]
"""A part of the output: a mapping from column names to the values in consecutive rows."""


class OutputError(DescentbenchError):
    """Predictions cannot be written to this path."""


def check_output(path: Path, inputs: tuple[str, ...]) -> None:
    """Check that predictions can be written to `path`, before any row is read.

    Raises
    ------
    OutputError
        The suffix names no supported format, `path` is one of `inputs`, or the file cannot be
        written.
    MissingLibraryError
        The file is a Parquet file, and pyarrow is not installed.
    """
    if str(path) == "-":
        return
    if path.suffix.lower() not in (*CSV, *PARQUET):
        raise OutputError(f"cannot write {path}: its suffix must be .csv or .parquet")
    if path.suffix.lower() in PARQUET:
        need("pyarrow.parquet", "Parquet")
    if path.exists() and any(Path(i).exists() and path.samefile(i) for i in inputs):
        raise OutputError(f"cannot write {path}: it is an input; choose another file")
    if path.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        reason = "it is a folder, or its folder is missing or not writable"
        raise OutputError(f"cannot write {path}: {reason}")


def predictions(source: Source, model: Model, target: str | None) -> Iterator[Columns]:
    """Yield the predictions block by block, in the order of the rows.

    `target` is the name of y. If `target` is not None, each block also has the column y.

    Raises
    ------
    ProblemError
        A value or a prediction is not finite.
    """
    for block in source.blocks():
        block.check()
        predicted = model.predict(block.x[: block.rows])
        if not np.isfinite(predicted).all():
            row = block.start + int(np.argmin(np.isfinite(predicted))) + 1
            raise ProblemError(
                f"the {model.response.name} in row {row} is beyond float64; the values in this "
                "row are far from those of the fit"
            )
        columns = {model.response.name: predicted}
        if target is not None:
            columns[target] = block.y[: block.rows].astype(np.float64)
        yield columns


class Writer(ABC):
    """An open file for predictions."""

    @abstractmethod
    def write(self, columns: Columns) -> None:
        """Append rows to the file."""

    def close(self) -> None:
        """Write the end of the file, if its format has one."""
        return


class CsvWriter(Writer):
    """Writes CSV with a line of column names; numbers have enough digits to be exact."""

    def __init__(self, out: IO[str]) -> None:
        self.out, self.begun = out, False

    def write(self, columns: Columns) -> None:
        """Append a line for each row; the first call also writes the line of column names."""
        if not self.begun:
            self.out.write(",".join(map(_cell, columns)) + "\n")
            self.begun = True
        cells = (map(repr, values.tolist()) for values in columns.values())
        self.out.writelines(f"{','.join(row)}\n" for row in zip(*cells, strict=True))


class ParquetWriter(Writer):
    """Writes Parquet; each block of rows becomes a row group."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.arrow: Any = importlib.import_module("pyarrow")
        self.parquet: Any = importlib.import_module("pyarrow.parquet")
        self.file: Any = None

    def write(self, columns: Columns) -> None:
        """Append the rows to the file, as one row group."""
        table = self.arrow.table(dict(columns))
        if self.file is None:
            self.file = self.parquet.ParquetWriter(self.path, table.schema)
        self.file.write_table(table)

    def close(self) -> None:
        """Write the footer of the Parquet file."""
        if self.file is not None:
            self.file.close()


@contextmanager
def writer(path: Path) -> Iterator[Writer]:
    """Open a file for predictions; the file appears only when it is complete.

    The path ``-`` means CSV on standard output.
    """
    if str(path) == "-":
        yield CsvWriter(sys.stdout)
        return
    partial = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        if path.suffix.lower() in PARQUET:
            yield from _closed(ParquetWriter(partial))
        else:
            with partial.open("w", encoding="utf-8", newline="") as out:
                yield CsvWriter(out)
        partial.replace(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)


def _closed(opened: Writer) -> Iterator[Writer]:
    try:
        yield opened
    finally:
        opened.close()


def _cell(name: str) -> str:
    """Return a name as a CSV cell, in quotes if it contains a special character."""
    if any(character in name for character in ',"\r\n'):
        return '"' + name.replace('"', '""') + '"'
    return name
