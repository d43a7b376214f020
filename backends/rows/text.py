"""Rows of a text file: ``.csv``, ``.tsv`` and similar formats, also compressed."""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import lzma
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

import numpy as np
from numpy.typing import NDArray

from backends.errors import MissingLibraryError, ProblemError
from backends.rows.dialect import SPACES, Dialect, Lines, Record, find_dialect
from backends.rows.reading import MISSING, Numbers, Reading

FAST_BYTES = 1 << 20
"""Smallest size in bytes of a file that pyarrow or NumPy parses. For a smaller file, parsing in
Python is faster than importing pyarrow."""

CHUNK_ROWS = 4096
"""Number of rows that are held as text at a time. Text takes ten times the memory of
numbers."""

PLAIN = Numbers()
"""The default notation of numbers: a decimal point, and no thousands separator."""

COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
"""Suffixes of compressed text files."""


@dataclass(frozen=True)
class TextFile:
    """A text file whose format (delimiter, decimal point, header) is known.

    Attributes
    ----------
    path : Path
    reading : Reading
        Options that the user gave.
    dialect : Dialect
        The format of the file.
    """

    path: Path
    reading: Reading
    dialect: Dialect

    @classmethod
    def open(cls, path: Path, reading: Reading) -> TextFile:
        """Open a file; determine its dialect from the first lines."""
        plain = path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
        default = "\t" if plain.suffix.lower() in (".tsv", ".tab") else ","
        with _open_text(path, reading) as file:
            return cls(path, reading, find_dialect(file, reading, default))

    def read(self, wanted: Sequence[str]) -> tuple[dict[str, NDArray[Any]], list[str]]:
        """Return the columns whose names are in `wanted`, as float64, and a list of notes.

        There is one note if comment lines among the rows were left out.

        Raises
        ------
        ProblemError
            The number of cells differs between rows, or a cell holds no number.
        """
        fast = None
        if self.path.stat().st_size >= FAST_BYTES:
            fast = self._read_with_arrow(wanted) or self._read_with_numpy(wanted)
        columns, comments = fast or self._read_records(wanted)
        notes = []
        if comments:
            s, verb = ("", "was") if comments == 1 else ("s", "were")
            notes.append(f"{comments} line{s} among the rows that begin{'s' * (comments == 1)} "
                         f"with '#' {verb} taken for comments")  # fmt: skip
        return columns, notes

    def _read_records(self, wanted: Sequence[str]) -> tuple[dict[str, NDArray[Any]], int]:
        """Read row after row in Python, so that an error can name the line.

        Return the columns, and the number of comment lines among the rows.
        """
        dialect = self.dialect
        at = [dialect.names.index(name) for name in wanted]
        parts: list[NDArray[Any]] = []
        with _open_text(self.path, self.reading) as file:
            for _ in range(dialect.before):
                next(file)
            lines = Lines(file, dialect.delimiter, dialect.before)
            rows = enumerate(lines.records(), 1)
            while chunk := list(islice(rows, CHUNK_ROWS)):
                parts.append(np.array([self._numbers(*row, wanted, at) for row in chunk]))
        if not parts:
            none = f"; {len(lines.comments)} lines begin with '#'" if lines.comments else ""
            raise ProblemError(f"the data have no rows{none}; at least one is needed")
        table = np.concatenate(parts)
        first = self._first_line(lines)
        comments = sum(line > first for line, _ in lines.comments)
        return dict(zip(wanted, table.T, strict=True)), comments

    def _first_line(self, lines: Lines) -> int:
        """Return the number of the last header or comment line before the rows."""
        line = self.dialect.before
        if not self.dialect.header or not line:
            for number, _ in lines.comments:  # comments at the start of the file
                line = number if number == line + 1 else line
        return line

    def _numbers(
        self, row: int, record: Record, names: Sequence[str], at: Sequence[int]
    ) -> list[float]:
        """Return the numbers in the cells of a row at the positions `at`.

        The parameter `names` contains the names of the columns, for error messages.
        """
        cells, width = record.cells, len(self.dialect.names)
        if len(cells) != width:
            raise ProblemError(
                f"line {record.line} has {len(cells)} cell(s), the first line has {width}"
            )
        numbers, drop = self.dialect.numbers, self.reading.na == "drop"
        values: list[float] = []
        if numbers == PLAIN and record.text.isascii() and "_" not in record.text:
            try:
                return [float(cells[j]) for j in at]
            except ValueError:
                pass  # a missing value, a truth value, or no number at all
        for name, j in zip(names, at, strict=True):
            try:
                values.append(numbers.read(cells[j]))
            except ValueError:
                if drop and cells[j].strip().lower() in MISSING:
                    values.append(np.nan)
                else:
                    raise self._fault(row, record, name, cells[j]) from None
        return values

    def _fault(self, row: int, record: Record, name: str, cell: str) -> ProblemError:
        """Return the error for a cell that holds no number, with a remedy if one is known."""
        what = f"{reprlib.repr(cell)} is not a number" if cell else "empty cell"
        remedy = self.dialect.numbers.remedy(cell)
        if row == 1 and not self.dialect.header and self.reading.header is None:
            remedy += "; if this line has the names of the columns, add --header yes"
        return ProblemError(f"line {record.line} (row {row}), column {name!r}: {what}{remedy}")

    def _read_with_arrow(
        self, wanted: Sequence[str]
    ) -> tuple[dict[str, NDArray[Any]], int] | None:
        """Read with pyarrow; return None if it is not installed or cannot read the file."""
        dialect = self.dialect
        if dialect.delimiter == SPACES or dialect.numbers.thousands:
            return None
        try:
            arrow, csv = importlib.import_module("pyarrow"), _arrow_csv()
        except ImportError:
            return None
        columns = [str(j) for j in range(len(dialect.names))]
        at = {name: columns[dialect.names.index(name)] for name in wanted}
        kinds = {c: arrow.float64() if c in at.values() else arrow.string() for c in columns}
        drop = self.reading.na == "drop"
        convert = csv.ConvertOptions(
            column_types=kinds,
            include_columns=[*dict.fromkeys([*at.values(), columns[0]])],
            null_values=sorted({"", *MISSING, "NA", "NaN", "N/A", "NULL"}) if drop else [],
            strings_can_be_null=False,
            decimal_point=dialect.numbers.decimal,
        )
        try:
            with _open_bytes(self.path) as file:
                table = csv.read_csv(
                    file,
                    csv.ReadOptions(
                        skip_rows=dialect.before,
                        column_names=columns,
                        encoding=self.reading.encoding or "utf8",
                    ),
                    csv.ParseOptions(delimiter=dialect.delimiter, newlines_in_values=True),
                    convert,
                )
        except (arrow.ArrowException, UnicodeError, LookupError, OSError, EOFError):
            return None
        if not table.num_rows or _begin_with_hash(table.column("0")):
            return None
        return {name: table.column(c).to_numpy() for name, c in at.items()}, 0

    def _read_with_numpy(
        self, wanted: Sequence[str]
    ) -> tuple[dict[str, NDArray[Any]], int] | None:
        """Read the columns with NumPy; return None if NumPy cannot read the file."""
        dialect = self.dialect
        if dialect.delimiter == SPACES or dialect.numbers != PLAIN:
            return None
        # One character of an unused cell is kept, so that rows of unequal length are noticed.
        kinds = [(f"{j}", "f8" if n in wanted else "U1") for j, n in enumerate(dialect.names)]
        with _open_text(self.path, self.reading) as file:
            lines = _plain_lines(islice(file, dialect.before, None))
            try:
                rows = np.loadtxt(
                    lines, kinds, delimiter=dialect.delimiter, comments=None, ndmin=1
                )
            except ValueError:
                return None
        if not len(rows):
            return None
        return {name: rows[f"{dialect.names.index(name)}"] for name in wanted}, 0


def _plain_lines(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines; raise ValueError if a line has quotation marks or a comment."""
    for line in lines:
        if '"' in line or line.startswith("#"):
            raise ValueError(line)
        yield line


def _arrow_csv() -> Any:
    return importlib.import_module("pyarrow.csv")


def _begin_with_hash(column: Any) -> bool:
    """Return whether any cell of the first column begins with ``#``, like a comment."""
    arrow, compute = (
        importlib.import_module("pyarrow"),
        importlib.import_module("pyarrow.compute"),
    )
    if column.type != arrow.string():
        return False
    return bool(compute.any(compute.starts_with(column, pattern="#")).as_py())


@contextmanager
def _open_text(path: Path, reading: Reading) -> Iterator[TextIO]:
    encoding = reading.encoding or "utf-8-sig"
    try:
        "".encode(encoding)
    except LookupError:
        raise ProblemError(
            f"there is no encoding {encoding!r}; try latin-1 or cp1252"
        ) from None
    with _open_bytes(path) as raw:
        file = io.TextIOWrapper(raw, encoding=encoding, newline="")
        try:
            yield file
        except UnicodeError as error:
            _raise_undecodable(path, encoding)
            raise ProblemError(f"is not {encoding} text: {error}") from None
        finally:
            file.detach()


def _raise_undecodable(path: Path, encoding: str) -> None:
    """Find the line that cannot be decoded, and raise ProblemError with its number."""
    if encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32")):
        return  # one byte of a wide character may look like the end of a line
    called = "UTF-8" if encoding == "utf-8-sig" else encoding
    with _open_bytes(path) as file:
        for line, text in enumerate(file, 1):
            try:
                text.decode("utf-8" if encoding == "utf-8-sig" else encoding)
            except UnicodeDecodeError as error:
                wide = text[:2] in (b"\xff\xfe", b"\xfe\xff")
                other = "utf-16" if line == 1 and wide else "latin-1"
                raise ProblemError(
                    f"line {line} is not {called} text (byte 0x{text[error.start]:02x}); "
                    f"save the file as UTF-8, or name its encoding, such as --encoding {other}"
                ) from None


def _open_bytes(path: Path) -> BinaryIO:
    """Open a file; decompress it if the first bytes show that it is compressed."""
    with path.open("rb") as file:
        magic = file.read(6)
    openers: Mapping[bytes, Callable[[Path], Any]] = {
        b"\x1f\x8b": gzip.open,
        b"BZh": bz2.open,
        b"\xfd7zXZ\x00": lzma.open,
        b"\x28\xb5\x2f\xfd": _open_zstd,
    }
    for start, opener in openers.items():
        if magic.startswith(start):
            return cast(BinaryIO, opener(path))
    return path.open("rb")


def _open_zstd(path: Path) -> BinaryIO:
    try:
        arrow = importlib.import_module("pyarrow")
    except ImportError as error:
        raise MissingLibraryError("reading .zst needs pyarrow: pip install pyarrow") from error
    stream = arrow.input_stream(str(path), compression="zstd")
    return cast(BinaryIO, io.BufferedReader(_Raw(stream)))


class _Raw(io.RawIOBase):
    """Wraps a pyarrow stream, so that it has the methods of a Python file."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        data = self.stream.read(len(into))
        into[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self.stream.close()
        super().close()
