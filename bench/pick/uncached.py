"""A step beyond the caches, of a backend that was only measured in them.

The read curve tells how much longer a byte takes from memory than from a cache. A
step reads its data once at the least, and a few times at the most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

READS, MOST_READS = 1.5, 4.0
"""Times that a step reads its data: usually between 1 and 2, and 4 in plain array code."""


@dataclass(frozen=True)
class Uncached:
    """The further cost of the rows that no cache holds.

    Attributes
    ----------
    bend : float
        Rows that the cache holds, or the largest measured number if that is larger.
    more : float
        Seconds that each row beyond the bend takes longer.
    error : float
        Relative error of a row that is read from memory.
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
    ) -> Uncached | None:
        """Find what reads from memory add to a row's time in cache; None if nothing.

        Parameters
        ----------
        a_row : float
            Seconds a row at the largest measured size.
        largest : int
            Rows of the largest measured size.
        row_bytes : int
        cache_rows : float
            Rows that the last cache holds.
        curve : sequence of tuple
            The read curve: bytes and bytes/s; empty where it was not measured.
        """
        if not curve:
            return None
        sizes = np.log([size for size, _ in curve])
        seconds = np.array([1 / rate for _, rate in curve])
        here = float(np.interp(math.log(largest * row_bytes), sizes, seconds))
        more = row_bytes * max(0.0, float(seconds[-1]) - here)
        likely = a_row + READS * more
        error = math.log((a_row + MOST_READS * more) / likely) / 2 if likely > 0 else 0.0
        return cls(max(cache_rows, float(largest)), READS * more, error)

    def beyond(self, rows: float) -> float:
        """Return the further seconds of so many rows."""
        return self.more * max(0.0, rows - self.bend)

    def error_at(self, rows: float) -> float:
        """Return the relative error of a step: only rows beyond the bend have it."""
        return self.error * max(0.0, 1 - self.bend / rows)
