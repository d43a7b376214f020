"""Predict the time of steps over data in memory, for a backend measured only in the caches.

The read curve shows how much longer a byte takes from memory than from a cache. A
step reads its data at least once and at most a few times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

READS, MOST_READS = 1.2, 3.2
"""Assumed and largest number of times that a step reads its data. Usual values are 1 to 2."""

PLAIN_READS, MOST_PLAIN_READS = 4.0, 12.0
"""Assumed and largest number of reads of array code that allocates temporary arrays.

Plain NumPy reads and writes its data 4 times. The allocator returns large arrays to the system,
so that every step also pays for page faults: as much as several reads.
"""


@dataclass(frozen=True)
class Uncached:
    """The additional time of rows that no cache holds.

    Attributes
    ----------
    bend : float
        Number of rows from which a row takes longer: the rows that the cache holds, or the
        largest measured size if that is larger.
    more : float
        Additional seconds of each row beyond the bend.
    error : float
        Relative error of the time of a row that is read from memory.
    """

    bend: float
    more: float
    error: float

    @classmethod
    def of(
        cls,
        a_row: float,
        largest: int,
        row_bytes: int,
        cache_rows: float,
        curve: Sequence[tuple[int, float]],
        *,
        plain: bool = False,
    ) -> Uncached | None:
        """Compute the additional time of a row from memory; None without a read curve.

        Parameters
        ----------
        a_row : float
            Seconds per row at the largest measured size.
        largest : int
            Rows of the largest measured size.
        row_bytes : int
        cache_rows : float
            Rows that the last cache holds.
        curve : sequence of tuple
            The read curve in bytes and bytes/s; empty if no curve was measured.
        plain : bool
            Whether the step allocates temporary arrays.
        """
        if not curve:
            return None
        sizes = np.log([size for size, _ in curve])
        seconds = np.array([1 / rate for _, rate in curve])
        here = float(np.interp(math.log(largest * row_bytes), sizes, seconds))
        more = row_bytes * max(0.0, float(seconds[-1]) - here)
        reads, most = (PLAIN_READS, MOST_PLAIN_READS) if plain else (READS, MOST_READS)
        likely = a_row + reads * more
        error = math.log((a_row + most * more) / likely) / 2 if likely > 0 else 0.0
        return cls(max(cache_rows, float(largest)), reads * more, error)

    def beyond(self, rows: float) -> float:
        """Return the additional seconds of a step over `rows` rows."""
        return self.more * max(0.0, rows - self.bend)

    def error_at(self, rows: float) -> float:
        """Return the relative error of a step; only rows beyond the bend contribute."""
        return self.error * max(0.0, 1 - self.bend / rows)
