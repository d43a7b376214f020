"""Predict steps over data in memory from steps over small data, which are read from a cache.

The read curve shows how much longer it takes to read a byte from memory than from a cache. The
additional time of a step also depends on how often the step reads its data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Reads(NamedTuple):
    """How often a step reads its data.

    `usual` is the assumed number of reads. `most` is the largest number of reads that the
    interval of a prediction includes.
    """

    usual: float
    most: float


ONE_PASS = Reads(1.2, 3.2)
"""Reads of techniques that process blocks of rows which fit in a cache. Measured: 1 to 2."""

SEVERAL_PASSES = Reads(3.2, 9.0)
"""Reads of compiled code that reads all rows once for each product of a step.

For JAX with 2 to 200 features, steps took as much additional time as 2 to 5 reads. The largest
number is 9, so that the interval also contains a single read.
"""

PLAIN = Reads(4.0, 12.0)
"""Reads of techniques that allocate temporary arrays in each step.

Plain NumPy reads or writes as many bytes as 4 reads of the data. Large temporary arrays also
cause page faults in each step, which take as long as several reads.
"""


@dataclass(frozen=True)
class Uncached:
    """Additional time of a step for rows that are read from memory instead of a cache.

    Attributes
    ----------
    bend : float
        Number of rows beyond which each further row takes longer. It is the number of rows that
        fit in the cache, but at least the largest measured number of rows.
    more : float
        Additional seconds of each row beyond `bend`.
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
        """Compute the additional time; None if there is no read curve.

        Parameters
        ----------
        a_row : float
            Seconds per row at the largest measured size.
        largest : int
            Largest measured number of rows.
        row_bytes : int
            Bytes of a row of X and y.
        cache_rows : float
            Number of rows that fit in the last cache.
        curve : sequence of tuple
            The read curve: pairs of data size in bytes and throughput in bytes/s. Empty if it
            was not measured.
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
        """Return the relative error of a step over `rows` rows; 0 up to `bend` rows."""
        return self.error * max(0.0, 1 - self.bend / rows)
