"""Test measuring within a budget, on a machine with made-up costs and a made-up clock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backends.problem import step_bytes
from bench.measure.plan import Task
from bench.pick.explorer import Explorer
from bench.pick.known import Known, Setting
from bench.pick.observations import age, alike
from bench.pick.recommend import Request, recommend
from bench.pick.regime import Regime
from bench.results.case import Case
from tests.support.world import COSTS, World, costs


@pytest.fixture
def world() -> World:
    return World()


Ask = Callable[..., Explorer]


@pytest.fixture
def ask(world: World, tmp_path: Path) -> Ask:
    def explore(
        rows: int = 3_000_000,
        k: int = 1000,
        budget: float = 60.0,
        features: int = 1,
        memory: float = 20e9,
        **more: Any,
    ) -> Explorer:
        request = Request(rows, features, k, "float32", {"cpu": int(memory)})
        names = tuple(world.costs)
        machine = world.machine
        may_use = more.pop("may_use", 20 * 10**9)
        setting = Setting(request, names, machine, "code", 4, may_use, {})
        known = alike(tmp_path, machine, "code")
        explorer = Explorer(setting, tmp_path, known, budget, measure=world, **more)
        with explorer:
            explorer.explore(lambda *_: None)
        return explorer

    return explore


def tasks_of(backend: str, world: World) -> list[Task]:
    return [t for t in world.tasks if any(Case.parse(r).backend == backend for r in t.cases)]


def pick(explorer: Explorer) -> tuple[str | None, str | None]:
    known = explorer.known
    answer = recommend([*known.models.values()], known.request, explorer.unmeasured())
    return answer.pick, answer.loop_pick


def best(rows: int, k: int, world: World, *, loops: bool) -> str:
    names = (b for b in world.costs if not (loops and b.endswith("gram")))
    return min(names, key=lambda b: world.total_s(Case(b, rows, 1, "float32"), k))


@pytest.mark.parametrize("rows", [100, 10_000, 3_000_000, 1_000_000_000])
@pytest.mark.parametrize("k", [1, 1000, 100_000])
def test_the_pick_is_the_best_and_the_budget_holds(
    world: World, ask: Ask, rows: int, k: int
) -> None:
    picked, loop = pick(ask(rows, k))
    assert loop is not None
    assert picked in COSTS
    fastest = best(rows, k, world, loops=True)
    mine, its = (world.total_s(Case(b, rows, 1, "float32"), k) for b in (loop, fastest))
    assert mine <= 1.06 * its
    assert world.now <= 1.1 * 60


def test_twice_the_budget_does_not_change_a_clear_answer(ask: Ask, tmp_path: Path) -> None:
    first = ask(budget=40.0)
    for path in tmp_path.glob("*.json"):
        path.unlink()
    assert pick(first) == pick(ask(budget=80.0))


def test_the_hopeless_are_excluded_with_a_reason(world: World, ask: Ask) -> None:
    explorer = ask(100, 1)
    reason = explorer.unmeasured()["torch"]
    assert "the setup of torch alone takes longer than the whole descent with" in reason
    assert {t.suite for t in tasks_of("torch", world)} == {"test_setup.py"}


def test_what_an_import_alone_rules_out_is_not_set_up(world: World, ask: Ask) -> None:
    """Check that PyTorch is not set up if its known import time exceeds NumPy's total."""
    ask(100, 1, features=2)
    world.tasks.clear()
    ask(100, 1)
    assert tasks_of("numpy", world)
    assert not tasks_of("torch", world)


def test_a_setup_is_given_up_where_it_has_lost(world: World, ask: Ask) -> None:
    """Check that a setup of a minute is stopped if NumPy needs only a second in total."""
    slow = COSTS["torch"].__class__(1.0, 5e-3, 60.0, 1e-6, 5e-11 / 8, 1e-9, 8e9)
    world.costs = {**COSTS, "torch:compile": slow}
    brief = ask(3_000_000, 1)
    assert world.now < 40
    assert "the setup of torch alone" in brief.unmeasured()["torch:compile"]
    asked = len(world.tasks)
    ask(3_000_000, 2)  # the next pick does not try it again
    assert len(world.tasks) == asked
    ask(3_000_000, 10**6, budget=400)  # a long descent waits for it
    assert "test_step.py" in {task.suite for task in tasks_of("torch:compile", world)}


def test_a_setup_is_looked_at_with_data_like_those_asked_for(world: World, ask: Ask) -> None:
    """Check the rows of the first setup: the requested number, but at most 10⁶."""

    def first_setup(rows: int) -> int:
        world.tasks.clear()
        ask(rows, 10**6)
        task = next(t for t in world.tasks if t.suite == "test_setup.py")
        return Case.parse(task.cases[0]).rows

    assert first_setup(100) == 100
    assert first_setup(3_000_000) == 1_000_000


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((10_000_000, 1000), (5_000_000, 2000)),
        ((3_000_000, 100), (2_000_000, 50)),  # brief samples, but one backend is clearly faster
    ],
)
def test_another_question_is_answered_from_the_store(
    world: World, ask: Ask, first: tuple[int, int], second: tuple[int, int]
) -> None:
    ask(*first)
    before = len(world.tasks)
    other = ask(*second)
    assert len(world.tasks) == before
    assert pick(other)[1] == best(*second, world, loops=True)
    assert "0 min old" in age(other.earlier, other.record)


def test_what_was_interrupted_is_kept(world: World, ask: Ask, tmp_path: Path) -> None:
    world.stop_after = 7
    with pytest.raises(KeyboardInterrupt):
        ask()
    (record,) = alike(tmp_path, world.machine, "code")
    assert len([name for name in record.tasks if "read curve" not in name]) == 7
    assert not record.complete
    world.stop_after = None
    ask()
    setups = [r for t in world.tasks for r in t.cases if t.name.startswith("set-up numpy/")]
    assert len(set(setups)) == len(setups)  # not measured again


def test_no_measurement_overwrites_another(world: World, ask: Ask) -> None:
    explorer = ask()
    assert len({task.name for task in world.tasks}) == len(world.tasks)
    assert len(explorer.record.tasks) == len(world.tasks) + 1  # the read curve


def test_a_size_beyond_the_memory_is_never_tried(world: World, ask: Ask) -> None:
    memory = 300_000_000
    explorer = ask(10**9, 100, memory=memory)
    assert world.tasks
    for task in world.tasks:
        for case in map(Case.parse, task.cases):
            assert step_bytes(*case.size) * 1.5 <= memory
    assert pick(explorer)[1] is not None


def test_contenders_climb_further_where_the_request_is_far(world: World, ask: Ask) -> None:
    ask(10**9, 1000)
    tried: dict[str, int] = {}
    for case in (Case.parse(text) for task in world.tasks for text in task.cases):
        tried[case.backend] = max(case.bytes_per_step, tried.get(case.backend, 0))
    assert tried["numba:parallel"] >= 3 * 4 * (32 << 20)
    assert tried["numba:parallel"] > tried["numpy"]


def test_someone_elses_memory_is_not_taken_here(world: World, ask: Ask) -> None:
    ask(10**8, 100, memory=1e12, may_use=10**8)
    sizes = {Case.parse(r).bytes_per_step for t in world.tasks for r in t.cases}
    assert max(sizes) <= 10**8


def test_there_is_an_answer_after_a_quarter_of_a_minute(world: World, ask: Ask) -> None:
    """Check that there is an answer at any time after 15 s, for instance after Ctrl-C."""
    seen: list[tuple[float, bool]] = []
    request = Request(10**8, 8, 500, "float32", {"cpu": 20 * 10**9})
    setting = Setting(request, tuple(COSTS), world.machine, "code", 4, 20 * 10**9, {})
    explorer = Explorer(setting, Path("nowhere"), [], 60.0, measure=world, save=False)

    def report(_what: str, _share: float, known: Known) -> None:
        seen.append((world.now, any(m.complete for m in known.models.values())))

    with explorer:
        explorer.explore(report)
    answered = [complete for at, complete in seen if at >= 15]
    assert answered
    assert all(answered)


def test_one_library_whose_steps_hang_leaves_time_for_the_others(
    world: World, ask: Ask
) -> None:
    """Fixed bug: a library whose steps hung took 49 s of a budget of 60 s."""
    hangs = COSTS["numba:parallel"].__class__(0.2, 5e-3, 50.0, 1e-6, 1e-10 / 8, 1e-9, 8e9)
    world.costs = {**COSTS, "numba:parallel": hangs}
    explorer = ask(10_000_000, 100_000)
    reasons = explorer.unmeasured()
    assert "of its measurement" in reasons.pop("numba:parallel")  # tried once more at the end
    assert not any("the budget ended" in why for why in reasons.values()), reasons
    steps = {r for t in world.tasks if t.suite == "test_step.py" for r in t.cases}
    libraries = {Case.parse(r).library for r in steps if not r.startswith("read/")}
    assert libraries == {"numpy", "numba", "torch", "jax"}
    assert world.now <= 66.001  # a killed child is noticed after its limit


def test_in_twenty_seconds_each_library_is_there_with_its_best_technique(
    world: World, ask: Ask
) -> None:
    """Fixed bug: JAX's fastest technique was not measured before the budget ended."""
    plain = {
        "numba": costs(0.3, 5e-3, 1.5, 1e-6, 2e-10),
        "torch:analytic": costs(2.0, 5e-3, 0.05, 2e-5, 4e-10),
        "torch:compile": costs(2.0, 5e-3, 15.0, 2e-5, 3e-10),
        "torch:gram": costs(2.0, 5e-3, 0.05, 1e-6, 0.0),
        "jax": costs(0.7, 1e-2, 0.2, 2e-5, 8e-10),
        "jax:blocked": costs(0.7, 1e-2, 0.4, 1e-6, 2e-10),
        "jax:gram": costs(0.7, 1e-2, 0.4, 1e-6, 0.0),
    }
    slow = {"numba:parallel": costs(0.3, 5e-3, 2.0, 1e-6, 1e-10)}
    torch = {"torch": costs(2.0, 5e-3, 0.05, 8e-5, 6e-9)}
    jax = {"jax:loop": costs(0.7, 1e-2, 0.3, 1e-6, 3e-10)}
    world.costs = {**COSTS, **slow, **torch, **jax, **plain}
    explorer = ask(10_000_000, 10_000, budget=20.0)
    assert world.now <= 22 + 2.0  # the overrun, and the import of one library
    models = explorer.known.models
    best = ("numpy:blocked", "numba:parallel", "torch:analytic", "jax:blocked")
    assert [name for name in best if not models[name].complete] == []


GUEST = {"cache_bytes": 2 << 20, "reported_bytes": 480 << 20}
"""Caches of a virtual machine: the system reports 480 MB, but only 2 MB are usable."""


@pytest.mark.parametrize(
    ("rows", "features", "k"),
    [(10**9, 32, 100), (10**8, 8, 500), (3 * 10**8, 1, 1000)],
)
def test_a_cache_that_is_only_reported_misleads_nobody(
    tmp_path: Path, rows: int, features: int, k: int
) -> None:
    """Fixed bug: the pick measured sizes of gigabytes, and had no time for most backends."""
    world = World(**GUEST, noise=0.05, setup_noise=0.1)
    request = Request(rows, features, k, "float32", {"cpu": 200 * 10**9})
    setting = Setting(request, tuple(COSTS), world.machine, "code", 4, 20 * 10**9, {})
    explorer = Explorer(setting, tmp_path, [], 60.0, measure=world)
    with explorer:
        explorer.explore(lambda *_: None)
    assert Regime.of(explorer.records, world.machine).cache_bytes <= 8 << 20
    assert world.now <= 66
    reasons = explorer.unmeasured()
    assert not any("the budget ended" in why for why in reasons.values()), reasons
    assert pick(explorer)[1] == "numba:parallel"
    total = explorer.known.models["numba:parallel"].total(rows, k)
    truth = world.total_s(Case("numba:parallel", rows, features, "float32"), k)
    assert total.low <= truth <= total.high
    assert total.spread <= 0.7
