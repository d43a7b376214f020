"""Choose the next measurement from a pick's state and the time left.

1. The first task measures the read curve: the read speed at each data size. The task is left
   out for small data, and if the curve was saved before.
2. The next tasks give every library a short first measurement (`bench.pick.looks`).
3. Each later task is the one that reduces the expected regret most per second
   (`bench.pick.worth`), until the answer is certain enough or the budget is spent.

Regret is the time lost with a wrong pick: the total of the picked backend minus the lowest
total.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from bench.measure.plan import Task
from bench.measure.read_curve import SMALLEST_BYTES as CURVE_BYTES
from bench.pick import ladder, looks
from bench.pick.expense import SETUP, STEP, cost_s
from bench.pick.known import SURE, Known
from bench.pick.ties import choose
from bench.pick.worth import (
    DECIDED,
    REGRET,
    REGRET_CLEAR,
    REGRET_FROM_STORE,
    WIDEST,
    removed,
    worth,
)
from bench.results.case import READ, Case

READ_CURVE = Task("read curve", "read_curve", ())
"""Task that measures the read curve: the speed of reading data of each size.

The task runs in this process, without a child process.
"""

PASSES = 12
"""Largest number of processes that measure the same step or the same setup."""

CERTAIN = 1.02
"""Safety factor in the time limit of a setup: 2 % for rounding errors.

A backend whose setup reaches this limit cannot be the fastest.
"""

SLACK = 3
"""Time limit for starting Python, as a multiple of the shortest child process's duration."""

CERTAIN_REGRET = 0.15
"""A pick counts as nearly certain if its expected regret is at most 15 % of its total time.

Regret is the time lost with a wrong pick. `_most_valuable` uses this limit.
"""

SHARE = 0.2
"""Time limit of a backend's first setup, as a fraction of the budget.

The limit applies only while at least one other backend is not completely measured.
"""

STEPS_SHARE = 0.3
"""Time limit of the first measurement of a library's steps, as a fraction of the budget.

The limit applies only while the setup of another library is still unmeasured.
"""

LEAST_SHARE_S = 8.0
"""Smallest time limit, in seconds, that is computed from `SHARE` or `STEPS_SHARE`."""


def next_task(known: Known, left: float) -> Task | None:
    """Return the next task.

    The result is None if no further measurement is needed, or if no task fits in the time that
    is left.

    Parameters
    ----------
    known : Known
    left : float
        Seconds of the budget that are left.
    """
    if left <= 0 or not known.live:
        return None
    if answered(known):  # an answer from the store alone needs no measurement
        return _fresh_setup(known, left) if known.spent else None
    target = known.nbytes(known.request.rows)
    # Data up to the curve's smallest size come from a cache on every machine.
    if not known.has_curve and target > CURVE_BYTES and not _read(known):
        return READ_CURVE
    first = next((t for t in looks.first(known) if cost_s(known, t) <= left), None)
    return first or _fresh_setup(known, left) or _most_valuable(known, left)


def _read(known: Known) -> bool:
    """Return whether this run of ``pick`` has measured the read curve."""
    return any(s.suite == READ_CURVE.suite for s in known.spent)


def answered(known: Known) -> bool:
    """Return whether the models answer the request with enough certainty.

    If this pick has measured nothing and all times come from the store, a less certain answer
    is accepted than after new measurements.
    """
    if not all(known.models[name].complete for name in known.live):
        return False
    found = worth(known)
    if known.spent:
        return found.regret <= REGRET and found.spread <= DECIDED
    rungs = ladder.sizes(known)
    picks = [known.models[name] for name in found.picks]
    if found.regret <= REGRET_CLEAR and all(looks.set_up(known, m, rungs) for m in picks):
        return True
    narrow = found.spread <= WIDEST or all(m.largest >= rungs[-1] for m in picks)
    return found.regret <= REGRET_FROM_STORE and narrow


def patience_s(known: Known, task: Task) -> float:
    """Return the time limit of a task in seconds; infinity for a task without a limit.

    Only a backend's first setup and a library's first steps have limits.

    - A first setup is stopped once it shows that its backend cannot be the fastest.
    - While at least one other backend is not completely measured, a first setup is stopped
      after 20 % of the budget (`SHARE`). It is later measured again without this limit.
    - For a library's first steps, see `_steps_patience_s`.
    """
    if not known.spent:
        return math.inf
    if task.suite == STEP:
        return _steps_patience_s(known, task)
    name = Case.parse(task.cases[0]).backend
    model, rival = known.models[name], known.rival(name)
    if model.observations.place or rival is None:
        return math.inf
    lost = CERTAIN * known.total(rival).high / SURE + start_s(known)
    unseen = [m for m in known.models.values() if m.backend in known.live and not m.complete]
    if len(unseen) > 1 and name not in known.at_least:
        lost = min(lost, max(LEAST_SHARE_S, SHARE * known.budget))
    return lost


def _steps_patience_s(known: Known, task: Task) -> float:
    """Return the time limit, in seconds, of the process that first times a library's steps.

    The limit leaves time for other libraries. The result is infinity (no limit) if the setup of
    every other library was measured, or if no backend is completely measured yet.
    """
    if not any(model.complete for model in known.models.values()):
        return math.inf
    mine = {Case.parse(text).backend for text in task.cases} - {READ}
    if any(known.models[name].observations.step for name in mine):
        return math.inf
    families = looks.families(name for name in known.live if name not in mine)
    unseen = [f for f in families if not any(known.models[n].observations.place for n in f)]
    return max(LEAST_SHARE_S, STEPS_SHARE * known.budget) if unseen else math.inf


def start_s(known: Known) -> float:
    """Return how many seconds a time limit allows for the start of a child process."""
    return SLACK * min((s.seconds for s in known.spent if s.cases), default=0.0)


def _fresh_setup(known: Known, left: float) -> Task | None:
    """Return a task that sets up a picked backend in a fresh process, to measure its memory.

    There are up to two picked backends: the best one, and the best one without the `gram`
    technique. The result is None

    - while a backend that can still be the fastest is not completely measured,
    - if the setups of the picked backends were measured in fresh processes before,
    - if there is too little memory or time for the task.
    """
    if not all(known.models[name].complete for name in known.live):
        return None
    rows = ladder.scout(known, ladder.sizes(known))
    request = known.request
    for group in known.groups():
        name, _ = choose(group, request.rows, request.iterations)
        if name is None or not known.models[name].observations.shared:
            continue
        task = looks.setup_task(known, name, rows)
        tried = known.tries(SETUP, task.cases[0])
        if not tried and known.fits(name, rows) and cost_s(known, task) <= left:
            return task
    return None


def _most_valuable(known: Known, left: float) -> Task | None:
    """Return the task that reduces the expected regret most per second; None if there is none.

    Regret is the time lost with a wrong pick. Only tasks that take at most `left` seconds are
    considered. If the pick is nearly certain (`CERTAIN_REGRET`), time is reserved for the
    backends that are not completely measured. Only the rest of the time is used to measure
    other backends again.
    """
    if not any(known.groups()):
        return next((t for t in looks.rest(known) if cost_s(known, t) <= left), None)
    found = worth(known)
    tasks = [*looks.rest(known)]
    costs = [cost_s(known, task) for task in tasks]
    # No time is reserved for a task that does not fit the time left.
    kept = sum(c for c in costs if c <= left) if found.regret <= CERTAIN_REGRET else 0.0
    if max(costs, default=0.0) > left:
        # A library's backends that do not fit together may fit one by one.
        tasks += looks.rest(known, alone=True)
    unseen = [(task, _gain(found.gains, task)) for task in dict.fromkeys(tasks)]
    rungs = ladder.near(ladder.sizes(known), known.request.rows, 2)
    # Steps from a cache say little about data in memory.
    large = [n for n in rungs if known.nbytes(n) >= known.regime_bytes]
    steps: list[tuple[float, Task]] = []
    for sizes in (large, rungs):
        steps = steps or list(_fitting(known, _steps(known, found.gains, sizes), left - kept))
    setups = _fitting(known, _setups(known, found.gains), left - kept)
    valued = [*_fitting(known, unseen, left), *steps, *setups]
    return max(valued, key=lambda pair: pair[0])[1] if valued else None


def _fitting(
    known: Known, options: Iterable[tuple[Task, float]], most: float
) -> Iterator[tuple[float, Task]]:
    """Yield (gain per second, task) for each task that takes at most `most` seconds.

    The pairs in `options` are (task, gain). The gain is the expected reduction of the regret,
    which is the time lost with a wrong pick.
    """
    for task, gain in options:
        cost = cost_s(known, task)
        if cost <= most:
            yield gain / cost, task


def _gain(gains: dict[str, float], task: Task) -> float:
    """Return the sum of the gains of all backends that a task measures.

    The gain says how much the expected regret would shrink if the backend's total were known
    exactly. Regret is the time lost with a wrong pick.
    """
    backends = {Case.parse(text).backend for text in task.cases} - {READ}
    return sum(gains.get(backend, 0.0) for backend in backends)


def _steps(
    known: Known, gains: dict[str, float], sizes: list[int]
) -> Iterator[tuple[Task, float]]:
    """Yield the tasks that measure step times once more, each as a pair (task, gain).

    The gain is the expected reduction of the regret, which is the time lost with a wrong pick.
    """
    for family in looks.families(_contenders(known, gains)):
        for n in sizes:
            of = {
                name: gains[name] * removed(known.models[name], known, step=n)
                for name in family
                if known.fits(name, n) and looks.stepped(known, name, n) < PASSES
            }
            for some in _leading(of):
                yield (
                    looks.step_task(known, [looks.case_of(known, name, n) for name in some]),
                    sum(of[name] for name in some),
                )


def _setups(known: Known, gains: dict[str, float]) -> Iterator[tuple[Task, float]]:
    """Yield pairs (task, gain). Each task measures the setup of one backend once more.

    The gain is the expected reduction of the regret, which is the time lost with a wrong pick.
    """
    rungs, rows = ladder.sizes(known), known.request.rows
    for name in _contenders(known, gains):
        for n in ladder.near(rungs, rows, 1):
            seen = known.models[name].observations.place
            done = sum(s.rows == n for s in seen)
            tries = known.tries(SETUP, str(looks.case_of(known, name, n)))
            if known.fits(name, n) and max(done, tries) < PASSES:
                share = removed(known.models[name], known, setup=n)
                yield looks.setup_task(known, name, n), gains[name] * share


def _contenders(known: Known, gains: dict[str, float]) -> list[str]:
    """Return the completely measured backends that are worth measuring again."""
    complete = (name for name in known.live if known.models[name].complete)
    return [name for name in complete if gains.get(name, 0.0) > 0]


def _leading(gains: dict[str, float]) -> Iterator[list[str]]:
    """Yield growing lists of backends: the best one, the best two, the best three, and so on.

    The best backends have the largest gains. Backends without a gain are left out.
    """
    order = sorted((name for name in gains if gains[name] > 0), key=lambda b: -gains[b])
    for k in range(1, len(order) + 1):
        yield order[:k]
