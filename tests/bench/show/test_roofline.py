"""Test ``run --limit``: each library's fastest backend beside the machine's limits."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from backends.errors import DescentbenchError
from bench.measure import worker
from bench.measure.native import build
from bench.measure.plan import Plan
from bench.measure.runner import Runner
from bench.results.case import NATIVE, READ, Case
from bench.results.record import Measurement, Record
from bench.results.summary import Interval, Result, summarise
from bench.show.roofline import DEVICE_GRID, GRID, Limit, limits, roofline_table
from tests.support.command import descentbench
from tests.support.measurements import outcome, record, step
from tests.support.runs import chosen, only_record

BIG = "1000000x1/float32"
STEP_BYTES = 8_000_000


def read(*seconds: float, size: str = BIG, nbytes: int = STEP_BYTES) -> Measurement:
    return Measurement("read", f"read/{size}", seconds, 1, {"bytes": nbytes})


def limit(rows: int = 1_000_000, features: int = 1, **fields: object) -> Limit:
    values = {"device": "cpu", "read_s": 8e-4, "native_s": 0.001, "native_fraction": 0.8}
    values["failure"] = ""
    return Limit(rows, features, "float32", **(values | fields))


def result(
    backend: str, rows: int, features: int, seconds: float | None, share: float
) -> Result:
    """Return a result of a backend; without `seconds`, the backend failed."""
    row = str(Case(backend, rows, features, "float32"))
    (made,) = summarise(record([row], outcome(step(row, 1.0))))
    if seconds is None:
        return replace(made, verified=False, reason="it died", step_s=None)
    interval = Interval(seconds, None, None)
    return replace(made, step_s=interval, bandwidth_fraction=share)


def lines(results: list[Result], bounds: list[Limit]) -> list[str]:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(roofline_table(results, bounds))
    return [line.rstrip() for line in capture.get().splitlines()]


def cells(table: list[str], label: str) -> list[list[str]]:
    """Return the cells of the lines that begin with this label; a number includes its unit."""
    found = [line.removeprefix(label) for line in table if line.startswith(f"{label} ")]
    for unit in ("ns", "µs", "ms", "s"):
        found = [line.replace(f" {unit}", unit) for line in found]
    return [line.split() for line in found]


# the baselines


def test_the_read_is_that_of_a_steps_bytes() -> None:
    """The baseline reads a quarter of a step's bytes, so its time is multiplied by four."""
    quick, slow = read(1.0, 2.0, nbytes=STEP_BYTES // 4), read(10.0, nbytes=STEP_BYTES // 4)
    (found,) = limits(record([f"numpy/{BIG}"], outcome(quick), outcome(slow)))
    assert found.read_s == 4 * 2.0
    assert (found.native_s, found.native_fraction, found.failure) == (None, None, "")


def test_the_kernel_is_held_against_the_read_of_its_process() -> None:
    native = f"c/{BIG}"
    quick = outcome(step(native, 4.0, steps=2), read(1.0))
    slow = outcome(step(native, 40.0, steps=2), read(10.0))
    (found,) = limits(record([f"numpy/{BIG}", f"numba/{BIG}"], quick, slow))
    assert found.native_s == (2.0 + 20.0) / 2
    assert found.native_fraction == 0.5
    assert found.as_dict() == {
        "rows": 1_000_000,
        "features": 1,
        "dtype": "float32",
        "device": "cpu",
        "read_s": 5.5,
        "native_s": 11.0,
        "native_fraction": 0.5,
        "failure": None,
        "loss": "squared_error",
        "read_by": None,
    }


def test_the_table_names_the_ways_of_reading() -> None:
    def by(way: str, size: str = BIG) -> Measurement:
        return replace(read(1.0, size=size), info={"bytes": STEP_BYTES, "read_by": way})

    big, other = by("compiled, 2 places"), by("NumPy, dot products", "2000000x1/float32")
    few = by("NumPy, largest byte", "100x1/float32")
    rows = [f"numpy/{m.row.partition('/')[2]}" for m in (big, other, few)]
    found = limits(record(rows, outcome(big, other, few)))
    assert [limit.read_by for limit in found] == [
        "NumPy, largest byte",
        "compiled, 2 places",
        "NumPy, dot products",
    ]
    table = lines([], found)
    assert "plain read: compiled, 2 places; NumPy, dot products" in table


def test_a_kernel_that_was_wrong_once_has_no_time() -> None:
    native = f"c/{BIG}"
    wrong = outcome(step(native, 1.0), read(1.0), **{native: "w is wrong"})
    (found,) = limits(record([f"numpy/{BIG}"], outcome(step(native, 1.0)), wrong))
    assert (found.native_s, found.native_fraction, found.failure) == (None, None, "w is wrong")


def test_few_bytes_have_times_and_no_share() -> None:
    small = "100x1/float32"
    done = outcome(step(f"c/{small}", 1.0), read(1.0, size=small, nbytes=800))
    (found,) = limits(record([f"numpy/{small}"], done))
    assert (found.read_s, found.native_s, found.native_fraction) == (1.0, 1.0, None)


def test_sizes_come_as_in_the_grid() -> None:
    rows = [f"numpy/{n}x{d}/float32" for n, d in reversed(GRID)]
    assert [(found.rows, found.features) for found in limits(record(rows))] == list(GRID)


# the table


def test_the_best_of_each_library_and_its_technique() -> None:
    results = [
        result("numba:parallel", 1_000_000, 1, 1e-3, 1.25),
        result("numpy:blocked", 1_000_000, 1, 2e-3, 0.5),
        result("numpy", 1_000_000, 1, 3e-3, 0.3),
        result("numpy", 2_000_000, 8, 0.04, 0.4),
    ]
    table = lines(results, [limit(), limit(2_000_000, 8)])
    assert cells(table, "numpy") == [["2ms", "40ms"], ["50%", "40%"]]
    assert cells(table, "numba") == [["1ms", "–"], ["125%", "–"]]
    assert cells(table, "C, OpenMP") == [["1ms", "1ms"], ["80%", "80%"]]
    assert cells(table, "reading once") == [["800µs", "800µs"]]
    below = [table[i + 1].split() for i, line in enumerate(table) if " ms" in line]
    assert below[:2] == [["blocked", "plain"], ["parallel"]]
    labels = [line.split()[0] for line in table if line.startswith(("numpy", "numba"))]
    assert labels == ["numpy", "numba"] * 2  # the catalogue's order, not the fastest first


def test_a_device_has_tables_of_its_own() -> None:
    results = [
        result("torch:compile@cuda:0", 100_000_000, 1, 1e-3, 0.9),
        result("torch:compile", 1_000_000, 1, 1e-3, 0.7),
    ]
    there = limit(100_000_000, device="cuda:0", read_s=9e-4, native_s=None)
    table = lines(results, [limit(), there])
    assert cells(table, "torch@cuda:0") == [["1ms"], ["90%"]]
    assert cells(table, "torch") == [["1ms"], ["70%"]]
    assert cells(table, "C, OpenMP") == [["1ms"], ["80%"]]  # only for the host, not for the GPU
    assert cells(table, "reading once") == [["800µs"], ["900µs"]]
    headings = [line for line in table if line.startswith("The best")]
    assert headings == [
        "The best of each library, float32: time a step",
        "The best of each library on cuda:0, float32: time a step",
    ]
    assert "GPU: not measured" not in table


def test_another_loss_has_no_line_of_the_c_kernel() -> None:
    """Fixed bug: the C kernel, which works for squared error only, had empty lines."""
    bounds = [limit(), limit(loss="log_loss", native_s=None, native_fraction=None)]
    for bound in bounds:
        case = replace(result("numpy", 1_000_000, 1, 0.002, 0.4), loss=bound.loss)
        table = lines([case], [bound])
        assert any("C, OpenMP" in line for line in table) == (bound.loss == "squared_error")


def test_a_devices_read_is_the_one_before_its_rounds() -> None:
    small, other = f"jax:loop@cuda:0/{BIG}", f"torch@cuda:1/{BIG}"
    one = replace(step(small, 1.0), info={"read_bytes_per_s": [2e9, 4e9, 8e9]})
    two = replace(step(other, 1.0), info={"read_bytes_per_s": [1e9]})
    found = limits(record([small, other, f"numpy/{BIG}"], outcome(one, two, read(1.0))))
    reads = {limit.device: limit.read_s for limit in found}
    assert reads == {"cpu": 1.0, "cuda:0": STEP_BYTES / 4e9, "cuda:1": STEP_BYTES / 1e9}
    assert [limit.device for limit in found] == ["cpu", "cuda:0", "cuda:1"]


def test_reading_a_few_bytes_is_no_bound() -> None:
    table = lines([result("numpy", 100, 1, 1e-5, 0.0)], [limit(100, native_fraction=None)])
    assert cells(table, "reading once") == [["–"]]
    assert cells(table, "C, OpenMP") == [["1ms"], ["–"]]


def test_failures_are_named_below() -> None:
    bounds = [limit(native_s=None, native_fraction=None, failure="w is wrong")]
    table = lines([result("numpy", 1_000_000, 1, None, 0.0)], bounds)
    assert cells(table, "numpy")[0] == ["failed"]
    assert cells(table, "C, OpenMP") == [["failed"], ["–"]]
    failed = [f"failed: numpy/{BIG}: it died", f"failed: c/{BIG}: w is wrong"]
    assert table[-3:] == [*failed, "GPU: not measured"]


def test_a_devices_grid_fits_80_columns() -> None:
    backends = ("torch:analytic@cuda:0", "jax:loop@cuda:0")
    results = [
        result(name, *size, 0.000_999, 9.99) for name in backends for size in DEVICE_GRID
    ]
    table = lines(results, [limit(*size, device="cuda:0") for size in DEVICE_GRID])
    assert max(map(len, table)) <= 80
    assert "…" not in "".join(table)
    assert [len(row) for row in cells(table, "torch@cuda:0")] == [6, 6, 5, 5]
    assert sum(line.split().count("analytic") for line in table) == len(DEVICE_GRID)


def test_the_grid_fits_80_columns_and_more_sizes_make_more_tables() -> None:
    backends = ("numba:parallel", "torch:analytic", "jax:loop")
    sizes = list(GRID)
    results = [result(name, *size, 0.000_999, 9.99) for name in backends for size in sizes]
    for count, tables in ((6, 1), (7, 2), (len(GRID), 2)):
        mine = [r for r in results if r.case.size[:2] in sizes[:count]]
        table = lines(mine, [limit(*size) for size in sizes[:count]])
        assert max(map(len, table)) <= 80
        assert "…" not in "".join(table)
        assert [len(row) for row in cells(table, "numba")] == [
            *([6] * 2),
            *([count - 6] * 2 * (tables - 1)),
        ]
        assert sum(line.split().count("analytic") for line in table) == count


# the run


def test_a_plan_without_set_up_and_with_both_baselines() -> None:
    rows = [Case(b, n, 1, "float32") for n in (100, 1000) for b in ("numpy", "numba")]
    tasks = Plan(tuple(rows), 2, 0.01, (READ, NATIVE), setup=False).tasks()
    assert [task.suite for task in tasks] == ["test_step.py"] * 4
    for task in tasks:
        assert not task.cold
        measured = [Case.parse(text) for text in task.cases]
        for size in {row.size for row in rows}:
            assert [r.backend for r in measured if r.size == size].count(READ) == 1
            assert [r.backend for r in measured if r.size == size].count(NATIVE) == 1


def test_where_only_a_device_computes_the_hosts_memory_is_not_read() -> None:
    there = Case("torch@cuda:0", 100, 1, "float32")
    (task,) = Plan((there,), 1, 0.01, (READ, NATIVE), setup=False).tasks()
    assert task.cases == (str(there),)


LIMIT = ("run", "--limit", "--rows", 1000, "--features", 1, *chosen("numpy", "numpy:blocked"))
SHORT = ("--more", 0, "--passes", 2, "--seconds", 0.01)


def test_a_limit_is_measured(tmp_path: Path) -> None:
    try:
        build()
    except DescentbenchError as error:
        pytest.skip(str(error))
    done = descentbench(tmp_path, *LIMIT, *SHORT, "--store", tmp_path, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    assert list(document) == ["schema", "machine", "results", "noise", "record", "limit"]
    assert {r["backend"] for r in document["results"]} == {"numpy", "numpy:blocked"}
    (bound,) = document["limit"]
    assert (bound["rows"], bound["features"], bound["dtype"]) == (1000, 1, "float32")
    assert bound["read_s"] > 0
    assert bound["native_s"] > 0
    assert (bound["native_fraction"], bound["failure"]) == (None, None)

    path = only_record(tmp_path)
    kept = Record.load(path)
    for task in kept.tasks.values():
        assert sorted(m.row.partition("/")[0] for m in task.measurements) == [
            *("c", "numpy", "numpy:blocked", "read")
        ]
    assert len(kept.tasks) == 2

    replace(kept, complete=False).save(path)
    shown = descentbench(tmp_path, *LIMIT, *SHORT, "--store", tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    table = shown.stdout.splitlines()
    assert max(map(len, table)) <= 80
    assert [len(row) for row in cells(table, "numpy")] == [1, 1]
    assert cells(table, "C, OpenMP")[1] == ["–"]


def test_without_a_compiler_the_kernel_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.devnull)
    done = descentbench(tmp_path, *LIMIT, *SHORT, "--store", tmp_path, "--json")
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.endswith("there is no C compiler here (cc, gcc, clang)")
    (bound,) = json.loads(done.stdout)["limit"]
    assert bound["native_s"] is None
    assert bound["read_s"] > 0


def test_a_limit_of_what_does_not_read_is_refused(tmp_path: Path) -> None:
    done = descentbench(tmp_path, "run", "--limit", "-b", "numpy:gram", "--store", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "gram" in done.stderr


def test_a_process_that_dies_takes_no_baseline_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*call: object) -> int:
        log: Path = call[3]
        log.write_text("its last words")
        return -9

    monkeypatch.setattr(worker, "call", die)
    row = Case("numpy", 1000, 1, "float32")
    plan = Plan((row,), 2, 0.01, (READ, NATIVE), setup=False)
    done = Runner(plan, 1, tmp_path).run(started=lambda _: None, ended=lambda _: None)
    failed = [set(task.failures) for task in done.tasks.values()]
    assert failed == [{str(row)}, set()]  # not tried a second time
