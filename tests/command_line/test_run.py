"""Test ``descentbench run``: real runs of small sizes, and backends with faults."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from click.testing import CliRunner

from bench.cli import main
from bench.measure import runner as measure
from bench.measure import version
from bench.measure.alternation import Side
from bench.measure.plan import Plan, Task
from bench.measure.runner import Runner, side_by_side
from bench.measure.worker import Children
from bench.results.case import READ, Case
from bench.results.record import Measurement, Outcome, Record
from bench.results.verdict import unclear
from tests.support.command import declare, descentbench
from tests.support.runs import INTERRUPTIBLE, SMALL, chosen, declare_faulty, only_record


def finish_again(store: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Mark the only record as incomplete, and run again: only the table is printed."""
    path = only_record(store)
    replace(Record.load(path), complete=False).save(path)
    return descentbench(store, *SMALL, *arguments, "--store", store)


def processes_with(text: str) -> list[int]:
    """Return the ids of processes whose environment contains this text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if text.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:  # the process has ended or belongs to another user
            continue
    return found


# a run that goes well


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Return the store and the JSON output of a successful run."""
    folder = tmp_path_factory.mktemp("good")
    backends = chosen("numpy", "numpy:blocked")
    done = descentbench(folder, *SMALL, *backends, "--passes", 2, "--store", folder, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    document: dict[str, Any] = json.loads(done.stdout)
    return folder, document


def test_json_has_the_agreed_fields(good: tuple[Path, dict[str, Any]]) -> None:
    _, document = good
    assert list(document) == ["schema", "machine", "results", "noise", "record"]
    assert document["machine"]["versions"]["numpy"]
    assert {result["backend"] for result in document["results"]} == {"numpy", "numpy:blocked"}
    for result in document["results"]:
        assert {
            *("backend", "rows", "features", "dtype", "steps", "threads", "verified"),
            *("relative_error", "import_s", "place_s", "first_call_s", "new_shape_s", "step_s"),
            *("gb_per_s", "bandwidth_fraction", "peak_bytes"),
        } <= result.keys()
        assert result["verified"] is True
        assert result["reason"] is None
        assert (result["rows"], result["features"], result["dtype"]) == (100, 1, "float32")
        assert result["threads"] == document["machine"]["threads"]
        assert 0 <= result["relative_error"] <= 1e-5
        assert result["step_s"].keys() == {"median", "low", "high"}
        step = result["step_s"]
        assert 0 < step["low"] <= step["median"] <= step["high"]
        assert step["median"] < result["first_call_s"]
        assert result["gb_per_s"] == pytest.approx(800 / step["median"] / 1e9)
        assert result["bandwidth_fraction"] is None
        assert result["peak_bytes"] > 1e6


def test_a_record_keeps_the_raw_timings_of_every_process(
    good: tuple[Path, dict[str, Any]],
) -> None:
    folder, document = good
    record = Record.load(only_record(folder))
    assert record.complete
    assert len(record.tasks) == 2 + 2  # setups of two cases, two passes of one library
    for result in document["results"]:
        row = Case(result["backend"], 100, 1, "float32")
        mine = [m for task in record.tasks.values() for m in task.measurements]
        steps = [m for m in mine if m.row == str(row) and m.kind == "step"]
        assert len(steps) == 2
        assert sum(m.steps * len(m.seconds) for m in steps) == result["steps"]
        assert [m.kind for m in mine if m.row == str(row.read)] == ["read", "read"]


def test_the_table_is_sorted_and_narrow(good: tuple[Path, dict[str, Any]]) -> None:
    folder, document = good
    done = finish_again(folder, *chosen("numpy", "numpy:blocked"), "--passes", 2)
    assert (done.returncode, done.stderr) == (0, "")
    assert Record.load(only_record(folder)).complete
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert "…" not in done.stdout
    shown = [line.split()[0] for line in lines if line.startswith("numpy")]
    assert shown == [result["backend"] for result in document["results"]]
    medians = [result["step_s"]["median"] for result in document["results"]]
    assert medians == sorted(medians)


# what a run consists of


PLAN = Plan(
    tuple(
        Case(backend, rows, 1, "float32")
        for rows in (100, 1000)
        for backend in ("numpy", "numpy:blocked", "numba")
    ),
    passes=3,
    seconds=0.01,
)


def test_a_plan_measures_every_row_in_every_pass_beside_its_baseline() -> None:
    tasks = PLAN.tasks()
    assert tasks == PLAN.tasks()
    assert len({task.name for task in tasks}) == len(tasks)
    setup = [task for task in tasks if task.cold]
    assert sorted(task.cases for task in setup) == sorted((str(row),) for row in PLAN.cases)
    passes = [task for task in tasks if not task.cold]
    assert len(passes) == 3 * 2
    for task in passes:
        rows = [Case.parse(text) for text in task.cases]
        for size in {row.size for row in rows}:
            assert Case(READ, *size) in rows
        assert len({row.library for row in rows if row.backend != READ}) == 1
        places = [row.size for row in rows]
        assert places == sorted(places, key=places.index)  # the cases of a size come together
    measured = [text for task in passes for text in task.cases]
    assert all(measured.count(str(row)) == 3 for row in PLAN.cases)
    assert len({task.cases for task in passes}) > 2  # shuffled


def test_by_size_every_task_of_a_size_comes_before_the_next_size() -> None:
    plan = replace(PLAN, cases=PLAN.cases[::-1], by_size=True)
    tasks = plan.tasks()
    assert tasks == plan.tasks()
    assert len({task.name for task in tasks}) == len(tasks)
    rows = [{Case.parse(text).rows for text in task.cases} for task in tasks]
    assert rows == [{100}] * (3 + 3 * 2) + [{1000}] * (3 + 3 * 2)
    measured = [text for task in tasks if not task.cold for text in task.cases]
    assert all(measured.count(str(case)) == 3 for case in PLAN.cases)
    by_process: dict[str, list[Task]] = {}
    for task in tasks:
        by_process.setdefault(task.process, []).append(task)
    assert len(by_process.pop("set-up")) == 6
    assert len(by_process) == 3 * 2  # one process for each library and pass, with both sizes
    assert all(len(some) == 2 for some in by_process.values())
    further = [plan.further(1, {*stage.cases}) for stage in plan.stages()]
    assert len({task.name for some in further for task in some}) == 4


@pytest.mark.parametrize("by_size", [False, True])
def test_the_memory_of_more_rows_is_measured_once_for_a_backend(*, by_size: bool) -> None:
    tasks = [task for task in replace(PLAN, by_size=by_size).tasks() if task.cold]
    assert {task.cases[0] for task in tasks if task.memory} == {
        str(case) for case in PLAN.cases if case.rows == 1000
    }


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_each_table_is_printed_as_soon_as_its_size_is_measured(tmp_path: Path) -> None:
    """Check that the first table appears while the second size still waits for a file.

    A new run then prints both tables.
    """
    allowed = tmp_path / "allowed"
    declare_faulty(
        tmp_path,
        slow=f"while len(self.y) == 200 and not Path({str(allowed)!r}).exists(): "
        "time.sleep(0.05)",
    )
    command = (*SMALL, "--rows", 200, *chosen("slow"), "--passes", 2, "--store", tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, *map(str, command)],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        first = [run.stdout.readline() for _ in range(5)]
        assert first[0].startswith("100 rows, float32")
        assert first[4].startswith("slow ")
        run.send_signal(signal.SIGINT)
        rest, _ = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "200 rows" not in rest
    assert processes_with(str(tmp_path)) == []
    before = Record.load(only_record(tmp_path))
    allowed.touch()
    done = descentbench(tmp_path, *command)
    assert (done.returncode, done.stderr) == (0, "")
    titles = [line for line in done.stdout.splitlines() if " rows, float32" in line]
    assert [title.split()[0] for title in titles] == ["100", "200"]
    after = Record.load(only_record(tmp_path))
    assert before.tasks.items() <= after.tasks.items()
    assert len(after.tasks) == 2 * (1 + 2)


def interrupted(store: Path, threads: int = 2) -> Record:
    """Save and return the record of an interrupted run with two finished tasks."""
    runner = Runner(PLAN, threads, store)
    record = runner.record
    for task in PLAN.tasks()[:2]:
        record = record.with_outcome(
            task.name, Outcome(failures={"numpy/7x1/float32": "a mark"})
        )
    record.save(runner.path)
    return record


def test_only_what_is_pending_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Runner(PLAN, 2, tmp_path).pending() == PLAN.tasks()
    record = interrupted(tmp_path)
    runner = Runner(PLAN, 2, tmp_path)
    assert runner.path == only_record(tmp_path)
    assert runner.record == record
    assert runner.pending() == PLAN.tasks()[2:]

    ran = []
    monkeypatch.setattr(Children, "run", lambda self, task: ran.append(task) or Outcome())
    done = runner.run(started=lambda task: None, ended=lambda task: None)
    assert ran == PLAN.tasks()[2:]
    assert done.complete
    assert done == Record.load(only_record(tmp_path))
    assert record.tasks.items() <= done.tasks.items()
    assert (
        Runner(PLAN, 2, tmp_path).pending() == PLAN.tasks()
    )  # a complete record is not continued


@pytest.mark.parametrize("more", [0, 1, 5])
def test_what_is_unstable_is_measured_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int
) -> None:
    """Check that only unstable cases get further passes.

    One case is unstable at first, another case always, and a third never.
    """
    shaky, never, steady = (f"{b}/100x1/float32" for b in ("numpy:blocked", "numba", "numpy"))

    def measure_task(self: Children, task: Task) -> Outcome:
        calm = task.name.startswith("further")
        spread = {shaky: 0.001 if calm else 0.5, never: 0.5, steady: 0.001}
        return Outcome(
            tuple(
                Measurement("step", row, tuple(1 + spread[row] * (k % 2) for k in range(9)))
                for row in task.cases
                if row in spread
            )
        )

    monkeypatch.setattr(Children, "run", measure_task)
    rows = tuple(Case.parse(row) for row in (shaky, never, steady))
    plan = Plan(rows, 1, 0.01, setup=False, more=more)
    done = Runner(plan, 2, tmp_path).run(lambda _: None, lambda _: None, unclear)
    further = [name for name in done.tasks if name.startswith("further")]
    of = {
        row: [n for n in further for m in done.tasks[n].measurements if m.row == row]
        for row in (shaky, never, steady)
    }
    assert of[steady] == []
    assert of[never] == [f"further pass {k + 1}, numba" for k in range(more)]
    assert of[shaky] == [f"further pass {k + 1}, numpy" for k in range(min(more, 1))]
    assert all("read/100x1/float32" in task.cases for task in plan.further(1, {rows[0]}))


def test_of_two_side_by_side_it_is_the_ratio_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that two alternating runs are measured further only if their ratio is unclear.

    Both runs are slow in the same passes: the times are unstable, but their ratio is not.
    """
    known, shaky, third = (f"{b}/100x1/float32" for b in ("numpy:blocked", "numba", "numpy"))
    slow = {str(k): 2.0 ** (k % 3) for k in range(1, 10)}

    def measure_task(self: Children, task: Task) -> Outcome:
        if self.side:
            self.side.leave()
        number = re.findall(r"pass (\d+)", task.name)[0]
        offset = {known: 1.0, third: 1.0, shaky: 1 + (self.tree.name == "b") * slow[number]}
        return Outcome(
            tuple(
                Measurement("step", row, (slow[number] * offset[row],) * 9)
                for row in task.cases
                if row in offset
            )
        )

    monkeypatch.setattr(Children, "run", measure_task)
    plan = Plan(tuple(map(Case.parse, (known, shaky, third))), 3, 0.01, setup=False, more=2)
    runners = [Runner(plan, 2, tmp_path / tree, tree=tmp_path / tree) for tree in "ab"]
    records = side_by_side(runners, lambda _: None, lambda _: None, unclear)
    for record in records:
        further = [name for name in record.tasks if name.startswith("further")]
        assert further == ["further pass 1, numba", "further pass 2, numba"]


@pytest.mark.parametrize("other", ["threads", "plan", "code", "machine", "damaged"])
def test_another_runs_record_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    record = interrupted(tmp_path)
    path = only_record(tmp_path)
    plan, threads = PLAN, 2
    if other == "threads":
        threads = 1
    elif other == "plan":
        plan = replace(PLAN, passes=2)
    elif other == "code":
        monkeypatch.setattr(measure, "code_version", lambda *_: "another")
    elif other == "machine":
        replace(record, machine=record.machine | {"cpu": "another"}).save(path)
    else:
        path.write_bytes(path.read_bytes()[:-20])
    before = path.read_bytes()
    runner = Runner(plan, threads, tmp_path)
    assert runner.pending() == plan.tasks()
    assert path.read_bytes() == before


# runs that go wrong


FAULTS = {
    "wrong": "w = w + 1",
    "drifting": "w = w + (steps > 3)",  # right in the first check, wrong in timed steps
    "raising": "raise RuntimeError('out of luck\\nand of much else')",
    "dying": "os.kill(os.getpid(), signal.SIGKILL)",
    "leaving": "os._exit(0)",
    "interrupting": "raise KeyboardInterrupt",
    "narrow": "w = w.astype('float32')",
    "undefined": "w = w * float('nan')",
}

LOUD = """
        os.write(1, bytes(range(256)) * 999)
        os.system('head -c 9999 /dev/urandom >&2')
        import atexit
        atexit.register(os.abort)
"""

PARTLY = """
import os, signal, sys, time

from backends.names import Library
from backends.numpy import Plain

LIBRARY = Library(
    *("partly", "partly", {"": "Plain", "deadly": "Deadly", "hanging": "Hanging"}),
    install="pip install partly",
)


class Deadly(Plain):
    def run(self, w, steps):
        if "test_step" in str(sys.argv):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().run(w, steps)


class Hanging(Plain):
    def run(self, w, steps):
        if "test_step" in str(sys.argv):
            time.sleep(600)
        return super().run(w, steps)

"""
"""Source of a package of backends; two of them end or hang only while steps are timed."""


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    """Return the store and the results by backend of a run with all faulty backends."""
    folder = tmp_path_factory.mktemp("bad")
    declare_faulty(folder, **FAULTS, loud=LOUD)
    backends = chosen("numpy", "loud", *FAULTS)
    done = descentbench(folder, *SMALL, *backends, "--passes", 1, "--store", folder, "--json")
    assert (done.returncode, done.stderr) == (1, "")
    return folder, {row["backend"]: row for row in json.loads(done.stdout)["results"]}


def test_every_fault_fails_its_own_row_and_no_other(
    bad: tuple[Path, dict[str, dict[str, Any]]],
) -> None:
    _, results = bad
    assert results.keys() == {"numpy", "loud", *FAULTS}
    assert results["numpy"]["verified"] is True
    assert results["loud"]["verified"] is True  # despite its output and its exit code
    for result in (results[fault] for fault in FAULTS):
        assert result["verified"] is False
        assert result["step_s"] is result["gb_per_s"] is None
        assert len(result["reason"].splitlines()) == 1


@pytest.mark.parametrize("backend", ["wrong", "drifting"])
def test_a_wrong_w_is_shown_beside_the_reference(
    bad: tuple[Path, dict[str, dict[str, Any]]], backend: str
) -> None:
    found = re.search(r"w\[0\] = (\S+) but the reference is (\S+) ", bad[1][backend]["reason"])
    assert found
    assert float(found[1]) == pytest.approx(float(found[2]) + 1)


def test_an_exception_is_named(bad: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    assert bad[1]["raising"]["reason"] == "RuntimeError: out of luck"


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ("leaving", "its process ended with exit code 0; see "),
        (
            "interrupting",
            "its process ended with ",
        ),  # 2, or 1 by a bug of pytest-benchmark
        ("narrow", "w is float32 of shape (1,), not float64 of shape (1,)"),
        ("undefined", "w[0] = nan but the reference is "),
    ],
)
def test_what_else_can_go_wrong_is_named(
    bad: tuple[Path, dict[str, dict[str, Any]]], backend: str, words: str
) -> None:
    assert words in bad[1][backend]["reason"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_of_a_process_that_died_the_other_rows_are_measured(tmp_path: Path) -> None:
    declare(tmp_path, "partly", PARTLY)
    rows = chosen("partly", "partly:deadly", "partly:hanging")
    stop = ("--passes", 2, "--timeout", 8, "--store", tmp_path)
    done = descentbench(tmp_path, *SMALL, *rows, *stop, "--json")
    assert (done.returncode, done.stderr) == (1, "")
    results = {row["backend"]: row for row in json.loads(done.stdout)["results"]}
    assert results["partly"]["verified"] is True
    reasons = {b: results[b]["reason"].partition("; see ") for b in results if b != "partly"}
    assert reasons["partly:deadly"][0] == "its process was killed by SIGKILL"
    assert reasons["partly:hanging"][0] == "stopped after 8 s"
    logs = [Path(log) for _, _, log in reasons.values()]
    assert all(log.is_file() for log in logs)
    assert len(set(logs)) == 2
    tasks = Record.load(only_record(tmp_path)).tasks
    sampled = [
        name
        for name, task in tasks.items()
        for m in task.measurements
        if (m.kind, m.row) == ("step", "partly/100x1/float32")
    ]
    assert sampled == ["pass 1 of 2, partly", "pass 2 of 2, partly"]
    assert processes_with(str(tmp_path)) == []


def test_the_log_of_a_process_that_died_is_kept(
    bad: tuple[Path, dict[str, dict[str, Any]]],
) -> None:
    folder, results = bad
    said, _, log = results["dying"]["reason"].partition("; see ")
    assert said == "its process was killed by SIGKILL"
    assert Path(log).is_file()
    tasks = Record.load(only_record(folder)).tasks.values()
    # Only its setup fails; the passes leave it out and measure the other backends.
    assert sum("dying/100x1/float32" in task.failures for task in tasks) == 1


def test_the_table_shows_failures_last_and_says_why(
    bad: tuple[Path, dict[str, dict[str, Any]]],
) -> None:
    folder, _ = bad
    done = finish_again(folder, *chosen("numpy", "loud", *FAULTS), "--passes", 1)
    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    (first,) = [i for i, line in enumerate(lines) if line.startswith("numpy ")]
    others = [line.split() for line in lines[first + 1 :] if line.split()[-1:] == ["failed"]]
    assert others == [[name, "failed"] for name in sorted(FAULTS)]
    assert "failed: raising: RuntimeError: out of luck" in lines


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_backend_that_hangs_is_stopped(tmp_path: Path) -> None:
    declare_faulty(tmp_path, hanging="time.sleep(600)")
    backends = chosen("hanging")
    stop = ("--passes", 1, "--timeout", 2)
    done = descentbench(tmp_path, *SMALL, *backends, *stop, "--store", tmp_path, "--json")
    assert (done.returncode, done.stderr) == (1, "")
    (result,) = json.loads(done.stdout)["results"]
    said, _, log = result["reason"].partition("; see ")
    assert said == "stopped after 2 s"
    assert Path(log).is_file()
    assert processes_with(str(tmp_path)) == []


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_run_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    """Check that a second run completes a run that was interrupted while it timed steps."""
    reached, allowed = tmp_path / "reached", tmp_path / "allowed"
    declare_faulty(
        tmp_path,
        slow=f"if 'test_step' in str(sys.argv) and not Path({str(allowed)!r}).exists(): "
        f"Path({str(reached)!r}).touch(); time.sleep(600)",
    )
    command = (*SMALL, *chosen("slow"), "--passes", 1, "--store", tmp_path)
    run = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, *map(str, command)],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with run:
        deadline = time.monotonic() + 60
        while not reached.exists() and run.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        stdout, stderr = run.communicate(timeout=60)
    assert (run.returncode, stdout) == (130, "")
    assert "interrupted: 1 of 2 parts" in stderr
    assert "Traceback" not in stderr
    assert processes_with(str(tmp_path)) == []
    path = only_record(tmp_path)
    before = Record.load(path)
    assert not before.complete
    ((setup, outcome),) = before.tasks.items()

    allowed.touch()
    done = descentbench(tmp_path, *command, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["results"][0]["verified"] is True
    assert only_record(tmp_path) == path
    after = Record.load(path)
    assert after.complete
    assert len(after.tasks) == 2
    assert after.tasks[setup] == outcome


# bad input


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--backend", "nunpy"], "did you mean 'numpy'?"),
        (["--backend", "xyz*"], "no backend that can run here matches 'xyz*'"),
        (["--backend", "numpy@cuda:99"], "has no device 'cuda:99' here; there is: cpu"),
        (["--backend", "numpy", "--device", "cuda:99"], "numpy has no device 'cuda:99' here"),
        (["--backend", "num*", "--device", "cuda:99"], "no backend runs on cuda:99 here"),
        (["--rows", "1.5"], "'1.5' is not a whole number"),
        (["--rows", "-1"], "'-1'"),
        (["--features", "0"], "'0'"),
        (["--dtype", "float16"], "'float16'"),
        (["--passes", "0"], "'--passes'"),
        (["--seconds", "nan"], "'nan'"),
        (["--timeout", "0"], "'--timeout'"),
        (["--threads", "0"], "'--threads'"),
        (["--threads", "1000000"], "--threads 1000000: this process may use"),
        (["numpy"], "numpy"),
    ],
    ids=" ".join,
)
def test_bad_input_is_one_line(tmp_path: Path, arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(main, ["run", *arguments, "--store", str(tmp_path)])
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert words in line
    assert list(tmp_path.iterdir()) == []


def test_help_has_an_example() -> None:
    result = CliRunner().invoke(main, ["run", "--help"])
    assert result.exit_code == 0
    assert "descentbench run --rows 1e8" in result.stdout


# other trees, names, formats


def test_another_checkout_is_measured_in_turn_and_compared(tmp_path: Path) -> None:
    other, store = tmp_path / "other", tmp_path / "store"
    for package in ("backends", "bench"):
        shutil.copytree(version.TREE / package, other / package)
    mark = "\n__import__('pathlib').Path(__file__).with_suffix('.ran').touch()\n"
    kernel = other / "backends" / "numpy" / "plain.py"
    kernel.write_text(kernel.read_text(encoding="utf-8") + mark, encoding="utf-8")

    asked = (*SMALL, *chosen("numpy"), "--passes", 2, "--name", "new", "--against", other)
    done = descentbench(tmp_path, *asked, "--store", store)
    assert (done.returncode, done.stderr) == (0, "")
    assert kernel.with_suffix(".ran").exists()
    records = {record.name: record for record in map(Record.load, store.glob("run-*.json"))}
    assert records.keys() == {"new", "new-against"}
    assert records["new"].code == version.code_version()
    assert records["new-against"].code == version.code_version(other) != records["new"].code
    assert records["new"].beside == records["new-against"].beside != ""
    steps = [
        [m for t in r.tasks.values() for m in t.measurements if m.kind == "step"]
        for r in records.values()
    ]
    assert all(m.info["in_turn"] for side in steps for m in side)
    assert [(m.steps, len(m.seconds)) for m in steps[0]] == [
        (m.steps, len(m.seconds)) for m in steps[1]
    ]
    assert "new ÷" in done.stdout


def test_an_interrupt_ends_both_sides() -> None:
    """Check that an interrupt of one side also stops the other side."""
    ended = []

    class Interrupted:
        def measure(self, _task: object, _folder: Path, side: Side, _stop: Event) -> None:
            side.leave()
            raise KeyboardInterrupt

    class Measuring:
        def measure(self, _task: object, _folder: Path, side: Side, stop: Event) -> None:
            side.leave()
            ended.append(stop.wait(20))

    some: Any = [(Interrupted(), Path()), (Measuring(), Path())]
    with pytest.raises(KeyboardInterrupt):
        measure._measure(some, measure.Task("a task", "test_step.py", ()))
    assert ended == [True]


def test_a_tree_without_git_has_no_revision(tmp_path: Path) -> None:
    assert version.revision(tmp_path) == ""


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_revision_says_whether_files_had_changed(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        who = ("-c", "user.name=t", "-c", "user.email=t@t.invalid")
        call = ["git", "-C", str(tmp_path), *who, *words]
        return subprocess.run(call, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "-q")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-q", "-m", "a")
    assert version.revision(tmp_path) == git("rev-parse", "HEAD")
    (tmp_path / "a").write_text("2")
    assert version.revision(tmp_path) == git("rev-parse", "HEAD") + "-dirty"


def test_a_run_can_end_with_its_report(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    page = tmp_path / "made" / "page.html"
    asked = (*SMALL, *chosen("numpy"), "--passes", 1, "--store", tmp_path, "--report", page)
    done = descentbench(tmp_path, *asked, "--format", "csv")
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    found, where = line.split("; report: ")
    assert found.startswith("numpy has the shortest step at ")
    assert where == str(page)
    assert done.stdout.startswith("backend,rows,features,dtype,loss,step_s,")
    assert page.stat().st_size > 50_000
    nowhere = page / "in a file" / "page.html"
    done = descentbench(tmp_path, *SMALL, "--report", nowhere)
    assert done.returncode == 2
    assert "cannot write" in done.stderr
    assert not (tmp_path / ".benchmarks").exists()  # the error came before any measurement
