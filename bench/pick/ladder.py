"""Choose the numbers of rows that a pick can measure, such as 100, 300, 1000, 3000.

This list of sizes is called the ladder. Each number of rows in it is a rung.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from bench.pick.known import Known
from bench.pick.near import SCOUT_BYTES
from bench.pick.peaks import CAUTION

LEAST_MEMORY_BYTES = 32_000_000
"""Lower limit of `end_bytes`, the data size at which the list of sizes ends: 32 MB."""

FAR = 3
"""A request with at least 3 · `end_bytes` bytes of data makes the list of sizes longer.

The list then ends at 3 · `end_bytes`. For smaller requests, the list ends at `end_bytes`.
"""

BYTES_A_SECOND = 1.5e8
"""Bytes of data that are estimated to be prepared in one second: 150 MB.

Preparing data means to generate them and to compute the reference result.
"""

DATA_SHARE = 0.3
"""A size is left out if generating its data would take more than 30 % of the time budget."""

FIRST_SHARE = 0.02
"""A library is first measured with data whose generation takes at most 2 % of the time budget.

The limit is used only for descents that take `bench.pick.known.LONG_S` seconds or longer.
"""


def half_decades() -> Iterator[int]:
    """Yield the numbers of rows 100, 300, 1000, 3000, and so on without end."""
    for power in itertools.count(2):
        yield 10**power
        yield 3 * 10**power


def sizes(known: Known) -> list[int]:
    """Return the numbers of rows to measure, ascending.

    - The sizes are 100, 300, 1000, 3000 and so on, up to the first size whose data are too
      large for the caches. If the request has far more data than this size (`FAR`), a larger
      size is added.
    - The request's number of rows is added.
    - Sizes are left out if their data can exceed the memory, or if generating the data would
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
    """Return the data size in bytes at which the list of sizes to measure ends.

    Data of this size are read from memory, because they do not fit in the caches.
    """
    return max(LEAST_MEMORY_BYTES, known.regime_bytes)


def scout(known: Known, ladder: list[int]) -> int:
    """Return the number of rows with which a backend's setup is measured for the first time.

    It is the largest size in `ladder` with at most 8 MB of data (`SCOUT_BYTES`) and at most the
    request's number of rows. If there is no such size, it is the smallest size.
    """
    target = known.request.rows
    cheap = [n for n in ladder if n <= target and known.nbytes(n) <= SCOUT_BYTES]
    return max(cheap, default=ladder[0])


def first_sizes(known: Known, ladder: list[int], *, long: bool) -> list[int]:
    """Return the two numbers of rows at which steps are timed first: a small and a large size.

    - For a short descent, the large size is the result of `scout`.
    - For a long descent, the large size is the smallest size in `ladder` whose data do not fit
      in the caches. It must also have at most as many rows as the request, and data that are
      generated quickly enough (`FIRST_SHARE`). If there is no such size, the result of `scout`
      is used.
    - The small size has at most a thirtieth of the large size's rows. If there is no such size,
      only the large size is returned.
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
    """Return the `count` sizes in `ladder` that are nearest to `rows`, the nearest first."""
    return sorted(ladder, key=lambda n: (abs(math.log(n / rows)), n))[:count]
