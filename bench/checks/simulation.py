"""Check the recommendations of `pick` on simulated machines (``nox -s simulation``).

Each simulation is called a game. A game makes a random machine, random costs of backends and a
random request. Then `pick` measures the simulated machine and recommends a backend. The costs
of all backends are known, so the game can compute how good the recommendation is.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np

from backends.problem import step_bytes
from bench.checks.drawn import disturb, draw_machine, draw_request, read_again
from bench.checks.made_up import MadeUp, log_uniform
from bench.pick.explorer import Explorer
from bench.pick.known import Setting, is_gram
from bench.pick.recommend import Request, recommend
from bench.results.case import Case
from bench.results.record import Record
from bench.show.mistake import Script

LIMITS = {
    "median": 1.01,
    "95 %": 1.08,
    "worst": 1.25,
    "spread ten times beyond": 0.5,
    "spread hundred times beyond": 0.7,
}
"""Largest allowed values of the statistics that `summary` returns.

- "median", "95 %" and "worst" are quantiles of the regret over all simulations. The regret is
  the total time with the recommended backend ÷ the total time with the fastest backend.
- A spread is half of the width of a predicted interval, divided by the predicted time. "spread
  ten times beyond" is the 90 % quantile of the spreads in simulations whose request has about
  ten times more rows than were measured.
"""

COVERAGE = 0.85, 0.95
"""Smallest and largest allowed coverage.

The coverage is the fraction of simulated total times that lie in their predicted 90 %
intervals.
"""

PROCESSES = 20
"""Number of simulated processes for each recommended backend. The total time of each process is
compared with the interval that `pick` predicted."""

OVERRUN = 0.1
"""Time by which `pick` can exceed its budget, as a fraction of the budget.

`pick` can also exceed the budget by the import time of the library that imports slowest.
"""


@dataclass(frozen=True)
class Game:
    """The result of one simulation.

    Two backends are recommended: the attribute `pick` among all backends, and the attribute
    `loop_pick` among the loops (all backends except `gram`).

    Attributes
    ----------
    regret, loop_regret : float
        Time with `pick` ÷ time with the fastest backend, and time with `loop_pick` ÷ time with
        the fastest loop. These times are without random noise.
    covered : tuple of float
        For each recommended backend: the total time is drawn many times with random noise. The
        value is the fraction of these times that lie in the interval that `pick` predicted.
    spread : float
        Half of the predicted interval's width ÷ the predicted time, for `loop_pick`.
    beyond : float
        log₁₀(requested number of rows ÷ largest number of rows with which `loop_pick` was
        measured). 1 means ten times more rows.
    over_s : float
        Seconds by which `pick` took longer than allowed; 0 or less if it did not.
    unmeasured : tuple of str
        Backends whose true time is below a recommended backend's time, although `pick` neither
        measured them completely nor excluded them.
    """

    seed: int
    request: Request
    pick: str
    best: str
    loop_pick: str
    best_loop: str
    regret: float
    loop_regret: float
    covered: tuple[float, ...]
    spread: float
    beyond: float
    over_s: float
    unmeasured: tuple[str, ...]
    taken_s: float


def play(seed: int, *, after_another: bool = False) -> Game:
    """Simulate `pick` on a random machine; `seed` is the seed of all random numbers.

    With `after_another`, `pick` can use the measurements of an earlier request for another
    number of rows.
    """
    rng = np.random.default_rng(seed)
    gpu = bool(rng.random() < 0.3)
    budget = float(rng.choice([60.0, 60.0, 120.0])) * (1.5 if gpu else 1.0)
    machine = draw_machine(rng, budget, gpu=gpu)
    machine.drift = log_uniform(np.random.default_rng([seed, 2]), 0.02, 0.12)
    disturb(machine, np.random.default_rng([seed, 3]))
    request = draw_request(rng, machine)
    read_again(machine, request.features)
    earlier: list[Record] = []
    if after_another:
        most = machine.memory_bytes / 4 / step_bytes(1, request.features, "float32")
        rows = int(log_uniform(np.random.default_rng([seed, 1]), 100, most))
        earlier = [explored(machine, replace(request, rows=rows), [], budget).record]
        machine.now = 0.0
    return judged(seed, explored(machine, request, earlier, budget), machine, rng)


def explored(
    machine: MadeUp, request: Request, earlier: Sequence[Record], budget: float
) -> Explorer:
    """Measure a simulated machine for a request, and return the explorer that measured.

    `earlier` are records whose measurements the explorer can use.
    """
    setting = Setting(
        request, tuple(machine.costs), machine.machine, "code", 4, machine.memory_bytes, {}
    )
    machine.drift_on()
    with tempfile.TemporaryDirectory() as folder:
        explorer = Explorer(setting, Path(folder), earlier, budget, measure=machine)
        explorer.save = False
        with explorer:
            explorer.explore(lambda *_: None)
    return explorer


def judged(seed: int, explorer: Explorer, machine: MadeUp, rng: np.random.Generator) -> Game:
    """Compare the recommended backends with the fastest; return the result as a `Game`."""
    known, request = explorer.known, explorer.known.request
    answer = recommend(list(known.models.values()), request, explorer.unmeasured())
    cases = {b: Case(b, request.rows, request.features, "float32") for b in machine.costs}
    truth = {b: machine.total_s(case, request.iterations) for b, case in cases.items()}
    loops = [b for b in truth if not is_gram(b)]
    best, best_loop = min(truth, key=truth.__getitem__), min(loops, key=truth.__getitem__)
    pick, loop = answer.pick or "", answer.loop_pick or ""
    covered = []
    for name in dict.fromkeys(filter(None, (pick, loop))):
        total = answer.of(name).total_s
        assert total is not None  # noqa: S101 it was picked by its total
        ones = [
            machine.one_total_s(cases[name], request.iterations, rng) for _ in range(PROCESSES)
        ]
        covered.append(sum(total.low <= one <= total.high for one in ones) / PROCESSES)
    total = answer.of(loop).total_s if loop else None
    largest = known.models[loop].largest if loop else 0
    dearest = max(c.import_s for c in machine.costs.values())
    return Game(
        seed,
        request,
        pick,
        best,
        loop,
        best_loop,
        truth[pick] / truth[best] if pick else np.inf,
        truth[loop] / truth[best_loop] if loop else np.inf,
        tuple(covered),
        total.spread if total else np.inf,
        float(np.log10(request.rows / largest)) if largest else np.inf,
        machine.now - (1 + OVERRUN) * explorer.budget - dearest,
        tuple(
            b
            for b, m in known.models.items()
            if not m.complete
            and b not in known.excluded
            and (truth[b] < truth.get(pick, np.inf) or (b in loops and truth[b] < truth[loop]))
        ),
        machine.now,
    )


def summary(games: Sequence[Game]) -> dict[str, float]:
    """Return statistics of the simulations; the constant `LIMITS` explains most of them."""
    regrets = np.array([r for g in games for r in (g.regret, g.loop_regret)])
    far = {
        name: [g.spread for g in games if low <= g.beyond < high]
        for name, low, high in (("ten", 0.5, 1.2), ("hundred", 1.2, 2.2))
    }
    covered = [c for g in games for c in g.covered]
    return {
        "games": len(games),
        "median": float(np.median(regrets)),
        "95 %": float(np.quantile(regrets, 0.95)),
        "worst": float(regrets.max()),
        "coverage": sum(covered) / len(covered),
        "over budget": sum(g.over_s > 0 for g in games),
        "winners unmeasured": sum(bool(g.unmeasured) for g in games),
        "spread ten times beyond": float(np.quantile(far["ten"] or [0.0], 0.9)),
        "spread hundred times beyond": float(np.quantile(far["hundred"] or [0.0], 0.9)),
    }


def good(figures: dict[str, float]) -> bool:
    """Return whether the statistics of `summary` are within their limits."""
    within = all(figures[name] <= limit for name, limit in LIMITS.items())
    low, high = COVERAGE
    never = not figures["over budget"] and not figures["winners unmeasured"]
    return within and low <= figures["coverage"] <= high and never


@click.command(cls=Script)
@click.option(
    "--games", type=click.IntRange(min=1), default=300, show_default=True, help="Games to play."
)
@click.option(
    "--first",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of the first game.",
)
@click.option(
    "--after-another", is_flag=True, help="Before each game, fill the store with another pick."
)
@click.option(
    "--worst",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="Games to print, the worst first.",
)
def main(games: int, first: int, after_another: bool, worst: int) -> None:
    """Simulate `pick` on random machines, and print statistics of its recommendations.

    The exit code is 1 if the recommendations are worse than allowed.
    """
    seeds = range(first, first + games)
    played = [play(seed, after_another=after_another) for seed in seeds]
    figures = summary(played)
    for name, value in figures.items():
        click.echo(f"{name:28} {value:.3g}")
    for g in sorted(played, key=lambda g: -max(g.regret, g.loop_regret))[:worst]:
        click.echo(
            f"seed {g.seed}: {g.request.rows:.3g} × {g.request.features} × "
            f"{g.request.iterations}: {g.pick} {g.regret:.2f} (best {g.best}), loop "
            f"{g.loop_pick} {g.loop_regret:.2f} (best {g.best_loop}), {g.taken_s:.0f} s"
        )
    sys.exit(0 if good(figures) else 1)


if __name__ == "__main__":
    main()
