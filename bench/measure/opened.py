"""Open a benchmark case: get its data and its backend."""

from __future__ import annotations

from functools import lru_cache
from typing import cast

from backends.catalogue import open_backend
from backends.names import Name
from backends.problem import Problem
from backends.rows.made import Generated
from backends.rows.source import Source
from backends.rows.streamed import SourceBackend
from bench.measure import shared
from bench.measure.filerows import FileRows, rows_of
from bench.measure.known_losses import named
from bench.results.case import BASELINES, Case


def data_of(case: Case) -> Problem | Source:
    """Return the rows of a case.

    The rows are from the data file that the environment variable `DESCENTBENCH_DATA` describes,
    or synthetic if the variable is not set. The result is usually a `Problem`, which holds the
    rows in memory. In two situations, the result is a `Source`, which reads the rows later:

    - The rows of the file exceed the memory limit.
    - The backend is distributed: its worker processes read the rows.
    """
    told = FileRows.told()
    distributed = case.backend not in BASELINES and Name.parse(case.backend).distributed
    if distributed:
        if told is None:
            return Generated(*case.size, loss=named(case.loss))
        return told.open_with(case.dtype, case.loss)
    return synthetic(case) if told is None else rows_of(told, case.dtype, case.loss)


def synthetic(case: Case) -> Problem:
    """Return synthetic rows with the case's size and loss."""
    return _made(*case.data)


def open_case(case: Case) -> SourceBackend:
    """Import the library of a benchmark case, and return the backend of the case.

    The backend accepts the rows that `data_of` returns for the case.
    """
    told = FileRows.told()
    if told is None:  # a `Problem`, or a `Source` for a distributed backend
        return cast(SourceBackend, open_backend(case.backend))
    return told.backend(case.backend)


def forget() -> None:
    """Release the synthetic rows of the case that was opened most recently."""
    _made.cache_clear()


@lru_cache(maxsize=1)  # cases are ordered by data; two data sets may not fit in memory
def _made(rows: int, features: int, dtype: str, loss: str) -> Problem:
    made = shared.load((rows, features, dtype, loss))
    return made or Generated(rows, features, dtype, loss=named(loss)).load()
