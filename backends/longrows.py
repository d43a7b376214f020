"""Choose the layout of long rows that are read from memory.

BLAS's products read several rows, or several columns, side by side. From memory, one of these
patterns can be twice as fast as the other. Which one is faster depends on the processor and the
length of the rows, so a technique tries both (`backends.tuning`). Such a trial needs more data
than a shared cache holds, because both patterns are equally fast in a cache.
"""

from __future__ import annotations

from backends import tuning
from backends.problem import Problem

LONG_BYTES = 256
"""Smallest size in bytes of a long row. With shorter rows, the layouts differ little, so a
trial in a cache is enough."""

FAR_BYTES = 1 << 25
"""Smallest size in bytes of data that count as read from memory: 32 MiB."""

COLUMN_BYTES = 1 << 11
"""Largest size in bytes of a row that is usually stored by column. The columns of a block would
otherwise have too few values in a row."""

TRIAL_BYTES = 1 << 26
"""Largest size in bytes of the data of a trial: 64 MiB, of which each layout has a copy."""


def are_far(problem: Problem) -> bool:
    """Return whether the rows are long and read from memory."""
    return _row_bytes(problem) >= LONG_BYTES and problem.bytes_per_step >= FAR_BYTES


def usually_by_column(problem: Problem) -> bool:
    """Return whether the rows are long, read from memory, and usually stored by column."""
    return are_far(problem) and _row_bytes(problem) <= COLUMN_BYTES


def trial_rows(problem: Problem) -> int:
    """Return the number of rows of a trial: a quarter of long rows in memory.

    The result lies between `tuning.TRIAL_BYTES` and `TRIAL_BYTES`, so that the copies of a
    trial are not larger than the data.
    """
    nbytes = tuning.TRIAL_BYTES
    if are_far(problem):
        nbytes = max(nbytes, min(TRIAL_BYTES, problem.bytes_per_step // 4))
    return tuning.trial_rows(problem, nbytes)


def _row_bytes(problem: Problem) -> int:
    return problem.features * problem.x.itemsize
