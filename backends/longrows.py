"""Decide whether a technique stores long rows row by row or column by column.

For data that are larger than the caches, one of the two layouts can be twice as fast as the
other. The faster layout depends on the processor and on the length of the rows, so a technique
times both layouts (see `backends.tuning`). The timed data must also be larger than the caches,
because both layouts are equally fast in a cache.
"""

from __future__ import annotations

from backends import tuning
from backends.problem import Problem

LONG_BYTES = 256
"""Smallest size in bytes of a long row. For shorter rows, the layout matters little."""

FAR_BYTES = 1 << 25
"""Data of this size in bytes or more are assumed to be larger than the caches: 32 MiB."""

COLUMN_BYTES = 1 << 11
"""Row size in bytes up to which data are stored column by column by default: 2 KiB."""

TRIAL_BYTES = 1 << 26
"""Largest size in bytes of the data with which a layout is timed: 64 MiB."""


def are_far(problem: Problem) -> bool:
    """Return whether a row has at least `LONG_BYTES` and the data have at least `FAR_BYTES`."""
    return _row_bytes(problem) >= LONG_BYTES and problem.bytes_per_step >= FAR_BYTES


def usually_by_column(problem: Problem) -> bool:
    """Return whether storage by column is the default layout for these rows."""
    return are_far(problem) and _row_bytes(problem) <= COLUMN_BYTES


def trial_rows(problem: Problem) -> int:
    """Return the number of rows with which each layout is timed.

    These rows together take about 16 MiB. For long rows in data that are larger than the caches
    (`are_far`), a quarter of the data is timed instead, limited to 16–64 MiB.
    """
    nbytes = tuning.TRIAL_BYTES
    if are_far(problem):
        nbytes = max(nbytes, min(TRIAL_BYTES, problem.bytes_per_step // 4))
    return tuning.trial_rows(problem, nbytes)


def _row_bytes(problem: Problem) -> int:
    return problem.features * problem.x.itemsize
