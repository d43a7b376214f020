"""Determine the dialect of a text file: delimiter, decimal point, header, comments."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from backends.errors import ProblemError
from backends.rows.reading import Numbers, Reading

SAMPLE_RECORDS = 50
"""Number of rows at the start of a text file from which the file's dialect is determined."""

SAMPLE_LINES = 200
"""Largest number of lines from which a file's dialect is determined."""

SPACES = " "
"""Delimiter that stands for any run of spaces and tabs."""

CANDIDATES = (",", "\t", ";", "|", SPACES)
"""Delimiters that are recognised, in the order of preference."""

_CALLED = {"\t": "a tab", SPACES: "white space"}


class Record(NamedTuple):
    """One row of a text file.

    Attributes
    ----------
    line : int
        Number of the line on which the row ends; the first line of the file is 1.
    cells : list of str
    text : str
        The unchanged text of the row in the file.
    """

    line: int
    cells: list[str]
    text: str


@dataclass(frozen=True)
class Dialect:
    """The format of a text file.

    Attributes
    ----------
    delimiter : str
    numbers : Numbers
        How numbers are written.
    names : list of str
        Names of the columns. Column 2 is called ``Unnamed: 2`` if it has no name in the file.
    unnamed : tuple of str
        The columns in `names` that have no name in the header.
    header : bool
        Whether a line of the file contains the names.
    before : int
        Number of lines up to the header's end; 0 if the header is missing or is a comment.
    notes : tuple of str
        Assumptions about the file, one line each.
    """

    delimiter: str
    numbers: Numbers
    names: list[str]
    unnamed: tuple[str, ...] = ()
    header: bool = True
    before: int = 0
    notes: tuple[str, ...] = ()


@dataclass
class Lines:
    """Splits lines into records, and skips blank lines and comments.

    A line that begins with ``#`` is a comment, unless the line continues a quoted cell.
    """

    lines: Iterator[str]
    delimiter: str
    number: int = 0
    comments: list[tuple[int, str]] = field(default_factory=list)
    _begun: list[str] = field(default_factory=list)

    def records(self) -> Iterator[Record]:
        """Yield the records, without blank lines and comments.

        Raises
        ------
        ProblemError
            Quotation marks do not match, or a cell is too long.
        """
        if self.delimiter == SPACES:
            for line in self._feed():
                self._begun.clear()
                if cells := _split(line):
                    yield Record(self.number, cells, line)
            return
        reader = csv.reader(self._feed(), delimiter=self.delimiter, strict=True)
        while True:
            self._begun.clear()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise ProblemError(
                    f"cannot be read as .csv: {error} (line {self.number})"
                ) from None
            if cells:
                yield Record(self.number, cells, "".join(self._begun))

    def _feed(self) -> Iterator[str]:
        for line in self.lines:
            self.number += 1
            if not self._begun and line.startswith("#"):
                self.comments.append((self.number, line))
                continue
            self._begun.append(line)
            yield line


def _split(line: str) -> list[str]:
    """Split a line at white space, except for white space in quotation marks."""
    cells = re.findall(r'"(?:[^"]|"")*"(?!\S)|\S+', line)
    return [c[1:-1].replace('""', '"') if len(c) > 1 and c[0] == '"' else c for c in cells]


def find_dialect(lines: Iterable[str], reading: Reading, default: str) -> Dialect:
    """Determine the dialect of a text file.

    Parameters
    ----------
    lines : iterable of str
        The file's lines, with their line ends.
    reading : Reading
        Options that the user gave for the file.
    default : str
        Delimiter to use if none can be recognised.

    Raises
    ------
    ProblemError
        The file has only comments and blank lines.
    """
    some = list(islice(lines, SAMPLE_LINES))
    skip = 0
    notes: list[str] = []
    given = reading.delimiter
    if some and (excel := re.fullmatch(r"sep=(.)\s*", some[0].lstrip("\ufeff"))):
        skip, given = 1, given or excel[1]  # Excel writes ``sep=;`` to name the delimiter
    cut = len(some) == SAMPLE_LINES
    if given is None:
        delimiter = _delimiter(some[skip:], reading, default, cut=cut)
        if delimiter not in (",", default):
            called = _CALLED.get(delimiter, repr(delimiter))
            notes.append(f"{called} was taken for the delimiter; --delimiter changes it")
    else:
        delimiter = given
    split = Lines(iter(some[skip:]), delimiter, skip)
    records = _sample(split, cut=cut)
    if not records:
        kind = "comments and blank lines" if split.comments else "blank lines"
        raise ProblemError(f"the file has only {kind}")
    numbers = _numbers(records, delimiter, reading)
    if numbers.decimal == "," and reading.decimal is None:
        groups = "" if numbers.thousands != "." else " and '.' for the thousands separator"
        notes.append(f"',' was taken for the decimal point{groups}; --decimal changes it")
    return _with_names(split, records, numbers, reading, notes)


def _sample(split: Lines, *, cut: bool) -> list[Record]:
    """Return the first records. If `cut` is true, an incomplete last record is left out."""
    records: list[Record] = []
    try:
        records.extend(islice(split.records(), SAMPLE_RECORDS))
    except ProblemError:
        if not records and not cut:
            raise
    return records[:-1] if cut and 1 < len(records) < SAMPLE_RECORDS else records


def _delimiter(lines: list[str], reading: Reading, default: str, *, cut: bool) -> str:
    """Return the delimiter that gives records of equal length and the most numbers."""
    best, most = default, -1.0
    order = [default, *(c for c in CANDIDATES if c != default)]
    for candidate in order:
        try:
            records = _sample(Lines(iter(lines), candidate), cut=cut)
        except ProblemError:
            continue
        widths = {len(record.cells) for record in records[1:]} or {0}
        first = len(records[0].cells) if records else 0
        if len(records) == 1:
            widths = {first}
        if len(widths) > 1 or max(widths) < 2 or first not in (max(widths), max(widths) - 1):
            continue
        numbers = _numbers(records, candidate, reading)
        cells = [cell for record in records[1:] or records for cell in record.cells]
        share = sum(numbers.kind(c) in ("number", "missing") for c in cells) / len(cells)
        if share > most:
            best, most = candidate, share
    return best


def _numbers(records: list[Record], delimiter: str, reading: Reading) -> Numbers:
    """Determine how numbers are written: with a decimal point, or with a decimal comma."""
    thousands = reading.thousands or ""
    if reading.decimal is not None:
        return Numbers(reading.decimal, thousands)
    if delimiter == "," or thousands == ",":
        return Numbers(".", thousands)
    cells = [cell.strip() for record in records for cell in record.cells]
    plain, comma = Numbers(".", thousands), Numbers(",", thousands)
    grouped = Numbers(",", thousands or ".")
    odd = [cell for cell in cells if not plain.reads(cell) and grouped.reads(cell)]
    if any("." in cell for cell in odd):
        return grouped
    if odd and not any("." in cell and plain.reads(cell) for cell in cells):
        return comma
    return plain  # if both styles occur, an error names the first cell that does not fit


def _with_names(
    split: Lines,
    records: list[Record],
    numbers: Numbers,
    reading: Reading,
    notes: list[str],
) -> Dialect:
    """Determine the names of the columns, and return the complete dialect."""
    first, rest = records[0], records[1:]
    before_first = [text for line, text in split.comments if line < first.line]
    commented = _commented_names(before_first, first, split.delimiter, numbers)
    if commented and reading.header is not False:
        names, header, data = commented, True, records
    else:
        header, said = _is_header(first, rest, numbers, reading.header)
        notes.extend(said)
        names = [cell.strip() for cell in first.cells] if header else []
        data = rest if header else records
    width = len(data[0].cells) if data else len(first.cells)
    if not header:
        names = [str(position) for position in range(width)]
    elif len(names) == width - 1:
        extra_last = all(not r.cells[-1].strip() for r in data)
        names = [*names, ""] if extra_last else ["", *names]  # R writes row names like this
    before = first.line if header and not commented else 0
    unnamed = tuple(f"Unnamed: {j}" for j, name in enumerate(names) if not name)
    names = [name or f"Unnamed: {j}" for j, name in enumerate(names)]
    return Dialect(split.delimiter, numbers, names, unnamed, header, before, tuple(notes))


def _commented_names(
    comments: list[str], first: Record, delimiter: str, numbers: Numbers
) -> list[str]:
    """Return the names in a comment above the first row (as `numpy.savetxt` writes), or []."""
    if not comments or any(numbers.kind(cell) == "text" for cell in first.cells):
        return []
    split = Lines(iter([comments[-1].lstrip("#").lstrip()]), delimiter)
    try:
        names = [cell.strip() for record in split.records() for cell in record.cells]
    except ProblemError:
        return []
    if len(names) != len(first.cells) or not any(numbers.kind(n) == "text" for n in names):
        return []
    return names


def _is_header(
    first: Record, rest: list[Record], numbers: Numbers, said: bool | None
) -> tuple[bool, list[str]]:
    """Return whether the first record is a header, and a list of notes to the user."""
    if said is not None:
        return said, []
    kinds = [numbers.kind(cell) for cell in first.cells]
    if set(kinds) <= {"number", "missing"} and "number" in kinds:
        return _numeric_header(first, rest, kinds)
    below = [
        [numbers.kind(r.cells[j]) for r in rest if j < len(r.cells)] for j in range(len(kinds))
    ]
    texts = [j for j, kind in enumerate(kinds) if kind == "text"]
    differs = any("text" not in below[j] for j in texts)
    if not differs and "number" in kinds:
        note = "the first line was taken for data, because it is like the lines below"
        return False, [f"{note}; --header yes takes it for names"] if texts else []
    if texts and "number" in kinds:
        note = "the first line was taken for names, although it contains numbers"
        return True, [f"{note}; --header no takes it for data"]
    return bool(texts), []


def _numeric_header(
    first: Record, rest: list[Record], kinds: Sequence[str]
) -> tuple[bool, list[str]]:
    """Return the results of `_is_header` for a first record that holds only numbers."""
    if rest and _is_quoted(first) and not _is_quoted(rest[0]):
        return True, []
    cells = [cell.strip() for cell in first.cells]
    index = cells[0] == "" and len(cells) > 1
    named = cells[1:] if index else cells
    if rest and named == [str(j) for j in range(len(named))]:
        note = "the first line, 0, 1, 2, …, was taken for the names of the columns"
        return True, [f"{note}; --header no takes it for data"]
    if "missing" in kinds:
        return False, []  # an error will name the missing cell
    note = "the first line holds only numbers and was taken for data"
    return False, [f"{note}; --header yes takes it for names"]


def _is_quoted(record: Record) -> bool:
    """Return whether all cells are in quotation marks, except perhaps an empty first cell."""
    cells = record.cells if record.text.lstrip().startswith('"') else record.cells[1:]
    corner = len(cells) == len(record.cells) or not record.cells[0]
    return bool(cells) and corner and record.text.count('"') == 2 * len(cells)
