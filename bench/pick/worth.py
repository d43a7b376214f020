"""Compute the value of a further measurement: by how much it reduces the expected regret.

The regret of a pick is its total time minus the lowest total time. The total times are
uncertain, so the cost models draw random values of each total time. The expected regret is the
mean regret over these draws. A measurement makes a total time less uncertain, which reduces the
expected regret.

The next child process is the one with the highest value per second. The value is computed as in
the expected improvement of Jones, Schonlau and Welch (J. Global Optim. 13, 1998) and in the
knowledge gradient of Frazier, Powell and Dayanik (SIAM J. Control Optim. 47, 2008).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bench.pick import ladder
from bench.pick.draws import bounded
from bench.pick.hope import hopes
from bench.pick.known import Known, is_gram
from bench.pick.model import CostModel
from bench.pick.ties import choose

REGRET, REGRET_FROM_STORE = 0.003, 0.02
"""Expected regret at which no further measurement is needed, as a fraction of the total time.

Regret is the time lost with a wrong pick. `REGRET` is used after new measurements.
`REGRET_FROM_STORE` is used if all measurements come from the store of earlier results.
"""

REGRET_CLEAR = 0.001
"""Largest expected regret at which the uncertainty of the pick's total time is ignored.

The constant is a fraction of the total time. It is used if all measurements come from the store
of earlier results, and if the setup of the picked backend was measured.
"""

DECIDED, WIDEST = 0.15, 0.4
"""Largest accepted uncertainty of the pick's total time, as a fraction of the total time.

The uncertainty is half the width of the 90 % interval of the total time. `DECIDED` is used
after new measurements. `WIDEST` is used if all measurements come from the store of earlier
results.
"""

NARROW = 0.05
"""Fraction of `Worth.spread` that is added to the gain of measuring the picked backend.

A measurement of the picked backend also narrows the interval of its total time.
"""


@dataclass(frozen=True)
class Worth:
    """The picks, their expected regret, and the value of measuring each backend.

    Attributes
    ----------
    picks : tuple of str
        The best of all backends, and the best of all backends other than `gram`. The tuple has
        one backend if the two are the same.
    regret : float
        Expected regret of a pick, as a fraction of the pick's total. With two picks, this is
        the larger of two values.
    spread : float
        Half-width of the interval of a pick's total, as a fraction of the total. With two
        picks, this is the larger of two values.
    gains : dict
        The keys are backends. The values are fractions of the pick's total: how much the
        expected regret would fall if the backend's total were known exactly.
    """

    picks: tuple[str, ...]
    regret: float
    spread: float
    gains: dict[str, float]


def worth(known: Known) -> Worth:
    """Compute the value of measuring each backend: by how much the expected regret would fall.

    Regret is the time lost with a wrong pick. At least one cost model must be complete, which
    means that it can predict a total time.
    """
    n, k = known.request.rows, known.request.iterations
    picks, regrets, spreads = [], [0.0], [0.0]
    gains: dict[str, float] = {}
    lacking = [b for b in known.live if not known.models[b].complete]
    draws = {m.backend: bounded(m.expected(n, k)) for g in known.groups() for m in g}
    for group in known.groups():
        if not group:
            continue
        name, _ = choose([m.at_usual_throughput for m in group], n, k)
        assert name is not None  # noqa: S101 the group has models
        total, mine = known.total(known.models[name]), draws[name]
        rivals = {
            m.backend: np.maximum(0.0, draws[m.backend] - _doubt_s(known, m))
            for m in group
            if m.backend != name
        }
        least = np.min([*rivals.values(), mine], axis=0)
        lost = float(np.mean(mine - least)) / total.median
        picks.append(name)
        regrets.append(lost)
        spreads.append(total.spread)
        grams = any(is_gram(m.backend) for m in group)
        rivals |= {b: hopes(known, b) for b in lacking if grams or not is_gram(b)}
        gains[name] = gains.get(name, 0.0) + lost + NARROW * total.spread
        for backend, its in rivals.items():
            gain = float(np.mean(np.maximum(0.0, mine - its))) / total.median
            gains[backend] = gains.get(backend, 0.0) + gain
    return Worth(tuple(dict.fromkeys(picks)), max(regrets), max(spreads), gains)


def _doubt_s(known: Known, model: CostModel) -> float:
    """Return by how many seconds a backend's setup time is possibly overestimated.

    A measured time can contain pauses, and the time of placing the data can be extrapolated
    from fewer rows. See `bench.pick.doubt`.
    """
    largest, *_ = ladder.near(ladder.sizes(known), known.request.rows, 1)
    placed = any(s.rows >= largest for s in model.observations.place)
    return known.paused_s(model) + (0.0 if placed else known.extrapolated_s(model))


def removed(model: CostModel, known: Known, *, step: int = 0, setup: int = 0) -> float:
    """Return the fraction by which one more measurement reduces the variance of a total time.

    The total time is the predicted time of the request's whole descent.

    Parameters
    ----------
    model : CostModel
    known : Known
    step, setup : int
        Number of rows of the additional measurement of a step, or of a setup. 0 stands for no
        additional measurement of this kind.
    """
    before = sum(_variances(model, known, 0, 0))
    after = sum(_variances(model, known, step, setup))
    return max(0.0, 1 - after / before) if before > 0 else 0.0


def _variances(model: CostModel, known: Known, step: int, setup: int) -> Iterator[float]:
    n, k = known.request.rows, known.request.iterations
    of_step, of_setup = model.mean_errors(n, step, setup)
    yield (k * model.step_s(n) * of_step) ** 2
    yield (model.place_s(n) * of_setup) ** 2
    yield (model.first_call_s(n) * of_setup) ** 2
