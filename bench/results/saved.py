"""Find saved results by file, folder, name, or git revision."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.results.record import Record, RecordError

PATTERNS = "run-*.json", "pick-*.json"
"""Patterns of the file names of records in a results folder."""

MOST_NAMED = 20
"""Largest number of results listed in an error message."""


@dataclass(frozen=True)
class Saved:
    """A record and its file."""

    path: Path
    record: Record


def find(what: str, store: Path) -> list[Saved]:
    """Return the records that `what` names, the oldest first.

    Parameters
    ----------
    what : str
        One of these:

        - the path of a result file, or of a folder of result files;
        - the name that ``run --name`` gave to results in `store`;
        - the name of a file in `store`, without ``.json``;
        - the first seven or more digits of the git revision of results in `store`.
    store : Path
        Folder of the results.

    Raises
    ------
    RecordError
        `what` names no record, or the file is not a result.
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
    kinds = "a file, nor the name or git revision of a result"
    raise RecordError(f"no result {what!r}: it is neither {kinds}; {there}")


def folder(path: Path) -> list[Saved]:
    """Return the records in a folder, the oldest first; unreadable files are left out."""
    found = []
    for file in sorted(file for pattern in PATTERNS for file in path.glob(pattern)):
        try:
            found.append(Saved(file, Record.load(file)))
        except RecordError:
            continue  # written by another version, or damaged
    return sorted(found, key=lambda saved: saved.record.created)


def newest_timed(what: str, store: Path) -> Saved:
    """Return the newest record that `what` names, among the records with step times.

    Records of complete runs are preferred to newer records of interrupted runs.

    Raises
    ------
    RecordError
        `what` names no record (see `find`), or no record with step times.
    """
    found = find(what, store)
    timed = [saved for saved in found if _timed(saved.record)]
    if not timed:
        where = found[-1].path
        raise RecordError(
            f"{where} holds no timed step, so there is nothing to compare: repeat its "
            "'descentbench run' to continue it"
        )
    return only(timed)


def only(found: Iterable[Saved]) -> Saved:
    """Return the newest record of a complete run; if no run is complete, the newest record."""
    ranked = sorted(found, key=lambda s: (s.record.complete, s.record.created))
    return ranked[-1]


def _timed(record: Record) -> bool:
    return any(m.kind == "step" for o in record.tasks.values() for m in o.measurements)


def _named(saved: Saved, what: str) -> bool:
    return what in (saved.record.name, saved.path.stem)


def _at_revision(saved: Saved, what: str) -> bool:
    return len(what) >= 7 and saved.record.revision.startswith(what)
