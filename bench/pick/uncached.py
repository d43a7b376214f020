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
    """The cost a row beyond the caches.

    Attributes
    ----------
    a_row : float
        Seconds a row in memory.
    error : float
        Relative error of it, beside that of the distance.
    """

    a_row: float
    error: float

    @classmethod
    def of(
        cls, a_row: float, nbytes: int, row_bytes: int, curve: Sequence[tuple[int, float]]
    ) -> Uncached:
        """Add the reads from memory to a row's time in cache.

        Parameters
        ----------
        a_row : float
            Seconds a row at the largest measured size.
        nbytes : int
            Bytes of the largest measured size.
        row_bytes : int
        curve : sequence of tuple
            The read curve: bytes and bytes/s.
        """
        sizes = np.log([size for size, _ in curve])
        seconds = np.array([1 / rate for _, rate in curve])
        here = float(np.interp(math.log(nbytes), sizes, seconds))
        more = row_bytes * max(0.0, float(seconds[-1]) - here)
        if more == 0.0:
            return cls(a_row, 0.0)
        likely = a_row + READS * more
        return cls(likely, math.log((a_row + MOST_READS * more) / likely) / 2)
