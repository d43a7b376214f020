"""Compare the throughput of a step with that of a plain read, which computes nothing."""

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
"""Largest ratio between the requested number of rows and a similar measured number of rows.

A pick measures 100, 300, 1000, 3000 and so on rows, so neighbouring sizes have about this
ratio.
"""


def shares(known: Known, records: Iterable[Record]) -> dict[str, float | None]:
    """Return a dict with the quotient of two throughputs for each backend.

    The quotient is the throughput of a step ÷ the throughput of a plain read, which reads the
    step's data without computing.

    - For rows in the CPU's memory, the quotient is computed from the predicted step time and
      the average read speed of memory. It is None if the backend was timed only with data in a
      cache.
    - For rows in a cache or on a GPU, the quotient was measured at a similar number of rows
      (`near_shares`). It is None if no similar number was measured.

    Two kinds of backends are left out: backends that read no rows in a step (`gram`), and
    backends whose total time cannot be predicted.
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
    """Return a dict with the measured quotient of two throughputs for each backend.

    The quotient is the throughput of a step ÷ the throughput of a plain read, both in bytes/s.
    It comes from the nearest measured size between `rows` ÷ 3 and 3 · `rows` (`AT_MOST`).
    Backends that were not measured in this range are left out.
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
