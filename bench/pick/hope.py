"""Estimate the total time of a backend of which only some times were measured.

The missing times are estimated from other backends. The estimates are optimistic, so that the
backend is measured if it can be the fastest.
"""

from __future__ import annotations

import numpy as np

from bench.pick.draws import Floats, errors_of
from bench.pick.expense import SLOW_COMPILE_S, is_slow
from bench.pick.known import Known, is_gram

KIND = 0.7
"""Optimistic estimate of an unmeasured time: 70 % of the fastest other backend's time.

It is used for the time of a step and for the time of placing the data.
"""

STEPPED, UNSEEN = 0.3, 0.8
"""Relative error of an estimated total time.

`STEPPED` is used if the backend's steps were measured, and `UNSEEN` if they were not. `UNSEEN`
is large, because the steps of two backends often differ by a factor of two or three.
"""


def hope_s(known: Known, name: str) -> float:
    """Return a backend's total time in seconds, with optimistic estimates of missing times."""
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
    """Return `DRAWS` random total times in seconds, around the optimistic estimate `hope_s`."""
    error = STEPPED if known.models[name].observations.step else UNSEEN
    return np.asarray(hope_s(known, name) * np.exp(error * errors_of(name)[3]))
