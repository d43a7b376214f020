"""Measure in a loop: choose the next task, run the task, and fit all models anew.

`bench.pick.planner` chooses the tasks. This module runs the tasks, saves their outcomes and
limits their time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol, Self

from bench.host.noise import Noise
from bench.measure.plan import Task
from bench.measure.read_curve import measure_read_curve
from bench.measure.version import revision
from bench.measure.worker import Children
from bench.pick.expense import SECONDS, SETUP
from bench.pick.known import Known, Setting, Spent, know
from bench.pick.planner import READ_CURVE, next_task, patience_s, start_s
from bench.results.case import READ, Case
from bench.results.record import Outcome, Record

OVERRUN = 0.1
"""Time by which a child process can exceed the time budget, as a fraction of the budget."""

LEAST_S = 2.0
"""Smallest time limit of a child process, in seconds.

A child process is allowed this time even if less of the pick's time budget is left.
"""

Report = Callable[[str, float, Known], None]
"""Progress callback, called before each task.

The arguments are the task's name, the spent fraction of the budget, and the state of the pick.
"""


class Measure(Protocol):
    """Interface of an object that measures a machine, or that simulates one in a test."""

    def run(self, task: Task, seconds: float) -> Outcome:
        """Run the child process of a task for at most `seconds` seconds; return its outcome."""

    def read_curve(self) -> dict[str, Outcome]:
        """Measure the read speed at each data size; return the outcomes by task name."""

    def clock(self) -> float:
        """Return the seconds of a clock that is never set back."""


@dataclass
class Measuring:
    """Measures tasks on this machine, in child processes.

    Attributes
    ----------
    threads : int
    machine : mapping
        The machine's description, from `bench.host.machine.Machine.as_dict`.
    scratch : Path
        Folder for the files of child processes, such as the compiled code that they share.
    logs : Path
        Folder for the output of child processes that died.
    """

    threads: int
    machine: dict[str, Any]
    scratch: Path
    logs: Path

    def run(self, task: Task, seconds: float) -> Outcome:
        """Run the child process of a task for at most `seconds` seconds; return its outcome."""
        children = Children(
            *(self.threads, SECONDS, self.scratch, self.logs, seconds), budget=seconds
        )
        return children.watched(task)

    def read_curve(self) -> dict[str, Outcome]:
        """Measure the read speed at each data size; return the outcomes by task name."""
        noise = Noise()
        tasks = measure_read_curve(self.threads, self.machine)
        seen = noise.seen()
        return {name: replace(outcome, noise=seen) for name, outcome in tasks.items()}

    def clock(self) -> float:
        """Return the seconds of a clock that is never set back."""
        return time.monotonic()


@dataclass
class Explorer:
    """Measures the backends for one request, and saves the measurements.

    Attributes
    ----------
    setting : Setting
    store : Path
        Folder of the results.
    earlier : sequence of Record
        Measurements from the store.
    budget : float
        Longest time for measuring, in seconds.
    asked : dict
        The user's options that choose the backends, to be saved with the measurements.
    claim : callable
        Function that locks the store. It is called before the first measurement.
    measure : Measure, optional
        Object that measures the tasks; by default a `Measuring`.
    save : bool
        Whether the record is written to the store.
    late : dict
        The keys are the backends whose child process was stopped at its time limit. The values
        are the explanations that the answer shows.
    """

    setting: Setting
    store: Path
    earlier: Sequence[Record]
    budget: float
    asked: dict[str, list[str]] = field(default_factory=dict)
    claim: Callable[[], None] = lambda: None
    measure: Measure | None = None
    save: bool = True
    late: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        created = datetime.now(UTC).isoformat(timespec="milliseconds")
        request = self.setting.request
        asked = {
            "rows": request.rows,
            "features": request.features,
            "iterations": request.iterations,
            "dtype": request.dtype,
            "loss": request.loss,
            "budget": self.budget,
            "loop_only": request.loop_only,
            "names": list(self.setting.names),
            "missing": dict(self.setting.missing),
            **self.asked,
        }
        machine = dict(self.setting.machine)
        self.record = Record(created, {"rows": [], "pick": asked}, machine, self.setting.code)
        self.path = self.store / f"pick-{created[:23].replace(':', '')}.json"
        self.scratch: TemporaryDirectory[str] | None = None
        self.known = know(self.setting, self.earlier, self.budget)

    @property
    def records(self) -> list[Record]:
        """The earlier records, followed by the record of this object's own measurements."""
        return [*self.earlier, self.record]

    def __enter__(self) -> Self:
        if self.measure is None:
            self.scratch = TemporaryDirectory(prefix="descentbench-")
            self.measure = Measuring(
                self.setting.threads,
                dict(self.setting.machine),
                Path(self.scratch.name),
                self.path.with_suffix(""),
            )
        self.began = self.measure.clock()
        return self

    def __exit__(self, *_: object) -> None:
        if self.record.tasks and not self.record.complete:
            self._save()
        if self.scratch:
            self.scratch.cleanup()

    @property
    def left(self) -> float:
        """Seconds of the budget that are left."""
        assert self.measure is not None  # noqa: S101 the explorer was entered
        return self.budget - (self.measure.clock() - self.began)

    def explore(
        self, report: Report, reserve: Callable[[Known], float] = lambda _: 0.0
    ) -> None:
        """Measure until the request is answered or the budget is spent.

        Parameters
        ----------
        report : callable
            Progress callback, see `Report`.
        reserve : callable
            Function that returns how many seconds of the budget to leave for measurements after
            this call.
        """
        while task := next_task(self.known, self.left - reserve(self.known)):
            report(task.name, 1 - self.left / self.budget, self.known)
            if task == READ_CURVE:
                self._read_curve()
            else:
                self._child(task)
        if self.record.tasks:
            self.record = replace(self.record, complete=True)
            self._save()

    def can_spend(self, seconds: float) -> bool:
        """Return whether measuring for `seconds` more stays within 110 % of the budget."""
        return self.left + OVERRUN * self.budget >= seconds

    def stage(self, task: Task) -> None:
        """Run the child process of a task when `explore` has returned; save the outcome.

        The child process is stopped at 110 % of the time budget.
        """
        assert self.measure is not None  # noqa: S101 the explorer was entered
        most = self.left + OVERRUN * self.budget
        self._begin()
        self.keep(task, self.measure.run(task, most))
        self._save()

    def _begin(self) -> None:
        """Before the first measurement, lock the store and record the git revision."""
        if not self.known.spent:
            self.claim()
            self.record = replace(self.record, revision=revision())

    def _read_curve(self) -> None:
        assert self.measure is not None  # noqa: S101 the explorer was entered
        self._begin()
        began = self.measure.clock()
        for name, outcome in self.measure.read_curve().items():
            self.record = self.record.with_outcome(name, outcome)
        self._learn(Spent(READ_CURVE.suite, (), self.measure.clock() - began))

    def _child(self, task: Task) -> None:
        """Run the child process of a task, save its outcome, and fit all models anew.

        A child process that is stopped at its time limit has no outcome. If a setup took
        longer than `patience_s` allows, `_give_up` saves a lower bound of the setup time. In
        all other cases, the reason is saved in `late`.
        """
        assert self.measure is not None  # noqa: S101 the explorer was entered
        self._begin()
        patience = patience_s(self.known, task)
        most = min(max(LEAST_S, self.left + OVERRUN * self.budget), patience)
        began = self.measure.clock()
        outcome = self.measure.run(task, most)
        taken = self.measure.clock() - began
        if taken < most:
            self.keep(task, outcome)
        elif taken >= patience and task.suite == SETUP:
            self._give_up(task, patience)
        elif taken >= patience:
            for case in task.cases:
                self.late[Case.parse(case).backend] = (
                    f"given up after {taken:.0f} s of timing its library's steps"
                )
        else:  # the budget ended before the child process did
            for case in task.cases:
                self.late[Case.parse(case).backend] = (
                    f"the budget ended after {taken:.0f} s of its measurement"
                )
        self._learn(Spent(task.suite, task.cases, taken))

    def _give_up(self, task: Task, seconds: float) -> None:
        """Write to the record that the setup of a task takes longer than was allowed.

        The child process was stopped after `seconds`. The recorded lower bound of the setup
        time is `seconds` minus the time to start the child process.
        """
        at_least = dict(self.record.request["pick"].get("at_least", {}))
        at_least[Case.parse(task.cases[0]).backend] = max(1e-3, seconds - start_s(self.known))
        pick = self.record.request["pick"] | {"at_least": at_least}
        self.record = replace(self.record, request=self.record.request | {"pick": pick})

    def keep(self, task: Task, outcome: Outcome) -> None:
        """Add a task's benchmark cases and outcome to the record of this pick."""
        asked = [*self.record.request["rows"]]
        asked += [r for r in task.cases if r not in asked and not r.startswith(f"{READ}/")]
        self.record = replace(self.record, request=self.record.request | {"rows": asked})
        self.record = self.record.with_outcome(task.name, outcome)

    def _learn(self, spent: Spent) -> None:
        """Save the record and fit all models anew."""
        self._save()
        children = (*self.known.spent, spent)
        self.known = know(self.setting, self.records, self.budget, children)

    def _save(self) -> None:
        if self.save:
            self.record.save(self.path)

    def unmeasured(self) -> dict[str, str]:
        """Return the backends without a predicted total (keys) and the reasons (values)."""
        reasons = self.known.unmeasured()
        return reasons | {b: why for b, why in self.late.items() if self._lacks(b)}

    def _lacks(self, backend: str) -> bool:
        model = self.known.models.get(backend)
        return (
            model is not None
            and not model.complete
            and not model.observations.failure
            and backend not in self.known.excluded
        )
