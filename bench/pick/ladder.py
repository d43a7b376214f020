"""Choose the sizes that a pick may measure: a ladder of rungs half a decade apart."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from bench.pick.known import Known
from bench.pick.near import SCOUT_BYTES
from bench.pick.peaks import CAUTION

LEAST_MEMORY_BYTES = 32_000_000
"""Smallest data size, in bytes, at which the ladder may end, even if all caches are smaller."""

FAR = 3
"""Size of the request's data from which the ladder gets one more rung, as a multiple of the
data at the ladder's end.

At the ladder's end, a quarter of the data may still come from a cache.
"""

BYTES_A_SECOND = 1.5e8
"""Estimated throughput of generating data and their reference, in bytes/s."""

DATA_SHARE = 0.3
"""Largest share of the budget for generating the largest data of the ladder."""

FIRST_SHARE = 0.02
"""Largest share of the budget for generating the data of a library's first steps, if the
descent is long."""


def half_decades() -> Iterator[int]:
    """Yield the numbers of rows of all rungs: 100, 300, 1000, 3000, and so on."""
    for power in itertools.count(2):
        yield 10**power
        yield 3 * 10**power


def sizes(known: Known) -> list[int]:
    """Return the ladder, ascending: rungs up to data in memory, and the request's rows.

    The last rung is the first one whose data are read from memory; for a request with far
    larger data, it is one rung more (`FAR`). A size is left out if its data may exceed the
    memory, or if generating the data would take too much of the budget (`DATA_SHARE`). If no
    size is left, the ladder consists of the request's rows.
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
    """Return the smallest data size, in bytes, at which the ladder may end."""
    return max(LEAST_MEMORY_BYTES, known.regime_bytes)


def scout(known: Known, ladder: list[int]) -> int:
    """Return the rung at which setups are measured first.

    This is the largest rung with at most 8 MB of data (`SCOUT_BYTES`) and at most as many rows
    as the request. If there is no such rung, it is the smallest rung.
    """
    target = known.request.rows
    cheap = [n for n in ladder if n <= target and known.nbytes(n) <= SCOUT_BYTES]
    return max(cheap, default=ladder[0])


def first_sizes(known: Known, ladder: list[int], *, long: bool) -> list[int]:
    """Return the rungs at which steps are timed first, ascending.

    These are the rung of the first setups (`scout`), and the largest rung with at most a
    thirtieth of its rows. For a long descent, the smallest rung whose data are read from memory
    replaces the rung of the first setups, if generating these data is quick enough.
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
