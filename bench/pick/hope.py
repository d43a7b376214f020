"""Estimate the total of a backend that is not completely measured.

An unmeasured part is estimated optimistically, from the same part of the other backends.
"""

from __future__ import annotations

import numpy as np

from bench.pick.draws import Floats, errors_of
from bench.pick.expense import SLOW_COMPILE_S, is_slow
from bench.pick.known import Known, is_gram

KIND = 0.7
"""Estimate of an unmeasured part, as a fraction of the shortest time of this part among the
other backends."""

STEPPED, UNSEEN = 0.3, 0.8
"""Relative error of an estimated total: `STEPPED` if the backend's steps were measured, else
`UNSEEN`, because backends on one machine differ by factors of two and three.
"""


def hope_s(known: Known, name: str) -> float:
    """Return a backend's total in seconds, with optimistic estimates of unknown parts."""
    model, request = known.models[name], known.request
    seen = model.observations
    if model.complete:
        return known.total(model).median
    complete = [m for m in known.models.values() if m.complete]
    alike = [m for m in complete if is_gram(m.backend) == is_gram(name)]
    steps = [m.step_s(request.rows) for m in alike]
    step = model.step_s(request.rows) if seen.step else KIND * min(steps, default=0.0)
    places = [m.place_s(request.rows) for m in alike]
    placed = min((s.value for s in seen.place), default=0.0)
    place = max(KIND * min(places, default=0.0), placed)
    first = min((s.value for s in seen.first_call), default=SLOW_COMPILE_S * is_slow(name))
    waited = known.at_least.get(name, 0.0)
    return max(model.import_s + place + first, waited) + request.iterations * step


def hopes(known: Known, name: str) -> Floats:
    """Return draws of the estimated total of an incompletely measured backend."""
    error = STEPPED if known.models[name].observations.step else UNSEEN
    return np.asarray(hope_s(known, name) * np.exp(error * errors_of(name)[3]))
