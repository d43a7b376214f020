"""Compare the predicted steps with a plain read of the same bytes."""

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
"""Largest factor between the request's rows and a measured size whose share is shown.

Two rungs of the ladder lie this far apart.
"""


def shares(known: Known, records: Iterable[Record]) -> dict[str, float | None]:
    """Return each backend's fraction of the read throughput at the request's rows.

    - Rows read from the CPU's memory: the predicted step is compared with a read at the usual
      memory throughput. The fraction is None for a backend that was timed only in the caches.
    - All other rows: the fraction is the one measured at the nearest size (`near_shares`). It
      is None if no size is near enough.

    Backends that read no rows and backends that are not complete are left out.
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
    """Return each backend's fraction of the read throughput, measured nearest to `rows` rows.

    Sizes that differ by more than a factor of `AT_MOST` are ignored.
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
