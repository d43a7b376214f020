"""Measure with the rows of a data file instead of synthetic rows."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

from backends import open_backend
from backends.problem import Problem
from backends.rows.datafile import open_source
from backends.rows.reading import Reading
from backends.rows.source import Source
from backends.rows.streamed import Bounded, SourceBackend, fits
from bench.host.memory import rss_bytes
from bench.measure.known_losses import named

VARIABLE = "DESCENTBENCH_DATA"
"""Name of the environment variable that gives a child process the fields of `FileRows`, in
JSON."""


@dataclass(frozen=True)
class FileRows:
    """A data file, the columns used, and the options for reading the file.

    Attributes
    ----------
    path : str
    x : tuple of str or None
        Names of the feature columns. None means all columns that are not the target. In an
        ``.npz`` file, None means the array x.
    y : str or None
        Name of the target column. None means the last column. In an ``.npz`` file, None means
        the array y.
    memory_bytes : int
        Memory limit of a child process in bytes. Rows that do not fit are streamed: each step
        reads the rows again.
    how : dict
        Options of `backends.rows.reading.Reading` that differ from the defaults.
    """

    path: str
    x: tuple[str, ...] | None
    y: str | None
    memory_bytes: int
    how: dict[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def told(cls) -> FileRows | None:
        """Return the file that the environment variable `DESCENTBENCH_DATA` describes.

        The result is None if the variable is not set.
        """
        text = os.environ.get(VARIABLE)
        if not text:
            return None
        told = json.loads(text)
        return cls(**told | {"x": told["x"] and tuple(told["x"])})

    def environment(self) -> dict[str, str]:
        """Return the environment variable `VARIABLE` with all fields of this object in JSON."""
        return {VARIABLE: json.dumps(asdict(self))}

    def as_dict(self, dtype: str) -> dict[str, Any]:
        """Return a description of the file for the result file of a run."""
        x = None if self.x is None else list(self.x)
        known = {"path": self.path, "x": x, "y": self.y, "streamed": self.streamed(dtype)}
        return known | self.how

    def open(self, dtype: str) -> Source:
        """Return the file's rows as a `Source` in the dtype `dtype`.

        A second call with the same dtype returns the same object.
        """
        return _open(self, dtype)

    def open_with(self, dtype: str, loss: str) -> Source:
        """Return the file's rows as a `Source` in the dtype `dtype`, with the loss `loss`."""
        return _with_loss(self, dtype, loss)

    def streamed(self, dtype: str) -> bool:
        """Return whether the rows exceed the memory limit, so that each step reads the file."""
        source = self.open(dtype)
        return not fits(source, 0, source.rows, self.memory_bytes)

    def backend(self, name: str) -> SourceBackend:
        """Return the backend `name` with a memory limit: `memory_bytes` − the used memory."""
        return Bounded(open_backend(name), self.memory_bytes - rss_bytes())


@lru_cache(maxsize=1)
def _open(rows: FileRows, dtype: str) -> Source:
    return open_source(rows.path, rows.x, rows.y, dtype, Reading(**rows.how))


@lru_cache(maxsize=1)
def _with_loss(rows: FileRows, dtype: str, loss: str) -> Source:
    return rows.open(dtype).with_loss(named(loss))


@lru_cache(maxsize=1)
def rows_of(rows: FileRows, dtype: str, loss: str) -> Problem | Source:
    """Return a `Problem` if the rows fit in memory, or else a `Source` that streams them."""
    source = rows.open_with(dtype, loss)
    return source if rows.streamed(dtype) else source.load()
