"""Estimate the total of a backend that is not completely measured.

Parts of the total that were not measured are estimated optimistically, from other backends.
"""

from __future__ import annotations

import numpy as np

from bench.pick.draws import Floats, errors_of
from bench.pick.expense import SLOW_COMPILE_S, is_slow
from bench.pick.known import Known, is_gram

KIND = 0.7
"""Estimated time of an unmeasured step or placing: 70 % of the fastest other backend's time."""

STEPPED, UNSEEN = 0.3, 0.8
"""Relative error of an estimated total.

`STEPPED` is used if the backend's steps were measured. `UNSEEN` is used if they were not:
backends on one machine differ by factors of two and three.
"""


def hope_s(known: Known, name: str) -> float:
    """Return a backend's total in seconds, with optimistic estimates of unmeasured parts."""
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
    """Return `DRAWS` random values around the total that `hope_s` returns, in seconds."""
    error = STEPPED if known.models[name].observations.step else UNSEEN
    return np.asarray(hope_s(known, name) * np.exp(error * errors_of(name)[3]))
