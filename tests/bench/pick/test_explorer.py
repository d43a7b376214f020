"""Measuring within a budget, on a machine whose costs and clock are made up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from backends.problem import step_bytes
from bench.measure.plan import Task
from bench.pick.explorer import Explorer
from bench.pick.model import Sample
from bench.pick.observations import age, alike, noises, observations
from bench.pick.recommend import Request, recommend
from bench.results.case import Case
from bench.results.record import Measurement, Outcome, Record
from tests.support.made_up import LAPTOP
from tests.support.world import COSTS, World

MACHINE = LAPTOP | {"cpu": "made up", "caches": {"L3": 32 << 20}}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


Ask = Callable[..., Explorer]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    def explorer(
        rows: int = 3_000_000, k: int = 1000, budget: float = 60.0, features: int = 1
    ) -> Explorer:
        request = Request(rows, features, k, "float32", {"cpu": 20 * 10**9})
        known = alike(tmp_path, MACHINE, "code")
        return Explorer(
            *(request, list(COSTS), 2, MACHINE, "code", tmp_path, known, budget),
        )

    return explorer


def tasks_of(backend: str, world: World) -> list[Task]:
    return [t for t in world.tasks if any(Case.parse(r).backend == backend for r in t.cases)]


def pick(explorer: Explorer) -> tuple[str | None, str | None]:
    models = list(explorer.models.values())
    answer = recommend(models, explorer.request, explorer.unmeasured())
    return answer.pick, answer.loop_pick


def best(rows: int, k: int, *, loops: bool) -> str:
    def total(backend: str) -> float:
        imports, place, overhead, latency, a_row = COSTS[backend]
        return imports + place + 1e-9 * rows + overhead + (k + 1) * (latency + a_row * rows)

    return min((b for b in COSTS if not (loops and b.endswith("gram"))), key=total)


@pytest.mark.parametrize("rows", [100, 10_000, 3_000_000, 1_000_000_000])
@pytest.mark.parametrize("k", [1, 1000, 100_000])
def test_the_pick_is_the_best_and_the_budget_holds(
    world: World, ask: Ask, rows: int, k: int
) -> None:
    explorer = ask(rows, k)
    explorer.run()
    picked, loop = pick(explorer)
    assert loop is not None
    times = {
        b: COSTS[b][0]
        + COSTS[b][1]
        + COSTS[b][2]
        + (k + 1) * (COSTS[b][3] + COSTS[b][4] * rows)
        for b in COSTS
    }
    assert times[loop] <= 1.06 * times[best(rows, k, loops=True)]
    assert picked in COSTS
    assert world.now <= 1.2 * 60


def test_twice_the_budget_does_not_change_a_clear_answer(
    world: World, ask: Ask, tmp_path: Path
) -> None:
    first = ask(budget=40.0)
    first.run()
    for path in tmp_path.glob("*.json"):
        path.unlink()
    second = ask(budget=80.0)
    second.run()
    assert pick(first) == pick(second)


def test_the_hopeless_are_dropped_with_a_reason(world: World, ask: Ask) -> None:
    explorer = ask(100, 1)
    explorer.run()
    assert "setting torch up alone takes longer than all with" in explorer.dropped["torch"]
    assert [t.suite for t in tasks_of("torch", world)] == ["test_setup.py"]


def test_what_an_import_alone_rules_out_is_not_set_up(world: World, ask: Ask) -> None:
    """It is known from other features; numpy, which needs none, is measured first."""
    ask(100, 1, features=2).run()
    world.tasks.clear()
    ask(100, 1).run()
    assert tasks_of("numpy", world)
    assert not tasks_of("torch", world)


def test_a_set_up_is_given_up_where_it_has_lost(
    world: World, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compiler that takes a minute is not waited for where numpy needs a second."""
    monkeypatch.setitem(COSTS, "torch:compile", (1.0, 5e-3, 60.0, 1e-6, 5e-11))
    brief = ask(3_000_000, 1)
    brief.run()
    assert world.now < 40
    assert "setting torch up alone" in brief.unmeasured()["torch:compile"]
    asked = len(world.tasks)
    ask(3_000_000, 2).run()  # what was given up is remembered
    assert len(world.tasks) == asked
    ask(3_000_000, 10**6, budget=200).run()  # and waited for where it pays
    assert "test_step.py" in {task.suite for task in tasks_of("torch:compile", world)}


def test_a_set_up_is_looked_at_with_data_like_those_asked_for(world: World, ask: Ask) -> None:
    """What a compiler does for a hundred rows says nothing of a descent by all threads."""

    def first_set_up(rows: int) -> int:
        world.tasks.clear()
        ask(rows, 10**6).run()
        task = next(t for t in world.tasks if t.suite == "test_setup.py")
        return Case.parse(task.cases[0]).rows

    assert first_set_up(100) == 100
    assert first_set_up(3_000_000) == 1_000_000


def test_the_promising_are_measured_at_a_large_size_first(world: World, ask: Ask) -> None:
    """Of 2000 steps most of jax:loop's are expected to be done before numba's compiler is."""
    ask(3_000_000, 2000).run()
    large = [t.name for t in world.tasks if t.name.startswith("a large size")]
    assert large[:3] == ["a large size, numpy", "a large size, jax", "a large size, numba"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((10_000_000, 1000), (5_000_000, 2000)),
        ((3_000_000, 100), (2_000_000, 2)),  # brief, but one wins for sure
    ],
)
def test_another_question_is_answered_from_the_store(
    world: World, ask: Ask, first: tuple[int, int], second: tuple[int, int]
) -> None:
    ask(*first).run()
    before = len(world.tasks)
    other = ask(*second)
    other.run()
    assert len(world.tasks) == before
    assert pick(other)[1] == best(*second, loops=True)
    assert "0 min old" in age(other.known, other.record)


def test_what_was_interrupted_is_kept(world: World, ask: Ask, tmp_path: Path) -> None:
    world.stop_after = 7
    explorer = ask()
    with pytest.raises(KeyboardInterrupt):
        explorer.run()
    (record,) = alike(tmp_path, MACHINE, "code")
    assert len(record.tasks) == 7
    assert not record.complete
    assert pick(explorer)[0] is None or pick(explorer)[0] in COSTS
    world.stop_after = None
    ask().run()
    setups = [r for t in world.tasks for r in t.cases if t.name.startswith("set-up numpy/")]
    assert len(setups) == 1  # not measured again


def test_no_measurement_overwrites_another(world: World, ask: Ask) -> None:
    explorer = ask()
    explorer.run()
    assert len({task.name for task in world.tasks}) == len(world.tasks)
    assert len(explorer.record.tasks) == len(world.tasks)


def test_a_size_beyond_the_memory_is_never_tried(world: World, tmp_path: Path) -> None:
    memory = 300_000_000
    request = Request(10**9, 1, 100, "float32", {"cpu": memory})
    explorer = Explorer(request, list(COSTS), 2, MACHINE, "code", tmp_path, [], 60.0)
    explorer.run()
    assert world.tasks
    for task in world.tasks:
        for row in map(Case.parse, task.cases):
            assert step_bytes(*row.size) * 1.5 <= memory
    assert pick(explorer)[1] is not None


def test_contenders_climb_further_where_the_target_is_far(world: World, ask: Ask) -> None:
    explorer = ask(10**9, 1000)
    explorer.run()
    tried: dict[str, int] = {}
    for row in (Case.parse(text) for task in world.tasks for text in task.cases):
        tried[row.backend] = max(tried.get(row.backend, 0), row.rows)
    assert tried["numba:parallel"] == 10**8
    assert tried["torch"] <= 3 * 10**7
    assert ask(10**8 // 2, 1000).sizes()[-2:] == [3 * 10**7, 5 * 10**7]


def test_no_cache_holds_the_largest_rung(tmp_path: Path) -> None:
    machine = {"cpu": "made up", "caches": {"L3": 384 << 20}}
    request = Request(10**12, 1, 100, "float32", {"cpu": 10**12})
    explorer = Explorer(request, list(COSTS), 2, machine, "code", tmp_path, [], 600.0)
    assert step_bytes(explorer.sizes()[-1], 1, "float32") >= 4 * (384 << 20)


def test_someone_elses_memory_is_not_taken_here(world: World, tmp_path: Path) -> None:
    request = Request(10**8, 1, 100, "float32", {"cpu": 10**12})
    explorer = Explorer(
        *(request, list(COSTS), 2, MACHINE, "code", tmp_path, [], 60.0), may_use=10**8
    )
    assert step_bytes(explorer.sizes()[-1], 1, "float32") <= 10**8


def test_only_what_was_measured_here_and_was_right_counts(tmp_path: Path) -> None:
    def record(**more: object) -> Record:
        row = "numpy/100x1/float32"
        good = Measurement("step", row, (2.0, 1.0, 3.0), 2)
        grown = Measurement("more_rows", row, (1.0,), 1, {"added_bytes": 8, "more_rows": 4})
        other = Measurement("step", "numpy/100x2/float32", (9.0,))
        wrong = Measurement("step", "torch/100x1/float32", (9.0,))
        read = Measurement("read", "read/100x1/float32", (9.0,), 1, {"bytes": 800})
        task = Outcome((good, grown, other, wrong, read), {"torch/100x1/float32": "w is wrong"})
        whole = Record("2026-01-01T00:00:00.000+00:00", {"rows": [row]}, MACHINE, "code")
        return replace(whole, tasks={"t": task}, **more)  # type: ignore[arg-type]

    record().save(tmp_path / "run-1.json")
    record(code="older").save(tmp_path / "run-2.json")
    record(machine={"cpu": "another"}).save(tmp_path / "pick-3.json")
    (tmp_path / "run-4.json").write_text("{")
    found = alike(tmp_path, MACHINE, "code")
    assert len(found) == 1
    seen = observations(found, 1, "float32")
    assert [s.value for s in seen["numpy"].step] == [1.0]
    assert seen["torch"].failure == "w is wrong"
    assert not seen["torch"].step
    assert "read" not in seen
    assert seen["numpy"].added_bytes == (Sample(4, 8),)
    assert "days old" in age(found, found[0])


def test_what_disturbed_is_of_the_same_features(tmp_path: Path) -> None:
    rows = ["numpy/9x1/float32", "read/9x1/float32", "numpy/9x2/float32", "numpy/9x1/float64"]
    tasks = {
        row: Outcome((Measurement("step", row, (1.0,)),), noise={"swapped": float(k)})
        for k, row in enumerate(rows)
    }
    record = Record("2026-01-01T00:00:00.000+00:00", {"rows": rows}, MACHINE, "code", tasks)
    found = [noise["swapped"] for noise in noises([record], 1, "float32")]
    assert found == [0, 1]
