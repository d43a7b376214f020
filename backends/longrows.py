"""Decide whether long rows in memory are stored by row or by column.

The matrix products of BLAS read several rows, or several columns, side by side. If the data
come from memory, one layout can be twice as fast as the other. The faster layout depends on the
processor and on the length of the rows, so a technique tries both layouts (see
`backends.tuning`). The trial needs more data than a cache holds, because both layouts are
equally fast in a cache.
"""

from __future__ import annotations

from backends import tuning
from backends.problem import Problem

LONG_BYTES = 256
"""Smallest size in bytes of a long row. For shorter rows, both layouts are similarly fast, so a
trial with data in a cache is enough."""

FAR_BYTES = 1 << 25
"""Smallest size in bytes of data that are assumed to be in memory, not in a cache: 32 MiB."""

COLUMN_BYTES = 1 << 11
"""Largest size in bytes of a row that is stored by column by default. A block with longer rows
has few rows, so its columns would be short."""

TRIAL_BYTES = 1 << 26
"""Largest size in bytes of the data of a trial: 64 MiB. Each layout gets its own copy."""


def are_far(problem: Problem) -> bool:
    """Return whether the rows are long and the data larger than a cache."""
    return _row_bytes(problem) >= LONG_BYTES and problem.bytes_per_step >= FAR_BYTES


def usually_by_column(problem: Problem) -> bool:
    """Return whether storage by column is the default layout for these rows."""
    return are_far(problem) and _row_bytes(problem) <= COLUMN_BYTES


def trial_rows(problem: Problem) -> int:
    """Return the number of rows for a trial.

    The rows of a trial take `tuning.TRIAL_BYTES` bytes. If the rows are long and in memory, a
    trial takes a quarter of them, but at most `TRIAL_BYTES` bytes. All copies for a trial
    together are then not larger than the data.
    """
    nbytes = tuning.TRIAL_BYTES
    if are_far(problem):
        nbytes = max(nbytes, min(TRIAL_BYTES, problem.bytes_per_step // 4))
    return tuning.trial_rows(problem, nbytes)


def _row_bytes(problem: Problem) -> int:
    return problem.features * problem.x.itemsize
