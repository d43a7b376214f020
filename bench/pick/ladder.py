"""Choose the numbers of rows that a pick may measure, such as 100, 300, 1000, 3000.

This list of sizes is called the ladder, and each size is a rung.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from bench.pick.known import Known
from bench.pick.near import SCOUT_BYTES
from bench.pick.peaks import CAUTION

LEAST_MEMORY_BYTES = 32_000_000
"""Smallest value of `end_bytes`, even if all caches are much smaller: 32 MB."""

FAR = 3
"""The ladder gets one more rung if the request has at least three times `end_bytes` of data.

Reason: with `end_bytes` of data, a quarter of the data may still come from a cache.
"""

BYTES_A_SECOND = 1.5e8
"""Estimated speed of generating data and computing the reference result, in bytes/s."""

DATA_SHARE = 0.3
"""Largest fraction of the budget that generating the data of a rung may take."""

FIRST_SHARE = 0.02
"""Largest fraction of the budget that generating data for a library's first steps may take.

It limits the size of these data only if the descent is long.
"""


def half_decades() -> Iterator[int]:
    """Yield the numbers of rows of all rungs: 100, 300, 1000, 3000, and so on."""
    for power in itertools.count(2):
        yield 10**power
        yield 3 * 10**power


def sizes(known: Known) -> list[int]:
    """Return the numbers of rows to measure, ascending.

    - The rungs are 100, 300, 1000, 3000 and so on, up to the first rung whose data are read
      from memory. If the request's data are far larger (`FAR`), one more rung follows.
    - The request's number of rows is added.
    - Sizes are left out if their data may exceed the memory, or if generating the data would
      take too much of the budget (`DATA_SHARE`).
    - If no size is left, the result contains only the request's number of rows.
    """
    target = known.request.rows
    most = min(known.memory_of("cpu") / CAUTION, known.budget * BYTES_A_SECOND * DATA_SHARE)
    far = known.nbytes(target) >= FAR * end_bytes(known)
    end = (FAR if far else 1) * end_bytes(known)
    rungs = []
    for rows in itertools.takewhile(lambda n: known.nbytes(n) <= most, half_decades()):
        rungs.append(rows)
        if known.nbytes(rows) >= end:
            break
    if known.nbytes(target) <= most:
        rungs.append(target)
    return sorted(set(rungs)) or [target]


def end_bytes(known: Known) -> int:
    """Return the data size in bytes at which the ladder ends: the data do not fit in caches."""
    return max(LEAST_MEMORY_BYTES, known.regime_bytes)


def scout(known: Known, ladder: list[int]) -> int:
    """Return the rung at which setups are measured first.

    It is the largest rung with at most 8 MB of data (`SCOUT_BYTES`) and at most the request's
    number of rows. If there is no such rung, it is the smallest rung.
    """
    target = known.request.rows
    cheap = [n for n in ladder if n <= target and known.nbytes(n) <= SCOUT_BYTES]
    return max(cheap, default=ladder[0])


def first_sizes(known: Known, ladder: list[int], *, long: bool) -> list[int]:
    """Return a small and a large rung, at which steps are timed first.

    - The large rung for a short descent is the rung of the first setups (`scout`).
    - The large rung for a long descent is the first rung whose data are read from memory. If
      that rung exceeds the request's rows, or if generating its data would take too long
      (`FIRST_SHARE`), `scout`'s rung is used.
    - The small rung has at most a thirtieth of the large rung's rows. If there is no such rung,
      the result contains only the large rung.
    """
    at = scout(known, ladder)
    if long:
        most = known.budget * BYTES_A_SECOND * FIRST_SHARE
        within = [n for n in ladder if n <= known.request.rows]
        large = [n for n in within if end_bytes(known) <= known.nbytes(n) <= most]
        at = large[0] if large else at
    small = [n for n in ladder if n <= at / 30]
    return sorted({*small[-1:], at})


def near(ladder: list[int], rows: int, count: int) -> list[int]:
    """Return the `count` rungs nearest to `rows`, the nearest first."""
    return sorted(ladder, key=lambda n: (abs(math.log(n / rows)), n))[:count]
