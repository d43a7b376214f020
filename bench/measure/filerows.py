"""A file's rows in place of synthetic ones, for a run and all of its children."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from backends import open_backend
from backends.problem import Problem
from backends.rows.datafile import open_source
from backends.rows.source import Source
from backends.rows.streamed import Bounded, SourceBackend, fits
from bench.host.memory import rss_bytes

VARIABLE = "DESCENTBENCH_DATA"
"""Tells a child of them."""


@dataclass(frozen=True)
class FileRows:
    """Which rows are meant.

    Attributes
    ----------
    path : str
    x : tuple of str or None
    y : str or None
        Columns, see `backends.rows.datafile.open_source`.
    memory_bytes : int
        What a child may hold; rows that do not fit are streamed.
    """

    path: str
    x: tuple[str, ...] | None
    y: str | None
    memory_bytes: int

    @classmethod
    def told(cls) -> FileRows | None:
        """Return what this process was told; None: synthetic rows."""
        text = os.environ.get(VARIABLE)
        if not text:
            return None
        told = json.loads(text)
        return cls(**told | {"x": told["x"] and tuple(told["x"])})

    def environment(self) -> dict[str, str]:
        """Return what tells a child."""
        return {VARIABLE: json.dumps(asdict(self))}

    def as_dict(self, dtype: str) -> dict[str, Any]:
        """Return what a record says of them."""
        x = None if self.x is None else list(self.x)
        return {"path": self.path, "x": x, "y": self.y, "streamed": self.streamed(dtype)}

    def open(self, dtype: str) -> Source:
        """Open the file; once a process, as some formats are read whole."""
        return _open(self, dtype)

    def streamed(self, dtype: str) -> bool:
        """Whether a child reads the rows anew for every step."""
        source = self.open(dtype)
        return not fits(source, 0, source.rows, self.memory_bytes)

    def backend(self, name: str) -> SourceBackend:
        """Open a backend that holds no more than was allowed."""
        return Bounded(open_backend(name), self.memory_bytes - rss_bytes())


@lru_cache(maxsize=1)
def _open(rows: FileRows, dtype: str) -> Source:
    return open_source(rows.path, rows.x, rows.y, dtype)


@lru_cache(maxsize=1)
def rows_of(rows: FileRows, dtype: str) -> Problem | Source:
    """Return the rows: in memory if they fit there."""
    source = rows.open(dtype)
    return source if rows.streamed(dtype) else source.load()
