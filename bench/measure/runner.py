"""Measure the cases of a run in child processes, in shuffled order.

- Setup: each case has its own process, which has not imported the library and has empty compile
  caches. Reason: in a shared process, only the first case would import and compile.
- Steps: each library has its own process in each pass. Libraries and cases are shuffled in each
  pass, so that a change in the machine's speed affects all cases equally.

With `Plan.by_size`, all passes over a size come before the next size, so that the table of a
size can be shown early. Without it, each pass covers all sizes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from threading import Event

from bench.host.limits import available_bytes
from bench.host.machine import describe
from bench.host.noise import Noise
from bench.measure.alternation import Side, sides
from bench.measure.launcher import KEEP_BYTES, Launcher
from bench.measure.plan import Plan, Stage, Task
from bench.measure.version import TREE, code_version, revision
from bench.measure.worker import Children, backend_cases
from bench.results.case import Case
from bench.results.record import Outcome, Record, RecordError

Unclear = Callable[[Sequence[Record]], set[Case]]
"""``unclear(records)`` returns the cases that need further passes, given the records so far."""


Complete = Callable[[Sequence[Record], Stage], None]
"""``complete(records, stage)`` is called when all results of a stage's cases are known."""

MOST_KEPT_BYTES = 1 << 28
"""Data size in bytes above which a process that used a GPU ends after its task: 256 MiB.
Libraries hold the memory of a GPU until their process ends."""


class Runner:
    """Runs the tasks of a plan one after the other and saves their outcomes.

    Parameters
    ----------
    plan : Plan
    threads : int
        Threads that each library may use.
    store : Path
        Folder of the results.
    timeout : float
        Time limit for a case in seconds.
    name : str
        Name of the result.
    tree : Path, optional
        Another checkout of the project, measured instead of this one.
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
        self.launcher: Launcher | None = None
        request = {
            "rows": [str(case) for case in plan.cases],
            "passes": plan.passes,
            "seconds": plan.seconds,
            "yardsticks": list(plan.baselines),  # the baselines' name in older records
            "setup": plan.setup,
            "more": plan.more,
            **({"by_size": True} if len(plan.stages()) > 1 else {}),
            **({"data": plan.data.as_dict(plan.cases[0].dtype)} if plan.data else {}),
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
                continue  # written by another version, or damaged
            if not found.complete and found.continues(self.record):
                self.path, self.record = path, found
                return

    def pending(self) -> list[Task]:
        """Return the tasks that are not in the record yet."""
        return [task for task in self.plan.tasks() if task.name not in self.record.tasks]

    def run(
        self,
        started: Callable[[Task], None],
        ended: Callable[[Task], None],
        unclear: Unclear | None = None,
    ) -> Record:
        """Run all pending tasks; save the record before the first task and after every task."""
        return side_by_side([self], started, ended, unclear)[0]

    def measure(
        self, task: Task, scratch: Path, side: Side | None = None, stop: Event | None = None
    ) -> Outcome:
        """Run one task without the cases that failed before; return the outcome.

        Parameters
        ----------
        task : Task
        scratch : Path
            Folder for the child's files.
        side : Side, optional
            Lets the child alternate with another child.
        stop : Event, optional
            Setting this event ends the child.
        """
        children = Children(
            *(self.threads, self.plan.seconds, scratch),
            *(self.path.with_suffix(""), self.timeout, self.tree),
            data=self.plan.data,
            launcher=self.launcher,
            side=side,
            stop=stop or Event(),
        )
        task = self._without_failed(task)
        if backend_cases(task):
            return children.run(task)
        if side:
            side.leave()
        return Outcome()

    def keep(self, task: Task, outcome: Outcome) -> None:
        """Add the outcome of a task to the record, and save the record."""
        self.record = self.record.with_outcome(task.name, outcome)
        self.record.save(self.path)

    def release(self, task: Task, *, last: bool) -> None:
        """End the process in which a task has run, or keep it for a later task.

        It ends if this is the `last` stage, if little memory is free, or if it may hold much
        memory of a GPU. The process for setups is always kept.
        """
        if self.launcher is None or task.cold:
            return
        cases = [Case.parse(case) for case in task.cases]
        on_device = any(case.device != "cpu" for case in cases)
        large = on_device and max(case.bytes_per_step for case in cases) > MOST_KEPT_BYTES
        if last or large or available_bytes() < KEEP_BYTES:
            self.launcher.end(task.process)

    def _without_failed(self, task: Task) -> Task:
        """Return the task without the cases that failed before.

        Reason: a case that killed its process would kill it again, and the task's other cases
        would have no result.
        """
        failed = {case for outcome in self.record.tasks.values() for case in outcome.failures}
        return replace(task, cases=tuple(case for case in task.cases if case not in failed))


def side_by_side(
    runners: Sequence[Runner],
    started: Callable[[Task], None],
    ended: Callable[[Task], None],
    unclear: Unclear | None = None,
    complete: Complete = lambda _records, _stage: None,
) -> list[Record]:
    """Run the pending tasks of a plan for one runner, or for two runners in alternation.

    With two runners, the order of the runners changes with each task. A task that times steps
    runs for both runners together, in alternating rounds. A disturbance of the machine then
    affects both runners.

    Parameters
    ----------
    runners : sequence of Runner
        One runner, or two runners with equal plans.
    started, ended : callable
        Called with a task before and after it runs.
    unclear : callable, optional
        See `Unclear`; needed if `Plan.more` is not 0.
    complete : callable, optional
        See `Complete`; called after the last task of each stage.
    """
    for runner in runners:
        if len(runners) > 1:
            runner.record = replace(runner.record, beside=runners[0].record.created)
        runner.record.save(runner.path)
    stages, order = runners[0].plan.stages(), cycle((runners, runners[::-1]))
    with tempfile.TemporaryDirectory(prefix="descentbench-") as folder:
        scratch = {id(runner): Path(folder) / str(k) for k, runner in enumerate(runners)}
        for path in scratch.values():
            path.mkdir()
        if len(runners) == 1 and runners[0].tree == TREE:
            runners[0].launcher = Launcher(Path(folder))
        try:
            for stage in stages:
                for task in _tasks(stage, runners, unclear):
                    pending = [
                        (runner, scratch[id(runner)])
                        for runner in next(order)
                        if task.name not in runner.record.tasks
                    ]
                    _run(task, pending, started, ended)
                    for runner in runners:
                        runner.release(task, last=stage is stages[-1])
                complete([runner.record for runner in runners], stage)
        finally:
            for runner in runners:
                if runner.launcher is not None:
                    runner.launcher.end_all()
    for runner in runners:
        runner.record = replace(runner.record, complete=True)
        runner.record.save(runner.path)
    return [runner.record for runner in runners]


def _run(
    task: Task,
    pending: list[tuple[Runner, Path]],
    started: Callable[[Task], None],
    ended: Callable[[Task], None],
) -> None:
    """Run a task for one or two runners. Two runners time steps together, setups one by one."""
    together = [pending] if len(pending) == 2 and not task.cold else [[p] for p in pending]
    for some in together:
        started(task)
        for (runner, _), outcome in zip(some, _measure(some, task), strict=True):
            runner.keep(task, outcome)
            ended(task)


def _tasks(stage: Stage, runners: Sequence[Runner], unclear: Unclear | None) -> Iterator[Task]:
    """Yield a stage's tasks, then the tasks of further passes over cases still unclear."""
    plan = runners[0].plan
    yield from stage.tasks
    for number in range(1, plan.more + 1):
        if unclear is None:
            raise ValueError("a plan with further passes needs the function `unclear`")
        found = unclear([runner.record for runner in runners])
        yield from plan.further(number, found.intersection(stage.cases))


def _measure(some: Sequence[tuple[Runner, Path]], task: Task) -> list[Outcome]:
    """Run a task for one runner, or for two runners together; record the disturbances."""
    noise = Noise()
    if len(some) == 1:
        outcomes = [runner.measure(task, scratch) for runner, scratch in some]
    else:
        outcomes = _alternating(some, task)
    seen = noise.seen()
    return [replace(outcome, noise=seen) for outcome in outcomes]


def _alternating(some: Sequence[tuple[Runner, Path]], task: Task) -> list[Outcome]:
    """Run a task for two runners whose child processes alternate."""
    stop = Event()
    with ThreadPoolExecutor(len(some)) as pool:
        outcomes = [
            pool.submit(runner.measure, task, scratch, side, stop)
            for (runner, scratch), side in zip(some, sides(), strict=True)
        ]
        try:
            return [outcome.result() for outcome in outcomes]
        finally:  # after Ctrl-C, end the children before this process
            stop.set()
