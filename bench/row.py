"""What is measured: a backend at a size and dtype."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

from backends.catalogue import Name, open_backend
from backends.interface import BackendError, ProblemError
from backends.problem import DTYPES, Problem, step_bytes
from backends.source import Generated, Source
from backends.streamed import SourceBackend
from bench.filerows import FileRows, rows_of

READ, NATIVE = "read", "c"
"""A yardstick's place in a row: reading the same bytes and nothing else, and `bench.native`."""

YARDSTICKS = (READ, NATIVE)

MOST = 10**15
"""Rows or features: more no machine has, and their bytes fit a float."""


@dataclass(frozen=True, order=True)
class Row:
    """One line of the table, as it is passed to a child: ``numba/1000000x32/float32``."""

    backend: str
    rows: int
    features: int
    dtype: str

    @classmethod
    def parse(cls, text: str) -> Row:
        """Read what ``str(row)`` wrote."""
        backend, rows, features, dtype = _parts(text)
        if backend not in YARDSTICKS:
            backend = str(Name.parse(backend))
        return cls(backend, rows, features, dtype)

    def __str__(self) -> str:
        return f"{self.backend}/{self.rows}x{self.features}/{self.dtype}"

    @property
    def library(self) -> str:
        """The library of its backend."""
        return Name.parse(self.backend).library

    @property
    def size(self) -> tuple[int, int, str]:
        """What the data depend on: rows, features, dtype."""
        return self.rows, self.features, self.dtype

    @property
    def synthetic(self) -> Problem:
        """The synthetic data of this size."""
        return _problem(*self.size)

    @property
    def problem(self) -> Problem | Source:
        """The rows of the file that is measured with; without one, `synthetic`."""
        told = FileRows.told()
        return self.synthetic if told is None else rows_of(told, self.dtype)

    def open(self) -> SourceBackend:
        """Import its library and return its backend, which can place its `problem`."""
        told = FileRows.told()
        if told is None:  # its problem is none but a `Problem`
            return cast(SourceBackend, open_backend(self.backend))
        return told.backend(self.backend)

    @property
    def bytes_per_step(self) -> int:
        """Bytes that a step must read at the least."""
        return step_bytes(self.rows, self.features, self.dtype)

    @property
    def device(self) -> str:
        """Where its data lie; a yardstick's are the host's."""
        return "cpu" if self.backend in YARDSTICKS else Name.parse(self.backend).device

    @property
    def reads_rows(self) -> bool:
        """Whether a step reads the rows: `gram`'s does not."""
        return self.backend in YARDSTICKS or not Name.parse(self.backend).least_squares_only

    @property
    def reads_memory(self) -> bool:
        """Whether a step reads the rows from the host's memory."""
        return self.device == "cpu" and self.reads_rows

    @property
    def yardstick(self) -> Row:
        """The read of the same bytes."""
        return Row(READ, *self.size)


def check_row(text: str) -> None:
    """Raise where the text is no row; its backend may be another machine's."""
    _parts(text)


def _parts(text: str) -> tuple[str, int, int, str]:
    try:
        backend, size, dtype = text.split("/")
        rows, features = map(int, size.split("x"))
    except ValueError:
        rows = features = 0
    if not (1 <= rows <= MOST and 1 <= features <= MOST):
        raise BackendError(f"{reprlib.repr(text)} is not BACKEND/ROWSxFEATURES/DTYPE")
    if dtype not in DTYPES:
        raise ProblemError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")
    return backend, rows, features, dtype


@lru_cache(maxsize=1)  # rows are ordered by size, and large data fit in memory once
def _problem(rows: int, features: int, dtype: str) -> Problem:
    return Generated(rows, features, dtype).load()  # workers of a cluster make their own
