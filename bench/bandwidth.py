"""The yardstick: how fast this machine reads memory, at a given working set.

Every thread sums its own slice as 64-bit integers, which NumPy does with wide
loads and without the interpreter's lock; on the machines tried no other NumPy
reduction, nor a Numba sum, read faster at any size above the first caches.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

SMALLEST_BYTES = 1 << 20
"""Below it a step waits for latency, not bandwidth: no fraction is reported."""

_ROUND_BYTES = 1 << 27  # small working sets are read again and again in a round


class Reader:
    """Reads a buffer of `nbytes` with `threads` threads.

    Attributes
    ----------
    passes : int
        How often a call reads the whole buffer.
    """

    def __init__(self, nbytes: int, threads: int) -> None:
        words = np.ones(max(threads, nbytes // 8), np.int64)
        self.nbytes = words.nbytes
        self.passes = max(1, _ROUND_BYTES // words.nbytes)
        # A zero stride repeats the slice inside one NumPy call.
        self._slices = [
            np.broadcast_to(part, (self.passes, len(part)))
            for part in np.array_split(words, threads)
        ]
        self._pool = ThreadPoolExecutor(threads)

    def __call__(self) -> None:
        """Read the buffer `passes` times."""
        for sums in self._pool.map(_sum_rows, self._slices):
            del sums

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def _sum_rows(repeated: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> object:
    return np.add.reduce(repeated, axis=1)
