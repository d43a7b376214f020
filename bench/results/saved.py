"""Find saved results: by file, folder, name, or the git revision they were taken at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.results.record import Record, RecordError

PATTERNS = "run-*.json", "pick-*.json"
"""Records in a store, among whatever else lies there."""

MOST_NAMED = 20
"""Results that an error names."""


@dataclass(frozen=True)
class Saved:
    """A record, and the file that it came from."""

    path: Path
    record: Record


def find(what: str, store: Path) -> list[Saved]:
    """Return the records meant by `what`, oldest first; never none.

    Parameters
    ----------
    what : str
        A file, a folder of results, or, among the store's: a name that
        ``run --name`` gave, a file's name without its end, or the first seven
        or more digits of a git revision.

    Raises
    ------
    RecordError
        There is none, or the file is not a result.
    """
    path = Path(what)
    if path.is_file():
        return [Saved(path, Record.load(path))]
    if path.is_dir() or path == store:
        found = folder(path)
        if not found:
            raise RecordError(f"{path} has no results: 'descentbench run' makes some")
        return found
    kept = folder(store)
    for same in (_named, _at_revision):
        if found := [saved for saved in kept if same(saved, what)]:
            return found
    known = sorted({s.record.name or s.path.stem for s in kept})
    some = ", ".join(known[:MOST_NAMED]) + (" …" if len(known) > MOST_NAMED else "")
    there = f"there are {some}" if known else f"{store} has no results"
    raise RecordError(f"no result {what!r}: neither a file nor a name or revision; {there}")


def folder(path: Path) -> list[Saved]:
    """Return a folder's records, oldest first; what is none is left out."""
    found = []
    for file in sorted(file for pattern in PATTERNS for file in path.glob(pattern)):
        try:
            found.append(Saved(file, Record.load(file)))
        except RecordError:
            continue  # another version's, or damaged
    return sorted(found, key=lambda saved: saved.record.created)


def only(found: Iterable[Saved]) -> Saved:
    """Return the newest that holds a whole run, or else the newest of all."""
    ranked = sorted(found, key=lambda s: (s.record.complete, s.record.created))
    return ranked[-1]


def _named(saved: Saved, what: str) -> bool:
    return what in (saved.record.name, saved.path.stem)


def _at_revision(saved: Saved, what: str) -> bool:
    return len(what) >= 7 and saved.record.revision.startswith(what)
