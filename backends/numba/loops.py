"""Choose the compiled loop over the rows. If two loops can be fastest, both are timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from backends.numba.cache import Known
from backends.problem import Array

MOST_FEW, MOST_COLUMNS = 4, 8
"""Limits on the number of features. With at most `MOST_FEW` features, X is stored by row, and
the features are moved to separate vectors in registers. With more features, but at most
`MOST_COLUMNS`, X is stored by column."""

FAR_BYTES = 6 << 20
"""Limit in bytes per thread: larger data are assumed to be in memory, not in a cache."""

SHARED_BYTES = range(1 << 20, 1 << 24)
"""Sizes of data with one feature, in bytes per thread: from 1 to 16 MiB. Data of these sizes
can be in the cache that all cores share."""

LONG_BYTES, VERY_LONG_BYTES = 512, 4 << 10
"""Row sizes in bytes, for data that are read from memory. From `LONG_BYTES` on, the loop
`PAIRS` can be faster than the usual loop `STREAMS`. From `VERY_LONG_BYTES` on, the loop
`ABREAST` can be faster than `STREAMS`."""

TRIED_BYTES, TRIED_STEPS = 1 << 25, 4
"""A loop is timed with `TRIED_BYTES` bytes of data per thread, in `TRIED_STEPS` steps. 32 MiB
are more than the caches hold. With smaller data, more steps are taken, so that a loop
always reads about 128 MiB per thread."""

TRIALS, LEVEL = 8, 0.95
"""If `candidates` returns two loops, both loops are timed `TRIALS` times. The second loop is
chosen if two conditions hold: it was faster at least `TRIALS` − 1 times, and the first quartile
of its times is less than 95 % (`LEVEL`) of the same quartile for the first loop."""


class Loop(Known):
    """A loop over rows; its parameters, except for `ahead`, are constants for the compiler.

    Parameters
    ----------
    vector_bytes : int
        Length of a SIMD vector in bytes.
    features : int
        Number of features if a SIMD vector holds one feature of many rows, otherwise 1.
    places : int
        Number of ranges into which the rows are divided. Each iteration reads rows from every
        range.
    rows : int
        Number of consecutive rows that each iteration reads from a range, if a SIMD vector
        holds numbers of a single row.
    ahead : int
        Prefetch distance in cache lines; 0 for no prefetch.
    whole_rows : bool
        Whether one SIMD vector holds a whole row.
    far : bool
        Whether a prefetch loads lines into the second-level cache only, so that the rows in
        the first-level cache stay there.
    """

    def __init__(
        self,
        vector_bytes: int,
        features: int = 1,
        *,
        places: int = 1,
        rows: int = 1,
        ahead: int = 0,
        whole_rows: bool = False,
        far: bool = False,
    ) -> None:
        self.vector_bytes, self.features, self.ahead = vector_bytes, features, ahead
        asks = ahead > 0 and rows * places > 1  # `LINE` and `LINE_ASKING` share compiled code
        asked = (rows + 1) // 2  # lines to prefetch during the predictions
        super().__init__(
            f"loop {vector_bytes} {features} {places} {rows} {asks} {whole_rows} {far}",
            vector_bytes=vector_bytes,
            features=features,
            places=places,
            rows=rows,
            abreast=rows * places,
            whole_rows=whole_rows,
            far=far,
            asks=asks,
            asked=asked,
            asked_later=max(1, rows - asked),
        )


LINE, LINE_ASKING = Loop(256), Loop(256, ahead=32)
"""Loops for one feature: `LINE` without a prefetch, and `LINE_ASKING` with a prefetch. The
prefetch can help if the data are in the cache that all cores share. The SIMD vectors have 256
bytes, more than a register, so that the compiler unrolls the loops."""

FEW = {d: Loop(64, d, places=2, ahead=32) for d in range(2, MOST_FEW + 1)}
COLUMNS = {d: Loop(64, d, ahead=16) for d in range(MOST_FEW + 1, MOST_COLUMNS + 1)}
"""Loops for data with few features. The keys of `FEW` and `COLUMNS` are numbers of features."""

SHORT = {
    64: Loop(64, places=2, rows=4, ahead=64, whole_rows=True),
    128: Loop(128, places=2, rows=2, ahead=64, whole_rows=True),
}
"""Loops for short rows: `SHORT[64]` for rows of at most 64 bytes, and `SHORT[128]` for rows of
65 to 128 bytes."""

STREAMS = Loop(32, places=4)
"""The usual loop for long rows. Each iteration reads one row from each of four ranges of rows,
and the hardware prefetches each range. SIMD vectors have 32 bytes, because most loads of
64 bytes from unaligned rows would touch two cache lines."""

PAIRS = Loop(64, places=2, rows=2, ahead=64)
"""Loop for long rows in memory, with a prefetch. Each iteration sums two rows from each of two
ranges of rows."""

ABREAST = Loop(64, rows=8, ahead=128, far=True)
"""Loop for very long rows in memory, with a prefetch. Each iteration sums eight consecutive
rows."""


def candidates(x: Array, y: Array, threads: int) -> tuple[Loop, ...]:
    """Return the loops that can be fastest for these rows, the usual loop first.

    x has the shape (n,) for one feature, the shape (n, d) if it is stored by row, or the shape
    (blocks, d, rows) if each block of rows is stored by column.
    """
    if x.ndim == 1:
        shared = (x.nbytes + y.nbytes) // threads in SHARED_BYTES
        return (LINE, LINE_ASKING) if shared else (LINE,)
    d = x.shape[1]
    if x.ndim == 3:
        return (COLUMNS[d],)
    if d in FEW:
        return (FEW[d],)
    row_bytes = d * x.itemsize
    for most, loop in SHORT.items():
        if row_bytes <= most:
            return (loop,)
    if row_bytes < LONG_BYTES or x.nbytes < threads * FAR_BYTES:
        return (STREAMS,)
    return STREAMS, PAIRS if row_bytes < VERY_LONG_BYTES else ABREAST


Descend = Callable[[Array, Array, int, Loop], object]
"""``descend(x, y, steps, loop)`` takes `steps` steps in the calling thread. During the steps,
the interpreter's lock is released."""

_fastest: dict[tuple[tuple[int, ...], str, int], Loop] = {}


def fastest(x: Array, y: Array, threads: int, descend: Descend) -> Loop:
    """Return the fastest loop for these rows.

    If there are two candidates, they are timed once per process, because the faster loop
    differs from processor to processor.
    """
    loops = candidates(x, y, threads)
    key = x.shape, x.dtype.name, threads
    if len(loops) == 1:
        return loops[0]
    if key not in _fastest:
        row_bytes = x.nbytes // len(x)
        rows = min(len(x) // threads, TRIED_BYTES // row_bytes)
        steps = TRIED_STEPS * TRIED_BYTES // (rows * row_bytes)

        def seconds(loop: Loop) -> float:
            began = time.perf_counter()
            parts = [slice(k * rows, (k + 1) * rows) for k in range(threads)]
            for _ in pool.map(lambda part: descend(x[part], y[part], steps, loop), parts):
                pass
            return time.perf_counter() - began

        with ThreadPoolExecutor(threads) as pool:
            for loop in loops:
                seconds(loop)  # compiles
            rounds = [[seconds(loop) for loop in loops] for _ in range(TRIALS)]
        usual, other = np.quantile(rounds, 0.25, axis=0)
        often = sum(b < a for a, b in rounds) >= TRIALS - 1
        _fastest[key] = loops[int(often and other < LEVEL * usual)]
    return _fastest[key]
