"""Compute the value of a further measurement: the expected regret that it can remove.

The regret of a pick is its total minus the lowest total. The expected regret is the mean of the
regret over all random totals of the models. A measurement reduces the error of a total, and the
expected regret becomes smaller with this error.

The next child process is the one with the highest value per second. This rule is the expected
improvement of Jones, Schonlau and Welch (J. Global Optim. 13, 1998) per unit of cost, as in the
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
"""Largest expected regret with which a pick is certain enough, as a fraction of its total.

`REGRET` holds after new measurements. `REGRET_FROM_STORE` holds if everything comes from the
store.
"""

REGRET_CLEAR = 0.001
"""Expected regret up to which an answer without new measurements may have wide intervals.

It is a fraction of the pick's total. The setups of the picks must have been measured.
"""

DECIDED, WIDEST = 0.15, 0.4
"""Largest half-width of a pick's interval with which it is certain enough.

The value is a fraction of the pick's total. `DECIDED` holds after new measurements. `WIDEST`
holds if everything comes from the store.
"""

NARROW = 0.05
"""Additional value of measuring the pick, because a narrower interval is useful, too.

It is a fraction of the half-width of the pick's interval.
"""


@dataclass(frozen=True)
class Worth:
    """The picks, their expected regret, and the value of measuring each backend.

    Attributes
    ----------
    picks : tuple of str
        The best backend of all, and the best one without `gram` techniques.
    regret : float
        Expected regret of a pick, as a fraction of its total. The larger value of the two
        picks.
    spread : float
        Half-width of a pick's interval, as a fraction of its total. The larger value of the two
        picks.
    gains : dict
        Backend → expected regret that measuring its total exactly would remove, as a fraction
        of the pick's total.
    """

    picks: tuple[str, ...]
    regret: float
    spread: float
    gains: dict[str, float]


def worth(known: Known) -> Worth:
    """Compute the value of measuring each backend; at least one model must be complete."""
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
    """Return how many seconds of a setup time may be wrong; another setup would show it.

    They are pauses of the process and extrapolated placing, see `bench.pick.doubt`.
    """
    largest, *_ = ladder.near(ladder.sizes(known), known.request.rows, 1)
    placed = any(s.rows >= largest for s in model.observations.place)
    return known.paused_s(model) + (0.0 if placed else known.extrapolated_s(model))


def removed(model: CostModel, known: Known, *, step: int = 0, setup: int = 0) -> float:
    """Return the fraction by which another measurement reduces the variance of a total.

    Parameters
    ----------
    model : CostModel
    known : Known
    step, setup : int
        Number of rows at which a step, or a setup, would be measured; 0 for no measurement.
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
