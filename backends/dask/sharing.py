"""What each worker is given of the rows: a recipe, or the rows themselves."""

from __future__ import annotations

from dataclasses import dataclass

from backends.problem import Problem
from backends.rows.made import InMemory
from backends.rows.source import Source


def source_of(rows: Problem | Source) -> Source:
    """Return the recipe of these rows if there is one; without it the rows travel."""
    if isinstance(rows, Source):
        return rows
    return InMemory.of(rows)


def share_of(source: Source, start: int, stop: int) -> Share:
    """Return what a worker needs to make these rows: a recipe, or else the rows."""
    if isinstance(source, InMemory):
        part = InMemory.of(source.load(start, stop))
        return Share(part, 0, part.rows, source.rows)
    return Share(source, start, stop, source.rows)


@dataclass(frozen=True, eq=False)
class Share:
    """Rows `start` to `stop` of a source, of `rows` in all."""

    source: Source
    start: int
    stop: int
    rows: int
