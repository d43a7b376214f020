"""Predict the time of a step with data in memory, from steps with small data in a cache.

The read curve (the measured read speed at each data size) shows how much longer it takes to
read a byte from memory than from a cache. The additional time of a step is proportional to the
number of times that the step reads its data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Reads(NamedTuple):
    """How often a step reads its data.

    `usual` is the assumed number of reads. The upper end of a prediction's interval is computed
    from `most` reads.
    """

    usual: float
    most: float


ONE_PASS = Reads(1.2, 3.2)
"""Number of times that a step reads its data, if it works on blocks that fit in a cache.

The measured numbers were 1 to 2.
"""

SEVERAL_PASSES = Reads(3.2, 9.0)
"""Number of times that a step reads its data, if each matrix product reads all rows anew.

The measured numbers were 2 to 5, for JAX with 2 to 200 features.
"""

PLAIN = Reads(4.0, 12.0)
"""Number of times that a step reads its data, if the step allocates temporary arrays.

Plain NumPy transfers as many bytes as 4 reads of the data. A step can take as long as 12 reads,
because large temporary arrays cause page faults.
"""


@dataclass(frozen=True)
class Uncached:
    """Additional time of a step for rows that are read from memory instead of a cache.

    Attributes
    ----------
    bend : float
        Number of rows beyond which each further row takes longer. It is the larger of two
        numbers: the rows that fit in the cache, and the largest measured number of rows.
    more : float
        Additional seconds of each row beyond `bend`, because memory is slower than the cache.
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
        """Compute the additional time of a step whose rows do not fit in a cache.

        The result is None if there is no read curve.

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
        """Return how many seconds longer a step takes than if all its rows were in a cache."""
        return self.more * max(0.0, rows - self.bend)

    def error_at(self, rows: float) -> float:
        """Return the relative error of the predicted time of a step with `rows` rows.

        The error comes from the rows that do not fit in the cache. The result is 0 if `rows` is
        at most `bend`.
        """
        return self.error * max(0.0, 1 - self.bend / rows)
