"""Shares of the rows for workers: a worker opens a source, or receives arrays."""

from __future__ import annotations

from dataclasses import dataclass

from backends.problem import Problem
from backends.rows.made import InMemory
from backends.rows.source import Source


def source_of(rows: Problem | Source) -> Source:
    """Return a source of these rows. The rows of a `Problem` will be sent to the workers."""
    if isinstance(rows, Source):
        return rows
    return InMemory.of(rows)


def share_of(source: Source, start: int, stop: int) -> Share:
    """Return rows `start` to `stop` as a share. Of rows in memory, it holds only this range."""
    if isinstance(source, InMemory):
        part = InMemory.of(source.load(start, stop))
        return Share(part, 0, part.rows, source.rows)
    return Share(source, start, stop, source.rows)


@dataclass(frozen=True, eq=False)
class Share:
    """One worker's rows, `start` to `stop` of a source; all workers together have `rows`."""

    source: Source
    start: int
    stop: int
    rows: int
