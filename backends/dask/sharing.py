"""Divide rows among workers. A worker loads its rows from a source, or receives arrays."""

from __future__ import annotations

from dataclasses import dataclass

from backends.problem import Problem
from backends.rows.made import InMemory
from backends.rows.source import Source


def source_of(rows: Problem | Source) -> Source:
    """Return `rows` if it is a `Source`; convert a `Problem` to a `Source` in memory."""
    if isinstance(rows, Source):
        return rows
    return InMemory.of(rows)


def share_of(source: Source, start: int, stop: int) -> Share:
    """Return the rows `start` to ``stop − 1`` as the `Share` of one worker.

    If the source is in memory, the share contains only these rows. Otherwise the share contains
    the whole source, from which the worker loads its rows.
    """
    if isinstance(source, InMemory):
        part = InMemory.of(source.load(start, stop))
        return Share(part, 0, part.rows, source.rows)
    return Share(source, start, stop, source.rows)


@dataclass(frozen=True, eq=False)
class Share:
    """The rows of one worker: the rows `start` to ``stop − 1`` of a source.

    The field `rows` is the number of rows of all workers together.
    """

    source: Source
    start: int
    stop: int
    rows: int
