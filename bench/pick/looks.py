"""List the tasks that measure every library for the first time.

Backends that are excluded meanwhile are left out (`bench.pick.known`). A backend is excluded if
the lower bound of its total time exceeds the upper bound of another backend's total time. This
algorithm is called successive elimination (Even-Dar, Mannor and Mansour, J. Mach. Learn. Res.
7, 2006).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from backends.names import Name
from bench.measure.plan import Task
from bench.pick import ladder
from bench.pick.expense import SETUP, STEP, is_slow
from bench.pick.known import Known, is_gram
from bench.pick.model import CostModel
from bench.pick.ties import plainness
from bench.results.case import READ, SMALLEST_BYTES, Case

PROMISING = ("parallel", "blocked", "analytic", "loop")
"""Techniques that are usually the fastest of their library.

The measurements of a library begin with the first of these techniques that the library has.
"""

ALIKE = 1.0
"""Setup times are similar if their numbers of rows differ by at most a factor of 10.

The constant is the decimal logarithm of this factor.
"""


def families(names: Iterable[str], *, slow_apart: bool = False) -> list[list[str]]:
    """Group the backends by library and device.

    With `slow_apart`, the backends that compile for many seconds are in separate groups: each
    library and device then has one group for them and one for the others.
    """
    found: dict[tuple[str, str, bool], list[str]] = {}
    for text in names:
        name = Name.parse(text)
        key = name.library, name.device, slow_apart and is_slow(text)
        found.setdefault(key, []).append(text)
    return list(found.values())


def first(known: Known) -> Iterator[Task]:
    """Yield the tasks that measure each library for the first time, in the catalogue's order.

    All backends of the catalogue's first library are measured. For every other library and
    device, only the backend that is usually the fastest is measured:

    - For a long descent, one child process measures the backend's setup and its steps.
    - For a short descent, a child process first measures only the setup, because a long setup
      can show that the backend is not the fastest. Another child process then times its steps.
    """
    rungs = ladder.sizes(known)
    mine, *others = families(known.models)
    yield from _steps(known, sorted(mine, key=plainness), rungs, before_setup=True)
    yield from _setups(known, mine, rungs)
    for family in others:
        if any(known.models[name].complete for name in family):
            continue
        best = [promising(family)]
        if known.is_long:
            yield from _steps(known, best, rungs, before_setup=True)
        yield from _setups(known, best, rungs)
        yield from _steps(known, best, rungs)


def rest(known: Known, *, alone: bool = False) -> Iterator[Task]:
    """Yield the tasks that measure the missing setup and step times of backends.

    One task measures the steps of all incompletely measured backends of a library. With
    `alone`, each task covers only one backend.
    """
    rungs = ladder.sizes(known)
    lacking = [n for n in known.live if not known.models[n].complete]
    groups = [[name] for name in lacking] if alone else families(lacking, slow_apart=True)
    for family in groups:
        # For a long descent, the process that times steps measures the setup well enough.
        both = [*_steps(known, family, rungs, before_setup=True)] if known.is_long else []
        yield from both
        if not both:
            yield from _setups(known, family, rungs, again=True)
            yield from _steps(known, family, rungs)


def promising(family: Sequence[str]) -> str:
    """Return the backend with which the measurements of a library begin, see `PROMISING`."""

    def rank(name: str) -> tuple[int, bool]:
        technique = Name.parse(name).technique
        at = PROMISING.index(technique) if technique in PROMISING else len(PROMISING)
        return at, is_gram(name) or is_slow(name)

    return min(family, key=rank)


def _setups(
    known: Known, names: Iterable[str], rungs: list[int], *, again: bool = False
) -> Iterator[Task]:
    """Yield a task for each backend of `names` whose setup must be measured.

    A backend is left out if its setup was measured with a similar number of rows before. With
    `again`, a setup that was stopped once is tried a second time.
    """
    rows = ladder.scout(known, rungs)
    for name in names:
        if name not in known.live or not known.fits(name, rows):
            continue
        alike = set_up(known, known.models[name], rungs)
        tries = known.tries(SETUP, str(case_of(known, name, rows)))
        if not alike and tries < (2 if again and name in known.at_least else 1):
            yield setup_task(known, name, rows)


def _steps(
    known: Known, names: Iterable[str], rungs: list[int], *, before_setup: bool = False
) -> Iterator[Task]:
    """Yield at most one task, which measures step times with two numbers of rows.

    `ladder.first_sizes` returns these two numbers. Backends whose steps were measured with one
    of these numbers are left out. Unless `before_setup` is True, backends without a measured
    setup are left out, too.
    """
    sizes = ladder.first_sizes(known, rungs, long=known.is_long)
    cases = []
    for name in names:
        seen = known.models[name].observations
        # Steps at one of the sizes, from this pick or from the store, are enough.
        looked = any(stepped(known, name, n) for n in sizes)
        if name in known.live and (seen.place or before_setup) and not looked:
            cases += [case_of(known, name, n) for n in sizes if known.fits(name, n)]
    if cases:
        yield step_task(known, cases)


def stepped(known: Known, name: str, rows: int) -> int:
    """Return how many processes timed a backend's steps with `rows` rows, or began to."""
    done = sum(s.rows == rows for s in known.models[name].observations.step)
    return max(done, known.tries(STEP, str(case_of(known, name, rows))))


def set_up(known: Known, model: CostModel, rungs: list[int]) -> bool:
    """Return whether the setup of a backend was measured well enough.

    - A setup that had its own process counts if its number of rows differs from the result of
      `ladder.scout` by at most a factor of 10 (`ALIKE`).
    - A setup in a process that also measured steps or other backends counts only if the
      request's data certainly fit in memory. Otherwise, the peak memory of the backend alone
      must be measured, too.
    """
    rows = ladder.scout(known, rungs)
    seen = model.observations
    if seen.shared and not known.may_exceed_memory(model.backend):
        return True
    return not seen.shared and any(abs(math.log10(s.rows / rows)) <= ALIKE for s in seen.place)


def case_of(known: Known, name: str, rows: int) -> Case:
    """Return the benchmark case of a backend with `rows` rows."""
    request = known.request
    return Case(name, rows, request.features, request.dtype, request.loss)


def setup_task(known: Known, name: str, rows: int) -> Task:
    """Return a task that measures a setup and compiles all code anew."""
    case = str(case_of(known, name, rows))
    return Task(_unused(known, f"set-up {case}"), SETUP, (case,), cold=True)


def step_task(known: Known, cases: Sequence[Case]) -> Task:
    """Return one task that times the steps of all cases, from the smallest size to the largest.

    On the CPU, the task also times how fast data of at least 1 MiB are read without computing.
    """
    rows: list[str] = []
    for data in sorted({case.data for case in cases}):
        mine = [case for case in cases if case.data == data]
        rows += map(str, mine)
        if mine[0].device == "cpu" and mine[0].bytes_per_step >= SMALLEST_BYTES:
            rows.append(str(Case(READ, *data)))
    return Task(_unused(known, f"steps, {cases[0].library}"), STEP, tuple(rows))


def _unused(known: Known, name: str) -> str:
    """Return a task name that no other child process of this pick has."""
    return f"{name}, {len(known.spent) + 1}"
