"""The named columns of a file: which are meant, and what is wrong with them."""

from __future__ import annotations

import difflib
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from backends.errors import DescentbenchError, ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

NO_ROWS = "the data have no rows; at least one is needed"

_LISTED = 10


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Put the file's name before an error, and make any error one a user can read.

    A damaged file makes NumPy, zipfile, zlib or Arrow raise almost anything, so
    no shorter list of exceptions would do.
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
        raise ProblemError(f"{path}: cannot be read as {path.suffix}: {first}") from error


def choose(
    names: Sequence[str], x: Sequence[str] | None = None, y: str | None = None
) -> tuple[list[str], str]:
    """Return the names of x and of y: what was asked for, else the last for y, the rest for x.

    Raises
    ------
    ProblemError
        A column is not there, or not just once.
    """
    if len(names) < 2:
        others = [c for c in ";\t" if c in "".join(names)]
        hint = f"; commas separate columns, not {others[0]!r}" if others else ""
        raise ProblemError(f"x and y need a column each; there is {listing(names)}{hint}")
    if y is None:
        y = names[-1]
    if x is None:
        x = [name for name in names if name != y]
    xs = [x] if isinstance(x, str) else list(x)  # a string is a sequence of strings, too
    if not xs:
        raise ProblemError("x needs at least one column")
    if y in xs:
        raise ProblemError(f"column {y!r} cannot be both x and y; choose another for one")

    found, asked = Counter(names), Counter(xs)
    for name in [*xs, y]:
        if name not in found:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ProblemError(f"there is no column {name!r}, only {listing(names)}{hint}")
        if found[name] > 1:
            raise ProblemError(f"{found[name]} columns are named {name!r}; rename them")
        if asked[name] > 1:
            raise ProblemError(f"x names column {name!r} {asked[name]} times; once is enough")
    return xs, y


def listing(names: Sequence[str]) -> str:
    """Write names for people, cut short where they are many."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return (", ".join(map(repr, names[:_LISTED])) or "none") + more


def not_numbers(name: str, kind: object) -> ProblemError:
    """Return the error of a column of another kind."""
    return ProblemError(f"column {name!r} holds {kind}; only integers and floats can be used")
