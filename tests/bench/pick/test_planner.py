"""Test the function that decides what to measure next, in made-up situations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from bench.measure.plan import Task
from bench.pick import ladder, looks
from bench.pick.curves import Sample
from bench.pick.expense import SETUP, STEP, cost_s
from bench.pick.known import Known, Setting, Spent
from bench.pick.model import CostModel
from bench.pick.observations import Observations
from bench.pick.planner import READ_CURVE, answered, next_task, patience_s
from bench.pick.recommend import Request
from bench.pick.throughput import MemoryThroughput
from bench.results.case import Case
from tests.support.models import SIZES, observed

CACHE = 32 << 20

EVERYTHING = 10**12

ROUGH = replace(observed(overhead=1.0, step=(1e-5, 1e-9), sizes=SIZES[:6]), imports=())
"""Observations with a long setup and fast steps."""


def situation(
    models: dict[str, Observations],
    rows: int = 10_000_000,
    iterations: int = 1000,
    *,
    spent: Sequence[Spent] = (),
    memory: int = EVERYTHING,
    cache: int = CACHE,
    curve: bool = True,
) -> Known:
    request = Request(rows, 1, iterations, "float32", {"cpu": memory})
    setting = Setting(request, tuple(models), {}, "code", 2, memory, {})
    fitted = {name: CostModel(name, seen, 1, "float32", cache) for name, seen in models.items()}
    return Known(setting, 60.0, fitted, MemoryThroughput(cache), curve, {}, tuple(spent))


NUMPY = replace(observed(overhead=0.001, step=(1e-5, 1e-9), sizes=SIZES[:6]), imports=())


def test_the_same_situation_has_the_same_answer_and_stays_as_it_is() -> None:
    known = situation({"numpy": NUMPY, "torch": Observations()})
    first = next_task(known, 60.0)
    assert first is not None
    assert next_task(known, 60.0) == first
    assert known == situation({"numpy": NUMPY, "torch": Observations()})


def test_the_read_curve_comes_first_where_data_leave_the_first_caches() -> None:
    unread = situation({"numpy": Observations()}, curve=False)
    assert next_task(unread, 60.0) == READ_CURVE
    small = situation({"numpy": Observations()}, rows=100, curve=False)
    assert next_task(small, 60.0) != READ_CURVE
    tried = situation(
        {"numpy": Observations()}, curve=False, spent=[Spent("read_curve", (), 2)]
    )
    assert next_task(tried, 60.0) != READ_CURVE


def test_the_first_library_is_looked_at_whole_before_others() -> None:
    """Check that one process measures all techniques of the first library."""
    names = ("torch", "torch:analytic", "numpy")
    known = situation({name: Observations() for name in names})
    task = next_task(known, 60.0)
    assert task is not None
    backends = {Case.parse(case).backend for case in task.cases} - {"read"}
    assert (backends, task.suite) == ({"torch", "torch:analytic"}, STEP)


@pytest.mark.parametrize(("iterations", "suite"), [(100_000, STEP), (1, SETUP)])
def test_a_long_descent_is_decided_by_steps_and_a_short_one_by_setups(
    iterations: int, suite: str
) -> None:
    known = situation({"numpy": ROUGH, "torch": Observations()}, iterations=iterations)
    task = next_task(known, 60.0)
    assert task is not None
    assert task.suite == suite
    assert {Case.parse(c).backend for c in task.cases} - {"read"} == {"torch"}


def test_what_has_lost_is_not_measured() -> None:
    slow = Observations(imports=(100.0,))
    known = situation({"numpy": NUMPY, "torch": slow}, iterations=10, rows=1000)
    assert "the setup of torch alone" in known.excluded["torch"]
    task = next_task(known, 60.0)
    assert task is None or all("torch" not in case for case in task.cases)


def test_steps_alone_can_prove_that_a_backend_has_lost() -> None:
    slow = Observations(step=tuple(Sample(n, 1e-7 * n) for n in (10_000, 10_000_000)))
    known = situation({"numpy": NUMPY, "torch": slow})
    reason = "its measured parts alone take longer than the whole descent with numpy"
    assert known.excluded["torch"] == reason
    assert known.unmeasured()["torch"] == known.excluded["torch"]


def test_time_goes_to_rivals_that_may_win() -> None:
    """Check that only backends with nearly equal totals are measured again."""
    once = (100, 10_000, 1_000_000, 10_000_000)
    near = replace(observed(overhead=0.001, step=(1e-5, 1.02e-9), sizes=once), imports=())
    known = situation(
        {"numpy": NUMPY, "numpy:blocked": near, "torch": observed(step=(1e-5, 2e-8))},
        spent=[Spent(STEP, ("numpy/100x1/float32",), 2.0)],
    )
    task = next_task(known, 60.0)
    assert task is not None
    names = {Case.parse(c).backend for c in task.cases} - {"read"}
    assert names <= {"numpy", "numpy:blocked"}


def test_nothing_is_measured_that_does_not_fit_into_the_time_left() -> None:
    known = situation({"numpy": NUMPY, "torch": Observations()})
    for left in (0.0, 0.5, 3.0, 10.0, 60.0):
        task = next_task(known, left)
        assert task is None or cost_s(known, task) <= left


def test_one_backend_that_is_known_well_needs_nothing() -> None:
    known = situation({"numpy": NUMPY})
    assert answered(known)
    assert next_task(known, 60.0) is None


def test_a_first_setup_is_waited_for_as_long_as_it_may_win() -> None:
    """Check how long the first setup of a backend may take.

    It may take about as long as the best total so far. While other backends wait, it may take a
    fifth of the budget.
    """
    started = [Spent(SETUP, ("numpy/100x1/float32",), 1.0)]
    short = situation({"numpy": NUMPY, "torch": Observations()}, 1000, 1, spent=started)
    task = next(t for t in [next_task(short, 60.0)] if t)
    rival = short.total(short.models["numpy"]).high
    assert rival < patience_s(short, task) < rival + 10
    more = {"numpy": NUMPY, "torch": Observations(), "jax": Observations()}
    others = situation(more, 10**9, 10**6, spent=started)
    task = replace(task, cases=("torch/1000000x1/float32",))
    assert patience_s(others, task) == pytest.approx(0.2 * 60)


@pytest.mark.parametrize("cache", [1 << 20, 32 << 20, 1100 << 20])
def test_the_ladder_ends_where_data_are_read_from_memory(cache: int) -> None:
    known = situation({"numpy": NUMPY}, rows=10**12, cache=cache)
    known = replace(known, budget=10_000.0)
    *_, before, last = ladder.sizes(known)
    end = ladder.FAR * max(ladder.LEAST_MEMORY_BYTES, 4 * cache)
    assert known.nbytes(before) < end <= known.nbytes(last)


def test_the_ladder_keeps_within_memory_and_holds_the_request() -> None:
    known = situation({"numpy": NUMPY}, rows=12_345)
    assert 12_345 in ladder.sizes(known)
    tight = situation({"numpy": NUMPY}, rows=10**9, memory=60_000_000)
    assert known.nbytes(ladder.sizes(tight)[-1]) <= 10_000_000


def test_a_process_compiles_once_for_all_sizes_but_jax_for_each() -> None:
    """Fixed bug: Numba's cost was predicted with one compilation for each size.

    Numba's other techniques then did not fit into the budget.
    """
    slow = replace(observed(overhead=5.0), imports=())
    for library, times in (("numba", 1), ("jax", 2)):
        known = situation({library: slow, f"{library}:gram": Observations()})
        cases = tuple(str(Case(f"{library}:gram", n, 1, "float32")) for n in (100, 1_000))
        one, two = (cost_s(known, Task("steps", STEP, cases[:k])) for k in (1, 2))
        assert two - one == pytest.approx(5.0 * (times - 1), abs=1.0)


def test_backends_that_do_not_fit_together_are_measured_one_by_one() -> None:
    """Fixed bug: `numba:gram` was never measured, although it was the fastest."""
    slow = replace(observed(overhead=6.0), imports=())
    names = ("numba", "numba:gram")
    known = situation(
        {"numpy": NUMPY, "numba:parallel": slow} | {name: Observations() for name in names},
        10_000_000,
        100_000,
        spent=[Spent(STEP, (str(Case("numba:parallel", 100, 1, "float32")),), 7.0)],
    )
    (both,) = (t for t in looks.rest(known) if t.suite == STEP)
    left = cost_s(known, both) - 1.0
    task = next_task(known, left)
    assert task is not None
    assert cost_s(known, task) <= left
    measured = {Case.parse(case).backend for case in task.cases} & set(names)
    assert len(measured) == 1
