"""The sizes that a pick may measure: a ladder, half a decade a rung."""

from __future__ import annotations

import math

from bench.pick.known import Known
from bench.pick.peaks import CAUTION

SCOUT_BYTES = 8_000_000
"""Data of a first setup: 8 MB, or the rows asked for where they are fewer.

With 8 MB all threads are in use, and compilers compile what large data need.
"""

LEAST_MEMORY_BYTES = 32_000_000
"""The ladder ends at 32 MB at the earliest, even where no cache holds as much."""

FAR = 3
"""The ladder has one rung more where the request is this many times beyond its end.

At the end, a quarter of the data may still come from a cache.
"""

BYTES_A_SECOND = 1.5e8
"""Throughput of making data and their reference in a child; it only serves planning."""

DATA_SHARE = 1 / 6
"""Share of the budget that making the largest data of the ladder may take."""

FIRST_SHARE = 0.02
"""Share of the budget that making the data of a first look may take."""


def sizes(known: Known) -> list[int]:
    """Return the ladder: up to data that are read from memory, and the request's rows.

    No size is in it whose memory would not be there, or whose data would take
    too much of the budget to make.
    """
    target = known.request.rows
    most = min(known.memory_of("cpu") / CAUTION, known.budget * BYTES_A_SECOND * DATA_SHARE)
    far = known.nbytes(target) >= FAR * end_bytes(known)
    end = (FAR if far else 1) * end_bytes(known)
    rungs, rows, k = [], 100, 4
    while known.nbytes(rows) <= most:
        rungs.append(rows)
        if known.nbytes(rows) >= end:
            break
        k += 1
        rows = (10 if k % 2 == 0 else 30) * 10 ** (k // 2 - 1)
    if known.nbytes(target) <= most:
        rungs.append(target)
    return sorted(set(rungs)) or [target]


def end_bytes(known: Known) -> int:
    """Return the bytes at which the ladder may end: data of this size are read from memory."""
    return max(LEAST_MEMORY_BYTES, known.regime_bytes)


def scout(known: Known, ladder: list[int]) -> int:
    """Return the rung of the first setups."""
    target = known.request.rows
    cheap = [n for n in ladder if n <= target and known.nbytes(n) <= SCOUT_BYTES]
    return max(cheap, default=ladder[0])


def first_sizes(known: Known, ladder: list[int], *, long: bool) -> list[int]:
    """Return the rungs of the first steps.

    They are a small one, and that of the first setups; for a long descent, the first
    that is read from memory, unless its data take long to make.
    """
    at = scout(known, ladder)
    if long:
        most = known.budget * BYTES_A_SECOND * FIRST_SHARE
        large = [n for n in ladder if end_bytes(known) <= known.nbytes(n) <= most]
        at = large[0] if large else at
    small = [n for n in ladder if n <= at / 30]
    return sorted({*small[-1:], at})


def near(ladder: list[int], rows: int, count: int) -> list[int]:
    """Return the rungs next to so many rows, the nearest first."""
    return sorted(ladder, key=lambda n: (abs(math.log(n / rows)), n))[:count]
