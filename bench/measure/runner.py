"""Measure for real: a fresh process a library, in shuffled passes.

Set-up is measured in a fresh process for every row, with cold compile caches,
because only the first row of a process pays for the import and the compiler.
The hot loop is measured in one process a library and pass; libraries, sizes
and rows come in another order each pass, so that drift and neighbours hit
all alike.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

from bench.host.limits import out_of_memory_kills
from bench.host.machine import describe
from bench.host.noise import Noise
from bench.host.process import RUNNING, Watch, call
from bench.host.threads import environment
from bench.measure.alternation import Seat, seats
from bench.measure.filerows import FileRows
from bench.measure.version import TREE, code_version, revision
from bench.results.case import BASELINES, READ, Case
from bench.results.record import Measurement, Outcome, Record, RecordError
from bench.results.summary import summarise

INTERRUPTED = 2
"""Exit code of pytest after which it has left tests out."""

CACHES = ("NUMBA_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
"""Where compilers keep what they compiled between processes."""


@dataclass(frozen=True)
class Task:
    """One child: a benchmark file and the rows it measures, in order."""

    name: str
    suite: str
    rows: tuple[str, ...]
    cold: bool = False


@dataclass(frozen=True)
class Plan:
    """What a run measures.

    Attributes
    ----------
    rows : tuple of Case
        Backends × sizes.
    passes : int
        Shuffled repetitions of the hot loop.
    seconds : float
        Sampling time of a row in a pass.
    yardsticks : tuple of str
        What is measured at every size beside the backends, in every process.
    setup : bool
        Whether the set-up is measured, too.
    more : int
        Further passes, at most, of rows whose time, or ratio, is not clear after all others.
    data : FileRows, optional
        A file's rows to measure with, instead of synthetic ones.
    """

    rows: tuple[Case, ...]
    passes: int
    seconds: float
    baselines: tuple[str, ...] = (READ,)
    setup: bool = True
    more: int = 0
    data: FileRows | None = None

    def tasks(self) -> list[Task]:
        """Return every child of the run; the same plan gives the same list."""
        rng = random.Random(0)
        rows = self.rows if self.setup else ()
        setup = [Task(f"set-up {r}", "test_setup.py", (str(r),), cold=True) for r in rows]
        rng.shuffle(setup)
        passes = [f"pass {k + 1} of {self.passes}" for k in range(self.passes)]
        return setup + [task for name in passes for task in self._pass(name, self.rows, rng)]

    def further(self, number: int, rows: set[Case]) -> list[Task]:
        """Return one more pass, of these rows."""
        some = [row for row in self.rows if row in rows]
        return list(self._pass(f"further pass {number}", some, random.Random(number)))

    def _pass(self, called: str, rows: Iterable[Case], rng: random.Random) -> Iterator[Task]:
        by_library: dict[str, list[Case]] = {}
        for row in rows:
            by_library.setdefault(row.library, []).append(row)
        for library in rng.sample(sorted(by_library), len(by_library)):
            order = [
                row
                for size in _shuffled({r.size for r in by_library[library]}, rng)
                for row in self._of_size(size, by_library[library], rng)
            ]
            yield Task(f"{called}, {library}", "test_step.py", tuple(map(str, order)))

    def _of_size(
        self, size: tuple[int, int, str], rows: list[Case], rng: random.Random
    ) -> list[Case]:
        chosen = sorted(row for row in rows if row.size == size)
        if any(row.device == "cpu" for row in chosen):  # they are of the host's memory
            chosen += [Case(yardstick, *size) for yardstick in self.baselines]
        return rng.sample(chosen, len(chosen))


def _shuffled(
    sizes: set[tuple[int, int, str]], rng: random.Random
) -> list[tuple[int, int, str]]:
    return rng.sample(sorted(sizes), len(sizes))


class Runner:
    """Runs a plan's tasks one after the other and keeps what they give.

    Parameters
    ----------
    plan : Plan
    threads : int
        For every library.
    store : Path
        Folder of the results.
    timeout : float
        Seconds after which a row is given up.
    name : str
        What the result is called.
    tree : Path, optional
        Another checkout of the project, to be measured instead of this one.
    """

    def __init__(
        self,
        plan: Plan,
        threads: int,
        store: Path,
        timeout: float = 900.0,
        *,
        name: str = "",
        tree: Path = TREE,
    ) -> None:
        self.plan, self.threads, self.store, self.timeout = plan, threads, store, timeout
        self.tree = tree
        request = {
            "rows": [str(row) for row in plan.rows],
            "passes": plan.passes,
            "seconds": plan.seconds,
            "yardsticks": list(plan.baselines),
            "setup": plan.setup,
            "more": plan.more,
            **({"data": plan.data.as_dict(plan.rows[0].dtype)} if plan.data else {}),
        }
        created = datetime.now(UTC).isoformat(timespec="milliseconds")
        machine = describe(threads).as_dict()
        self.record = Record(
            *(created, request, machine, code_version(tree)), name=name, revision=revision(tree)
        )
        other = "" if tree == TREE else "-against"
        self.path = store / f"run-{created[:23].replace(':', '')}{other}.json"
        self._resume()

    def _resume(self) -> None:
        for path in sorted(self.store.glob("run-*.json"), reverse=True):
            try:
                found = Record.load(path)
            except RecordError:
                continue  # another version's, or damaged: not ours to continue
            if not found.complete and found.continues(self.record):
                self.path, self.record = path, found
                return

    def pending(self) -> list[Task]:
        """Return the tasks that the record does not hold yet."""
        return [task for task in self.plan.tasks() if task.name not in self.record.tasks]

    def run(self, started: Callable[[Task], None], ended: Callable[[Task], None]) -> Record:
        """Run what is pending; the record is saved before the first and after every task."""
        return side_by_side([self], started, ended)[0]

    def measure(
        self, task: Task, scratch: Path, seat: Seat | None = None, stop: Event | None = None
    ) -> Outcome:
        """Run one task."""
        children = Children(
            *(self.threads, self.plan.seconds, scratch),
            *(self.path.with_suffix(""), self.timeout, self.tree),
            data=self.plan.data,
            seat=seat,
            stop=stop or Event(),
        )
        task = self._without_failed(task)
        if _backends(task):
            return children.run(task)
        if seat:
            seat.leave()
        return Outcome()

    def keep(self, task: Task, outcome: Outcome) -> None:
        """Save what a task gave."""
        self.record = self.record.with_outcome(task.name, outcome)
        self.record.save(self.path)

    def _without_failed(self, task: Task) -> Task:
        """Leave out rows that failed before: one that kills its process takes others along."""
        failed = {row for outcome in self.record.tasks.values() for row in outcome.failures}
        return replace(task, rows=tuple(row for row in task.rows if row not in failed))


def side_by_side(
    runners: Sequence[Runner], started: Callable[[Task], None], ended: Callable[[Task], None]
) -> list[Record]:
    """Run the pending tasks of one plan for every runner, each first as often as last.

    Two that lack the same steps are measured together, round by round in turn; what
    happens to the machine meanwhile happens to both.
    """
    for runner in runners:
        if len(runners) > 1:
            runner.record = replace(runner.record, beside=runners[0].record.created)
        runner.record.save(runner.path)
    with tempfile.TemporaryDirectory(prefix="descentbench-") as folder:
        scratch = {id(runner): Path(folder) / str(k) for k, runner in enumerate(runners)}
        for path in scratch.values():
            path.mkdir()
        for k, task in enumerate(_tasks(runners)):
            pending = [
                (runner, scratch[id(runner)])
                for runner in (runners, runners[::-1])[k % 2]
                if task.name not in runner.record.tasks
            ]
            together = (
                [pending] if len(pending) == 2 and not task.cold else [[p] for p in pending]
            )
            for some in together:
                started(task)
                for (runner, _), outcome in zip(some, _measure(some, task), strict=True):
                    runner.keep(task, outcome)
                    ended(task)
    for runner in runners:
        runner.record = replace(runner.record, complete=True)
        runner.record.save(runner.path)
    return [runner.record for runner in runners]


def _tasks(runners: Sequence[Runner]) -> Iterator[Task]:
    """Yield the plan's tasks, and then further passes of what is not clear by then."""
    plan = runners[0].plan
    yield from plan.tasks()
    for number in range(1, plan.more + 1):
        yield from plan.further(number, _unclear([runner.record for runner in runners]))


def _unclear(records: Sequence[Record]) -> set[Case]:
    """Return the rows whose time, or of two runs side by side their ratio, is too uncertain."""
    if len(records) == 2:
        from bench.results.verdict import undecided  # SciPy's statistics take a while to import

        return undecided(*records)
    return {result.row for record in records for result in summarise(record) if result.unstable}


def _measure(some: Sequence[tuple[Runner, Path]], task: Task) -> list[Outcome]:
    """Run a task for one runner, or for two together; note what disturbed it."""
    noise = Noise()
    if len(some) == 1:
        outcomes = [runner.measure(task, scratch) for runner, scratch in some]
    else:
        outcomes = _in_turn(some, task)
    seen = noise.seen()
    return [replace(outcome, noise=seen) for outcome in outcomes]


def _in_turn(some: Sequence[tuple[Runner, Path]], task: Task) -> list[Outcome]:
    """Run a task for two runners at the same time, each child with a seat of its own."""
    stop = Event()
    with ThreadPoolExecutor(len(some)) as pool:
        outcomes = [
            pool.submit(runner.measure, task, scratch, seat, stop)
            for (runner, scratch), seat in zip(some, seats(), strict=True)
        ]
        try:
            return [outcome.result() for outcome in outcomes]
        finally:  # after Ctrl-C the children must not outlive us
            stop.set()


@dataclass(frozen=True)
class Children:
    """Runs tasks in processes of their own.

    Attributes
    ----------
    threads : int
        For every library.
    seconds : float
        Sampling time of a row.
    scratch : Path
        A folder for what children write; compiled code is kept there between them.
    logs : Path
        Where the output of a child that died is kept.
    timeout : float
        Seconds after which a row is given up.
    tree : Path
        The checkout whose benchmarks run.
    budget : float
        Seconds for a whole task.
    data : FileRows, optional
        A file's rows to measure with, instead of synthetic ones.
    seat : Seat, optional
        Where a child takes turns with another.
    stop : Event
        Ends a running child.
    """

    threads: int
    seconds: float
    scratch: Path
    logs: Path
    timeout: float
    tree: Path = TREE
    budget: float = math.inf
    data: FileRows | None = None
    seat: Seat | None = None
    stop: Event = field(default_factory=Event)

    def watched(self, task: Task) -> Outcome:
        """Run one task; note what disturbed it."""
        noise = Noise()
        outcome = self.run(task)
        return replace(outcome, noise=noise.seen())

    def run(self, task: Task) -> Outcome:
        """Run one task; of a child that dies, the rows that did no harm run once more."""
        warm = self.scratch / "warm"
        caches = Path(tempfile.mkdtemp(dir=self.scratch)) if task.cold else warm
        benchmarks, failures = caches / "benchmarks.json", caches / "failures.json"
        log, running = caches / "log", failures.with_name(RUNNING)
        caches.mkdir(exist_ok=True)
        for file in (benchmarks, failures, running):
            file.unlink(missing_ok=True)
        command = [
            *(sys.executable, "-m", "pytest", str(self.tree / "bench" / task.suite)),
            *("-c", os.devnull, "--rootdir", str(self.tree / "bench")),
            *("-p", "no:cacheprovider", "-q"),
            *("-p", "pytest_benchmark.plugin"),
            *("--benchmark-only", "--benchmark-disable-gc", f"--benchmark-json={benchmarks}"),
            *(f"--failures={failures}", f"--threads={self.threads}"),
            *(f"--seconds={self.seconds}", *(f"--row={row}" for row in task.rows)),
            *(["--alone"] if task.cold else []),
        ]
        settings = environment(self.threads) | {name: str(caches / name) for name in CACHES}
        # What else happens to be installed would be imported by every child.
        settings["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        settings |= self.data.environment() if self.data else {}
        watch, kills = Watch(running, self.timeout, self.budget), out_of_memory_kills()
        status = self._call(command, settings, log, watch)
        if task.cold:  # what it compiled saves the hot loop's children the time
            shutil.copytree(caches, warm, dirs_exist_ok=True)
        if status != INTERRUPTED and failures.exists():  # the last thing that a child writes
            failed: dict[str, str] = json.loads(failures.read_text(encoding="utf-8"))
            wrote = benchmarks.exists() and benchmarks.stat().st_size  # nothing of no success
            found = _measurements(benchmarks) if wrote else Outcome()
            return replace(found, failures=failed)
        watch.look()  # it may have come further since
        why = self._died(status, watch, out_of_memory_kills() > kills)
        return self._without(watch, task, f"{why}; see {self._keep(log, task, watch.row)}")

    def _call(
        self, command: list[str], settings: dict[str, str], log: Path, watch: Watch
    ) -> int | None:
        """Run a child, in turn with another where we have a seat."""

        def patience() -> bool:
            return watch() and not self.stop.is_set()

        if self.seat is None:
            return call(command, os.environ | settings, self.tree, log, patience)
        settings = settings | self.seat.environment
        descriptors = self.seat.descriptors
        try:
            return call(command, os.environ | settings, self.tree, log, patience, descriptors)
        finally:
            self.seat.leave()

    def _without(self, watch: Watch, task: Task, why: str) -> Outcome:
        """Run what is left of a task whose child died; say why of the row that it died of."""
        rest = replace(task, rows=tuple(row for row in task.rows if row != watch.row))
        left = self.budget - watch.seconds
        if len(rest.rows) == len(task.rows) or left <= 0 or self.stop.is_set():
            # Which row it was nobody knows; a yardstick must stay in the tasks to come.
            return Outcome(failures=dict.fromkeys(_backends(task), why))
        others = (
            replace(self, budget=left, seat=None).run(rest) if _backends(rest) else Outcome()
        )
        return replace(others, failures=others.failures | {watch.row: why})

    def _died(self, status: int | None, watch: Watch, out_of_memory: bool) -> str:
        """Say in a few words what became of a child."""
        if status is None:
            return f"stopped after {min(self.timeout, watch.seconds):.3g} s"
        if status >= 0:
            return f"its process ended with {status}"
        memory = ": memory ran out" if out_of_memory else ""
        return f"its process was killed by {signal.Signals(-status).name}{memory}"

    def _keep(self, log: Path, task: Task, row: str) -> Path:
        """Keep a child's log beside the results, named for the row that it died of."""
        name = task.name if row in task.name else ", ".join(filter(None, (task.name, row)))
        path = self.logs / f"{name.replace('/', ' ')}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(log, path)
        return path


def _backends(task: Task) -> list[str]:
    """Return a task's rows, yardsticks left out."""
    return [row for row in task.rows if Case.parse(row).backend not in BASELINES]


def _measurements(path: Path) -> Outcome:
    """Read what pytest-benchmark wrote."""
    raw = json.loads(path.read_text())

    def measurement(benchmark: dict[str, Any]) -> Measurement:
        info = benchmark["extra_info"]
        kind, row, steps = info.pop("kind"), info.pop("row"), info.pop("steps", 1)
        return Measurement(kind, row, tuple(benchmark["stats"]["data"]), steps, info)

    pools = raw["machine_info"]["thread_pools"]
    # A benchmark whose w was wrong in the end has timings, but never said what of.
    sound = [b for b in raw["benchmarks"] if "kind" in b["extra_info"]]
    return Outcome(tuple(map(measurement, sound)), {}, pools)
