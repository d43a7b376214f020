"""Measure the cases of a run in child processes, in shuffled order.

- Setup: each case has its own process with empty compile caches. In a shared process, only the
  first case would import the library and compile code.
- Steps: the steps of all cases are timed several times. In each such pass, each library has its
  own process. The orders of libraries and of cases are random in each pass, so that changes in
  the machine's speed favour no case.

If `Plan.by_size` is True, one size is measured completely before the next size, so that the
table of a size can be shown early. Otherwise each pass covers all sizes.
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
"""A function ``unclear(records)`` that returns the cases whose times in these records are not
precise enough, so that they must be measured again."""


Complete = Callable[[Sequence[Record], Stage], None]
"""A function ``complete(records, stage)``, called when all cases of a stage are measured."""

MOST_KEPT_BYTES = 1 << 28
"""Data size in bytes above which a process that used a GPU ends after its task: 256 MiB.
Libraries hold the memory of a GPU until their process ends."""


class Runner:
    """Runs the tasks of a plan one after the other, and saves the results after each task.

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
        Root folder of the checkout of descentbench whose backends are measured. The default is
        the checkout to which this file belongs.
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
        """Return the tasks of the plan whose outcomes are not in the result file yet."""
        return [task for task in self.plan.tasks() if task.name not in self.record.tasks]

    def run(
        self,
        started: Callable[[Task], None],
        ended: Callable[[Task], None],
        unclear: Unclear | None = None,
    ) -> Record:
        """Run all pending tasks; save the result file before the first task and after each."""
        return side_by_side([self], started, ended, unclear)[0]

    def measure(
        self, task: Task, scratch: Path, side: Side | None = None, stop: Event | None = None
    ) -> Outcome:
        """Run one task, without the cases that failed in an earlier task; return the outcome.

        Parameters
        ----------
        task : Task
        scratch : Path
            Folder for the child's files.
        side : Side, optional
            Connection to a second child process. The two children measure alternately.
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
        """Add the outcome of a task to the record of the run, and save the record."""
        self.record = self.record.with_outcome(task.name, outcome)
        self.record.save(self.path)

    def release(self, task: Task, *, last: bool) -> None:
        """End the process in which a task has run, or keep the process for a later task.

        The process for setups is kept until the run ends. Any other process is ended in three
        cases:

        - `last` is True: the task belongs to the last stage of the plan.
        - Little memory is free.
        - The process can still hold much memory of a GPU.
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

        A case that killed its process would kill it again, and the other cases of the task
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
    """Run all tasks of a plan that are not in the record yet; return the complete records.

    Two runners measure two checkouts of descentbench with the same plan. To time steps, each
    checkout has a child process, and the two children measure alternately. If another program
    slows the machine for a while, both checkouts are slowed equally. The order of the two
    runners changes with each task.

    Parameters
    ----------
    runners : sequence of Runner
        One runner, or two runners with equal plans.
    started, ended : callable
        ``started(task)`` is called before a task runs, and ``ended(task)`` afterwards.
    unclear : callable, optional
        Function that returns the cases to measure again; see `Unclear`. Needed if
        `Plan.more` is not 0.
    complete : callable, optional
        Function that is called after the last task of each stage; see `Complete`.
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
    """Run a task for each runner that does not have the result of the task yet.

    A task that times steps runs for two runners at the same time: their child processes measure
    alternately. A task that times setups runs for one runner after the other.
    """
    together = [pending] if len(pending) == 2 and not task.cold else [[p] for p in pending]
    for some in together:
        started(task)
        for (runner, _), outcome in zip(some, _measure(some, task), strict=True):
            runner.keep(task, outcome)
            ended(task)


def _tasks(stage: Stage, runners: Sequence[Runner], unclear: Unclear | None) -> Iterator[Task]:
    """Yield the tasks of a stage, then tasks that repeat the measurement of imprecise cases."""
    plan = runners[0].plan
    yield from stage.tasks
    for number in range(1, plan.more + 1):
        if unclear is None:
            raise ValueError("a plan with further passes needs the function `unclear`")
        found = unclear([runner.record for runner in runners])
        yield from plan.further(number, found.intersection(stage.cases))


def _measure(some: Sequence[tuple[Runner, Path]], task: Task) -> list[Outcome]:
    """Run a task for one runner or for two alternating runners; return the outcome of each.

    An outcome also says how much other programs disturbed the machine.
    """
    noise = Noise()
    if len(some) == 1:
        outcomes = [runner.measure(task, scratch) for runner, scratch in some]
    else:
        outcomes = _alternating(some, task)
    seen = noise.seen()
    return [replace(outcome, noise=seen) for outcome in outcomes]


def _alternating(some: Sequence[tuple[Runner, Path]], task: Task) -> list[Outcome]:
    """Run a task for two runners, whose two child processes measure alternately."""
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
