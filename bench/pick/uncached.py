"""Predict the time of steps over data in memory, for a backend measured only in the caches.

The read curve shows how much longer reading a byte takes from memory than from a cache. A step
reads its data once or several times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Reads(NamedTuple):
    """How often a step reads its data: the assumed and the largest number of reads."""

    usual: float
    most: float


ONE_PASS = Reads(1.2, 3.2)
"""Reads of a step over blocks of rows that stay in a cache. Measured numbers of reads are 1 to
2."""

SEVERAL_PASSES = Reads(3.2, 9.0)
"""Reads of compiled code with several features whose products each read all rows.

Measured numbers of reads are 2 to 5 for JAX at 2 to 200 features, because products read memory
more slowly than a plain read does. The largest number is 9, so that the interval also contains
a single read.
"""

PLAIN = Reads(4.0, 12.0)
"""Reads of array code that allocates temporary arrays.

Plain NumPy reads and writes its data 4 times. The allocator returns large arrays to the system,
so every step also causes page faults, which take as long as several reads.
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
        reads: Reads = ONE_PASS,
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
        reads : Reads
            How often a step reads its data.
        """
        if not curve:
            return None
        sizes = np.log([size for size, _ in curve])
        seconds = np.array([1 / rate for _, rate in curve])
        here = float(np.interp(math.log(largest * row_bytes), sizes, seconds))
        more = row_bytes * max(0.0, float(seconds[-1]) - here)
        usual = a_row + reads.usual * more
        error = math.log((a_row + reads.most * more) / usual) / 2 if usual > 0 else 0.0
        return cls(max(cache_rows, float(largest)), reads.usual * more, error)

    def beyond(self, rows: float) -> float:
        """Return the additional seconds of a step over `rows` rows."""
        return self.more * max(0.0, rows - self.bend)

    def error_at(self, rows: float) -> float:
        """Return the relative error of a step; only rows beyond the bend contribute."""
        return self.error * max(0.0, 1 - self.bend / rows)
