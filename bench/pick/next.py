"""What to measure next: a pure function of what is known and the time that is left.

1. The read curve tells from which size on data are read from memory.
2. Every library is looked at before any is measured at length: the first library
   whole, then the most promising technique of each other one, then the rest. A
   backend that has lost by then is excluded without a look (successive elimination:
   Even-Dar, Mannor and Mansour, J. Mach. Learn. Res. 7, 2006).
3. Then each child goes where it removes the most expected regret per second
   (`bench.pick.worth`), until the pick is certain or the budget is spent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from backends.names import Name
from bench.measure.plan import Task
from bench.measure.read_curve import SMALLEST_BYTES as CURVE_BYTES
from bench.pick import ladder
from bench.pick.expense import SETUP, STEP, cost_s, is_slow
from bench.pick.known import SURE, Known, is_gram
from bench.pick.model import CostModel
from bench.pick.recommend import plainness
from bench.pick.worth import (
    DECIDED,
    REGRET,
    REGRET_CLEAR,
    REGRET_FROM_STORE,
    WIDEST,
    removed,
    worth,
)
from bench.results.case import READ, SMALLEST_BYTES, Case

READ_CURVE = Task("read curve", "read_curve", ())
"""The task that is no child: this process reads memory itself."""

PROMISING = ("parallel", "blocked", "onepass", "analytic", "loop")
"""Techniques that are looked at first: each is usually the fastest loop of its library."""

ALIKE = 1.0
"""Decades within which one size's setup stands for another's at a first look."""

PASSES, SETUP_PASSES = 5, 3
"""Processes that measure a case at the most: its steps, and its setup."""

LONG_S = 20.0
"""A descent of this many seconds is decided by its steps: they are measured before setups."""

CERTAIN = 1.02
"""Margin of that wait, so that what was given up counts as excluded in spite of rounding."""

SLACK = 3
"""Time that a setup's child may need beside the setup, relative to the shortest child."""

SHARE = 0.2
"""Share of the budget that one first look may take while others were not looked at."""

LEAST_SHARE_S = 8.0
"""Seconds that a first look may take in any case."""


def next_task(known: Known, left: float) -> Task | None:
    """Return what to measure next; None if the request is answered, or nothing fits.

    Parameters
    ----------
    known : Known
    left : float
        Seconds of the budget that are left.
    """
    if left <= 0 or not known.live or answered(known):
        return None
    target = known.nbytes(known.request.rows)
    if not known.has_curve and target > CURVE_BYTES and not _read(known):
        return READ_CURVE
    for task in _first_looks(known):
        if cost_s(known, task) <= left:
            return task
    return _most_valuable(known, left)


def _read(known: Known) -> bool:
    """Return whether this pick has measured the read curve."""
    return any(s.suite == READ_CURVE.suite for s in known.spent)


def answered(known: Known) -> bool:
    """Return whether what is known answers the request well enough.

    An answer from the store may be less certain than one that is being measured.
    """
    if not all(known.models[name].complete for name in known.live):
        return False
    found = worth(known)
    if known.spent:
        return found.regret <= REGRET and found.spread <= DECIDED
    rungs = ladder.sizes(known)
    picks = [known.models[name] for name in found.picks]
    if found.regret <= REGRET_CLEAR and all(_set_up(known, m, rungs) for m in picks):
        return True
    narrow = found.spread <= WIDEST or all(m.largest >= rungs[-1] for m in picks)
    return found.regret <= REGRET_FROM_STORE and narrow


def _set_up(known: Known, model: CostModel, rungs: list[int]) -> bool:
    """Return whether a backend was set up with data like the first rung's."""
    rows = ladder.scout(known, rungs)
    seen = model.observations.place
    return any(abs(math.log10(s.rows / rows)) <= ALIKE for s in seen)


def patience_s(known: Known, task: Task) -> float:
    """Return the seconds after which a first setup is given up: it has lost by then.

    While other backends were not looked at, one of them may take only a share of the
    budget; what was given up is tried again at the end.
    """
    if task.suite != SETUP or not known.spent:
        return math.inf
    name = Case.parse(task.cases[0]).backend
    model, rival = known.models[name], known.rival(name)
    if model.observations.place or rival is None:
        return math.inf
    lost = CERTAIN * known.total(rival).high / SURE + start_s(known)
    unseen = [m for m in known.models.values() if m.backend in known.live and not m.complete]
    if len(unseen) > 1 and name not in known.at_least:
        lost = min(lost, max(LEAST_SHARE_S, SHARE * known.budget))
    return lost


def start_s(known: Known) -> float:
    """Return the seconds that a setup's child may need beside the setup."""
    return SLACK * min((s.seconds for s in known.spent if s.cases), default=0.0)


def _families(names: Iterable[str]) -> list[list[str]]:
    """Group the backends by library and device, in order."""
    found: dict[tuple[str, str], list[str]] = {}
    for text in names:
        name = Name.parse(text)
        found.setdefault((name.library, name.device), []).append(text)
    return list(found.values())


def _first_looks(known: Known) -> Iterator[Task]:
    """Yield the children that look at a backend for the first time, in order."""
    rungs = ladder.sizes(known)
    first, *others = _families(known.models)
    yield from _setups(known, sorted(first, key=plainness), rungs)
    yield from _steps(known, first, rungs, promising=_promising(first))
    for family in others:
        name = _promising(family)
        yield from _setups(known, [name], rungs)
        yield from _steps(known, [name], rungs, promising=name)
    for slow in (False, True):
        for family in (first, *others):
            rest = [name for name in family if is_slow(name) == slow]
            loops = [name for name in rest if not is_gram(name)]
            if _long(known):
                yield from _steps(known, loops, rungs, before_setup=True)
            yield from _setups(known, sorted(rest, key=plainness), rungs, again=True)
            yield from _steps(known, rest, rungs)


def _promising(family: Sequence[str]) -> str:
    """Return the backend of a family that is looked at first."""

    def rank(name: str) -> tuple[int, bool]:
        technique = Name.parse(name).technique
        at = PROMISING.index(technique) if technique in PROMISING else len(PROMISING)
        return at, is_gram(name) or is_slow(name)

    return min(family, key=rank)


def _long(known: Known) -> bool:
    """Return whether the fastest descent lasts so long that its steps decide."""
    lows = [known.total(m).median for group in known.groups() for m in group]
    return bool(lows) and min(lows) >= LONG_S


def _setups(
    known: Known, names: Iterable[str], rungs: list[int], *, again: bool = False
) -> Iterator[Task]:
    """Yield a child for each backend that was never set up with data like the first rung's."""
    rows = ladder.scout(known, rungs)
    for name in names:
        if name not in known.live or not known.fits(name, rows):
            continue
        alike = _set_up(known, known.models[name], rungs)
        tries = known.tries(SETUP, str(_case(known, name, rows)))
        if not alike and tries < (2 if again and name in known.at_least else 1):
            yield _setup(known, name, rows)


def _steps(
    known: Known,
    names: Iterable[str],
    rungs: list[int],
    *,
    promising: str = "",
    before_setup: bool = False,
) -> Iterator[Task]:
    """Yield one child that times steps at the first sizes where they are lacking.

    The promising backend is also timed at a size that is read from memory.
    """
    cases = []
    for name in names:
        if name not in known.live:
            continue
        seen = known.models[name].observations
        wanted = [n for n in ladder.first_sizes(known, rungs) if not _stepped(known, name, n)]
        if len(wanted) < len(ladder.first_sizes(known, rungs)):
            wanted = []  # a first look was had, here or in the store
        if name == promising:
            wanted += [n for n in ladder.large(known, rungs) if not _stepped(known, name, n)]
        if seen.place or before_setup:
            cases += [_case(known, name, n) for n in wanted if known.fits(name, n)]
    if cases:
        yield _step_task(known, cases)


def _stepped(known: Known, name: str, rows: int) -> int:
    """Return how many processes timed, or tried to time, steps of a backend."""
    done = sum(s.rows == rows for s in known.models[name].observations.step)
    return max(done, known.tries(STEP, str(_case(known, name, rows))))


def _most_valuable(known: Known, left: float) -> Task | None:
    """Return the child that removes the most expected regret per second; None if none does."""
    if not any(known.groups()):
        return None
    gains = worth(known).gains
    best: tuple[float, Task | None] = (0.0, None)
    for task, gain in _options(known, gains):
        cost = cost_s(known, task)
        if cost <= left:
            best = max(best, (gain / cost, task), key=lambda pair: pair[0])
    return best[1]


def _options(known: Known, gains: dict[str, float]) -> Iterator[tuple[Task, float]]:
    """Yield every child that could measure again, and what it may gain."""
    rungs, rows = ladder.sizes(known), known.request.rows
    live = [name for name in known.live if gains.get(name, 0.0) > 0]
    for family in _families(live):
        for n in ladder.near(rungs, rows, 2):
            of = {
                name: gains[name] * removed(known.models[name], known, step=n)
                for name in family
                if known.fits(name, n) and _stepped(known, name, n) < PASSES
            }
            for some in _leading(of):
                yield (
                    _step_task(known, [_case(known, name, n) for name in some]),
                    sum(of[name] for name in some),
                )
        for name in family:
            for n in ladder.near(rungs, rows, 1):
                seen = known.models[name].observations.place
                done = sum(s.rows == n for s in seen)
                tries = known.tries(SETUP, str(_case(known, name, n)))
                if known.fits(name, n) and max(done, tries) < SETUP_PASSES:
                    share = removed(known.models[name], known, setup=n)
                    yield _setup(known, name, n), gains[name] * share


def _leading(gains: dict[str, float]) -> Iterator[list[str]]:
    """Yield the most valuable backend alone, then with the next, and so on."""
    order = sorted((name for name in gains if gains[name] > 0), key=lambda b: -gains[b])
    for k in range(1, len(order) + 1):
        yield order[:k]


def _case(known: Known, name: str, rows: int) -> Case:
    return Case(name, rows, known.request.features, known.request.dtype)


def _setup(known: Known, name: str, rows: int) -> Task:
    case = str(_case(known, name, rows))
    return Task(_unused(known, f"set-up {case}"), SETUP, (case,), cold=True)


def _step_task(known: Known, cases: Sequence[Case]) -> Task:
    """Return one child for these cases, size by size, each size with a read of its bytes."""
    rows: list[str] = []
    for size in sorted({case.size for case in cases}):
        mine = [case for case in cases if case.size == size]
        rows += map(str, mine)
        if mine[0].device == "cpu" and mine[0].bytes_per_step >= SMALLEST_BYTES:
            rows.append(str(Case(READ, *size)))
    return Task(_unused(known, f"steps, {cases[0].library}"), STEP, tuple(rows))


def _unused(known: Known, name: str) -> str:
    """Return a task's name that no child of this pick has had."""
    return f"{name}, {len(known.spent) + 1}"
