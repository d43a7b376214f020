"""Which loop serves which rows: a table, and a trial where two loops compete."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from backends.numba.cache import Known
from backends.problem import Array

MOST_FEW, MOST_COLUMNS = 4, 8
"""Most features that are sorted out of rows as they lie, and that are laid out in columns."""

FAR_BYTES = 6 << 20
"""Least bytes a thread that come from memory: half of them fit in no second-level cache."""

SHARED_BYTES = range(1 << 20, 1 << 24)
"""Bytes a thread of one feature that may lie in the cache that processors share."""

LONG_BYTES, VERY_LONG_BYTES = 512, 4 << 10
"""Least sizes of a row from memory, in bytes, for which another loop than `STREAMS` can be
faster; shorter rows gain nothing, and from the second size on other rows are tried."""

TRIED_BYTES, TRIED_STEPS = 1 << 25, 4
"""Size of a trial: 32 MB per thread, more than the caches hold, in so many steps; smaller data
are repeated until the trial reads as many bytes."""

TRIALS, LEVEL = 8, 0.95
"""Rounds of a trial, and the fraction of the usual loop's time below which the other is taken.
Now and then two threads share one processor, so the lower quartiles are compared, and the
other loop must also be faster in all rounds but one."""


class Loop(Known):
    """A loop for rows: its numbers are known to the compiler, except `ahead`.

    Parameters
    ----------
    vector_bytes : int
        Length of a vector.
    features : int
        Vectors that each hold one feature of many rows; 1 for long rows.
    places : int
        Ranges of the rows that are read side by side.
    rows : int
        Rows in succession, from each place, that are taken together.
    ahead : int
        Prefetch distance in cache lines; 0 asks for nothing.
    vectors : int
        Vectors that hold a whole row; 0 for rows of any length.
    far : bool
        Whether a prefetch brings lines to the second-level cache only, so that
        long rows in use stay in the first.
    """

    def __init__(
        self,
        vector_bytes: int,
        features: int = 1,
        *,
        places: int = 1,
        rows: int = 1,
        ahead: int = 0,
        vectors: int = 0,
        far: bool = False,
    ) -> None:
        self.vector_bytes, self.features, self.ahead = vector_bytes, features, ahead
        asks = ahead > 0 and rows * places > 1  # one place: asked or not by the same code
        asked = (rows + 1) // 2  # lines while predictions are made; the others come later
        super().__init__(
            f"loop {vector_bytes} {features} {places} {rows} {asks} {vectors} {far}",
            vector_bytes=vector_bytes,
            features=features,
            places=places,
            rows=rows,
            abreast=rows * places,
            vectors=vectors,
            far=far,
            asks=asks,
            asked=asked,
            asked_later=max(1, rows - asked),
        )


LINE, LINE_ASKING = Loop(256), Loop(256, ahead=32)
"""One feature; from the shared cache a prefetch can help. A long vector is an unrolled loop."""

FEW = {d: Loop(64, d, ahead=32) for d in range(2, MOST_FEW + 1)}
COLUMNS = {d: Loop(64, d, ahead=16) for d in range(MOST_FEW + 1, MOST_COLUMNS + 1)}
SHORT = {32 * k: Loop(32, places=2, ahead=64, vectors=k) for k in (2, 4)}
"""Loops by the number of features, and by the most bytes that a row may have."""

STREAMS = Loop(32, places=4)
"""Rows from four places; the hardware foresees each. Rows are seldom aligned, so most loads of
64 bytes would touch two cache lines."""

PAIRS = Loop(64, places=2, rows=2, ahead=64)
ABREAST = Loop(64, rows=8, ahead=128, far=True)
"""Long rows from memory that are asked for in order: two from each of two places, or eight."""


def candidates(x: Array, y: Array, threads: int) -> tuple[Loop, ...]:
    """Return the loops that can be the fastest for such rows, the usual one first.

    x is a line (n,), rows (n, d) or blocks of columns (blocks, d, rows).
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
"""Take so many steps over x and y by a loop, in the calling thread and without the
interpreter's lock."""

_fastest: dict[tuple[tuple[int, ...], str, int], Loop] = {}


def fastest(x: Array, y: Array, threads: int, descend: Descend) -> Loop:
    """Return the loop that takes such rows in the least time; two are tried, once a process.

    Processors differ: a loop that gives one a tenth can cost another more.
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
