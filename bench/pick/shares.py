"""Compare the time of a step with the time of reading the same bytes without computing."""

from __future__ import annotations

import math
from collections.abc import Iterable

from backends.names import Name
from bench.pick.known import Known
from bench.pick.near import only_cached
from bench.results.case import Case
from bench.results.record import Record
from bench.results.summary import read_fraction

AT_MOST = 3
"""Largest factor by which a measured number of rows may differ from the request's rows.

Two neighbouring sizes that a pick measures differ by about this factor.
"""


def shares(known: Known, records: Iterable[Record]) -> dict[str, float | None]:
    """Return backend → throughput of its step ÷ throughput of a read without computing.

    - For rows in the CPU's memory, the fraction is computed from the predicted step time and
      the usual speed of memory. It is None if the backend was timed only with data in a cache.
    - For all other rows, the fraction was measured at a similar size (`near_shares`). It is
      None if no size is near enough.

    Techniques that read no rows in a step (`gram`) and incomplete backends are left out.
    """
    request, memory = known.request, known.memory
    nbytes = known.nbytes(request.rows)
    measured = near_shares(records, request.rows, request.features, request.dtype)
    found: dict[str, float | None] = {}
    for name, model in known.models.items():
        parsed = Name.parse(name)
        if parsed.least_squares_only or not model.complete:
            continue
        if parsed.device == "cpu" and memory.bytes_per_s and memory.holds(nbytes):
            share = memory.usual_read_s(nbytes) / model.step_s(request.rows)
            found[name] = None if only_cached(model, request.rows) else share
        else:
            found[name] = measured.get(name)
    return found


def near_shares(
    records: Iterable[Record], rows: int, features: int, dtype: str
) -> dict[str, float]:
    """Return backend → throughput of its step ÷ throughput of a read, from the records.

    The fraction was measured at the size that is nearest to `rows` rows. Sizes that differ from
    `rows` by more than a factor of 3 (`AT_MOST`) are ignored.
    """
    nearest: dict[str, tuple[float, float]] = {}
    for record in records:
        for case in {Case.parse(text) for text in record.request["rows"]}:
            if (case.features, case.dtype) != (features, dtype):
                continue
            away = abs(math.log(case.rows / rows))
            if not case.reads_rows or away > math.log(AT_MOST):
                continue
            share = read_fraction(record, case)
            if share is not None and away <= nearest.get(case.backend, (math.inf, 0.0))[0]:
                nearest[case.backend] = away, share
    return {backend: share for backend, (_, share) in nearest.items()}
