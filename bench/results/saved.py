"""Saved results, found by file, folder, name, or git revision."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.results.record import Record, RecordError

PATTERNS = "run-*.json", "pick-*.json"
"""Names of the files in a store that are records."""

MOST_NAMED = 20
"""Most results that an error message lists."""


@dataclass(frozen=True)
class Saved:
    """A record and its file."""

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
    """Return a folder's records, oldest first; other files are left out."""
    found = []
    for file in sorted(file for pattern in PATTERNS for file in path.glob(pattern)):
        try:
            found.append(Saved(file, Record.load(file)))
        except RecordError:
            continue  # another version wrote it, or it is damaged
    return sorted(found, key=lambda saved: saved.record.created)


def newest_timed(what: str, store: Path) -> Saved:
    """Return the newest complete record meant by `what`, or else the newest of all.

    Raises
    ------
    RecordError
        See `find`; or none of the records holds the time of a step.
    """
    found = find(what, store)
    timed = [saved for saved in found if _timed(saved.record)]
    if not timed:
        where = found[-1].path
        raise RecordError(
            f"{where} holds no timed step, so there is nothing to compare: the same "
            "'descentbench run' continues it"
        )
    return only(timed)


def only(found: Iterable[Saved]) -> Saved:
    """Return the newest complete record, or else the newest of all; never of none."""
    ranked = sorted(found, key=lambda s: (s.record.complete, s.record.created))
    return ranked[-1]


def _timed(record: Record) -> bool:
    return any(m.kind == "step" for o in record.tasks.values() for m in o.measurements)


def _named(saved: Saved, what: str) -> bool:
    return what in (saved.record.name, saved.path.stem)


def _at_revision(saved: Saved, what: str) -> bool:
    return len(what) >= 7 and saved.record.revision.startswith(what)
