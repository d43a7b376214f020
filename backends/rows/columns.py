"""Tables of named columns, and functions that find columns by their names."""

from __future__ import annotations

import difflib
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from backends.errors import DescentbenchError, ProblemError

if TYPE_CHECKING:
    from backends.rows.source import Source

NO_ROWS = "the data have no rows; at least one is needed"

EXACT_FLOAT32 = 1 << 24
"""Largest number up to which float32 can represent all integers: its mantissa has 24 bits."""

_LISTED = 10


@dataclass(frozen=True)
class Table:
    """A file whose columns are known and whose rows have not been read.

    Attributes
    ----------
    names : list of str
    source : callable
        ``source(xs, y, dtype)`` returns the rows. xs are the names of X's columns, and y is the
        name of y's column.
    x : list of str, optional
        Default columns of X. If this field is None, the default is all columns except y and the
        columns in `hidden`.
    y : str, optional
        Default column of y. If this field is None, the default is the last column that is not
        in `hidden`.
    hidden : dict
        Columns that are used only if the user names them, each with the reason.
    notes : list of str
        Assumptions about the file. A call of the function `source` can add further notes.
    ask : str
        Message that asks the user to name the columns, if the file has no clear default
        columns. Otherwise "".
    """

    names: list[str]
    source: Callable[[list[str], str, str], Source]
    x: list[str] | None = None
    y: str | None = None
    hidden: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    ask: str = ""


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turn every error inside the context into a `ProblemError` that names the file.

    NumPy, zipfile, zlib and Arrow may raise almost any exception for a damaged file. Errors for
    a missing library stay as they are.
    """
    try:
        yield
    except ProblemError as error:
        named = str(error).startswith(f"{path}: ")
        raise error if named else ProblemError(f"{path}: {error}") from error
    except DescentbenchError:
        raise
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        kind = f" as {path.suffix}" if path.suffix else ""
        raise ProblemError(f"{path}: cannot be read{kind}: {first}") from error


def choose(
    table: Table, x: Sequence[str] | None = None, y: str | None = None
) -> tuple[list[str], str]:
    """Return the names of X's columns and of y, spelled as in the file.

    By default y is the last column, and X has all other columns. Spaces around a name are
    ignored, and accents may be composed or decomposed (Unicode).

    Raises
    ------
    ProblemError
        A chosen column does not exist, or two columns have its name, or the user named the
        column twice.
    """
    names = table.names
    usual = [name for name in names if name not in table.hidden]
    if len(names) < 2 or (len(usual) < 2 and (x is None or y is None)):
        left = f" besides {listing([*table.hidden])}" if table.hidden else ""
        raise ProblemError(f"x and y need a column each; there is {listing(usual)}{left}")
    needs_x = x is None and table.x is None and len(names) > 2
    needs_y = y is None and table.y is None
    if table.ask and (needs_x or needs_y):
        raise ProblemError(table.ask)
    usual_y = table.y if table.y is not None else usual[-1]
    y = usual_y if y is None else find(y, names)
    if x is None:
        x = table.x if table.x is not None else [name for name in usual if name != y]
    wanted = [x] if isinstance(x, str) else list(x)  # a string is a sequence of strings, too
    if not wanted:
        raise ProblemError("x needs at least one column")
    xs = [find(name, names) for name in wanted]
    if y in xs:
        raise ProblemError(f"column {y!r} cannot be both x and y; choose another for one")
    found, asked = Counter(map(_plain, names)), Counter(xs)
    for name in [*xs, y]:
        if found[_plain(name)] > 1 and names.count(name) != 1:
            raise ProblemError(f"{found[_plain(name)]} columns are named {name!r}; rename them")
        if asked[name] > 1:
            raise ProblemError(f"x names column {name!r} {asked[name]} times; once is enough")
    return xs, y


def find(name: str, names: Sequence[str]) -> str:
    """Return a column's name as it is spelled in the file.

    Raises
    ------
    ProblemError
        The column does not exist.
    """
    if name in names:
        return name
    for there in names:
        if _plain(there) == _plain(name):
            return there
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ProblemError(f"there is no column {name!r}, only {listing(names)}{hint}")


def find_all(wanted: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the names of several columns as they are spelled in the file.

    Raises
    ------
    ProblemError
        A column in `wanted` does not exist, or two columns have its name, or `wanted` contains
        the column twice. The error lists all columns that do not exist.
    """
    plain = {_plain(name) for name in names}
    missing = [name for name in wanted if _plain(name) not in plain]
    if len(missing) > 1:
        raise ProblemError(f"there are no columns {listing(missing)}, only {listing(names)}")
    found = [find(name, names) for name in wanted]
    counts = Counter(map(_plain, names))
    for name in found:
        if counts[_plain(name)] > 1 and names.count(name) != 1:
            raise ProblemError(
                f"{counts[_plain(name)]} columns are named {name!r}; rename them"
            )
        if found.count(name) > 1:
            raise ProblemError(f"x names column {name!r} {found.count(name)} times")
    return found


def _plain(name: str) -> str:
    """Return a name without surrounding white space, in the Unicode form NFC."""
    return unicodedata.normalize("NFC", name.strip())


def listing(names: Sequence[str]) -> str:
    """Return names as text for a message: the first ten, and the number of any others."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return (", ".join(map(repr, names[:_LISTED])) or "none") + more


def not_numbers(name: str, kind: object) -> ProblemError:
    """Return the error for a column that does not hold numbers."""
    return ProblemError(f"column {name!r} holds {kind}; only integers and floats can be used")


def inexact(name: str, largest: float) -> str:
    """Return the note for a column of integers that float32 cannot represent exactly."""
    return (
        f"column {name!r} holds integers up to {largest:.0f}, which float32 rounds (exact "
        f"up to {EXACT_FLOAT32}); add --dtype float64"
    )
