"""Reading the cells of a data file: options that a user can set, and numbers in text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from backends.errors import ProblemError

MISSING = frozenset(
    ["", "?", ".", "-", "na", "n/a", "nan", "null", "none", "nil", "#n/a", "#na", "\\n", "<na>"]
)
"""Cells that stand for a missing value, in lower case. They are written by pandas, R, SQL, SAS
and Excel."""

_VALUE = re.compile(
    r"""[-+\s$€£¥(]*[\d.,][\d.,'\s_]*([eE][-+]?\d+)?[\s%€$£¥)]*  # 5%, 1,5, $1 000
    | \d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T\s].*)?                 # 2024-01-31, 31.1.2024 12:00
    | \d{1,2}:\d{2}(:\d{2})?.*                                   # 12:30
    | (?i:true|false)""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Reading:
    """Options for reading a data file.

    If `header`, `delimiter` or `decimal` is None, it is detected from the file.

    Attributes
    ----------
    header : bool, optional
        Whether the first line of a text file holds the names of the columns.
    delimiter : str, optional
        Character between two cells; a space stands for any run of spaces and tabs.
    decimal : str, optional
        Decimal point, ``.`` or ``,``.
    thousands : str, optional
        Character between groups of three digits.
    encoding : str, optional
        Encoding of a text file; UTF-8 by default.
    na : {"error", "drop"}
        With "error", a missing value in a column of X or y is an error. With "drop", the row of
        the missing value is left out.
    target : str, optional
        Path of another file that holds y. Row i of this file belongs to row i of X.
    """

    header: bool | None = None
    delimiter: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    na: Literal["error", "drop"] = "error"
    target: str | None = None

    def __post_init__(self) -> None:
        for name, value in (
            ("delimiter", self.delimiter),
            ("decimal point", self.decimal),
            ("thousands separator", self.thousands),
        ):
            if value is not None and (len(value) != 1 or value in '"\r\n#' or value.isalnum()):
                raise ProblemError(f"the {name} must be one character, not {value!r}")
        if self.decimal not in (None, ".", ","):
            raise ProblemError(f"the decimal point must be '.' or ',', not {self.decimal!r}")
        if self.thousands is not None and self.thousands == (self.decimal or "."):
            raise ProblemError(
                f"{self.thousands!r} cannot be both decimal point and thousands separator; "
                "give both, such as --decimal , --thousands ."
            )


@dataclass(frozen=True)
class Numbers:
    """The notation of numbers in a text file.

    Attributes
    ----------
    decimal : str
        Decimal point.
    thousands : str
        Character between groups of three digits, or "" if there is none.
    """

    decimal: str = "."
    thousands: str = ""

    def read(self, cell: str) -> float:
        """Return the number that a cell holds; ``true`` is 1 and ``false`` is 0.

        Raises
        ------
        ValueError
            The cell does not hold a number. ``1_000`` and digits that are not ASCII are errors,
            although `float` accepts them.
        """
        text = cell.strip()
        if self.thousands and self.thousands in text:
            whole, point, rest = text.partition(self.decimal)
            if not re.fullmatch(rf"[-+]?\d{{1,3}}({re.escape(self.thousands)}\d{{3}})+", whole):
                raise ValueError(cell)
            text = whole.replace(self.thousands, "") + point + rest
        if self.decimal != ".":
            if "." in text:
                raise ValueError(cell)
            text = text.replace(self.decimal, ".")
        try:
            number = float(text)
        except ValueError:
            truth = {"true": 1.0, "false": 0.0}.get(text.lower())
            if truth is None:
                raise
            return truth
        if not text.isascii() or "_" in text:
            raise ValueError(cell)
        return number

    def reads(self, cell: str) -> bool:
        """Return whether the cell holds a number."""
        try:
            self.read(cell)
        except ValueError:
            return False
        return True

    def kind(self, cell: str) -> Literal["number", "missing", "value", "text"]:
        """Return the kind of a cell.

        The kind "value" stands for a date, a percentage, ``true``, ``false``, or a number that
        cannot be read, such as ``$1 000``.
        """
        text = cell.strip()
        if text.lower() in MISSING:
            return "missing"
        if text.lower() not in ("true", "false") and self.reads(cell):
            return "number"
        return "value" if _VALUE.fullmatch(text) else "text"

    def remedy(self, cell: str) -> str:
        """Return the end of the error message for a cell that is not read as a number.

        The text names options with which the cell can be read. It is "" if no option helps.
        """
        text = cell.strip()
        if text.lower() in MISSING:
            return "; fill it in, or leave out such rows with --na drop"
        options = []
        for decimal, thousands in ((",", ""), (".", ","), (",", "."), (".", "'"), (".", " ")):
            if Numbers(decimal, thousands).reads(text):
                point = "" if decimal == self.decimal else f"--decimal {decimal!r}"
                group = f"--thousands {thousands!r}" if thousands else ""
                options.append(" ".join(filter(None, (point, group))))
        return f"; if it is a number, add {' or '.join(options)}" if options else ""
