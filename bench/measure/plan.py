"""Plan a run: choose the order of the child processes and the cases of each process."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bench.measure.filerows import FileRows
from bench.results.case import READ, Case

Data = tuple[int, int, str, str]
"""Rows, features, dtype and loss. Cases with equal values use the same X and y."""


@dataclass(frozen=True)
class Task:
    """The work of one child process: a benchmark file and its cases, in order.

    Attributes
    ----------
    name : str
        Name of the task in the result file, unique within a plan.
    suite : str
        Name of the benchmark file, such as ``test_step.py``.
    cases : tuple of str
        Cases as text; see `Case`.
    cold : bool
        Whether the process starts with empty compile caches.
    memory : bool
        Whether the process also measures how much memory the backend needs besides the data.
        Ignored if `cold` is False.
    process : str
        Name of the process that runs the task. Tasks with equal names share a process. If the
        name is "", the task has a process of its own.
    """

    name: str
    suite: str
    cases: tuple[str, ...]
    cold: bool = False
    memory: bool = True
    process: str = ""


@dataclass(frozen=True)
class Stage:
    """A part of a plan: consecutive tasks, and the cases that these tasks measure completely.

    A task is the work of one child process. A case belongs to several tasks, one in each pass.
    """

    tasks: tuple[Task, ...]
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Plan:
    """The cases and baselines that a run measures, how often, and for how long.

    Attributes
    ----------
    cases : tuple of Case
        Every backend at every size.
    passes : int
        Number of passes. In each pass, the steps of every case are timed once, in a shuffled
        order.
    seconds : float
        Sampling time of a case in a pass, in seconds.
    baselines : tuple of str
        Baselines, such as a plain read of the data. Each child process measures the baselines
        at every size for which it times steps.
    setup : bool
        Whether setup times are measured, too.
    more : int
        Largest number of additional passes. An additional pass measures only the cases whose
        times are not precise enough yet.
    data : FileRows, optional
        File whose rows replace synthetic rows.
    by_size : bool
        Whether all tasks of a size run before the tasks of the next size. If False, each pass
        covers all sizes.
    """

    cases: tuple[Case, ...]
    passes: int
    seconds: float
    baselines: tuple[str, ...] = (READ,)
    setup: bool = True
    more: int = 0
    data: FileRows | None = None
    by_size: bool = False

    def tasks(self) -> list[Task]:
        """Return every task of the run; equal plans give equal lists."""
        return [task for stage in self.stages() for task in stage.tasks]

    def stages(self) -> list[Stage]:
        """Return the stages of the run, in order; see `Stage`.

        If `by_size` is True, there is a stage for each size, beginning with the smallest size.
        Otherwise one stage has all tasks.
        """
        rng = random.Random(0)
        found = []
        for cases in self._parts():
            setup = [self._setup(case) for case in cases] if self.setup else []
            rng.shuffle(setup)
            for k in range(self.passes):
                setup += self._pass(f"pass {k + 1} of {self.passes}", cases, rng)
            found.append(Stage(tuple(setup), cases))
        return found

    def _parts(self) -> list[tuple[Case, ...]]:
        if not self.by_size:
            return [self.cases]
        parts: dict[Data, list[Case]] = {}
        for case in self.cases:
            parts.setdefault(case.data, []).append(case)
        small_first = sorted(parts, key=lambda d: (d[1], d[0], *d[2:]))  # as in the table
        return [tuple(parts[data]) for data in small_first]

    def _setup(self, case: Case) -> Task:
        """Return the task that measures the setup of a case.

        If no other case of the backend has more rows, the task also measures how much memory
        the backend needs besides the data.
        """
        kind = (case.backend, case.features, case.dtype, case.loss)
        most = max(
            c.rows for c in self.cases if (c.backend, c.features, c.dtype, c.loss) == kind
        )
        return Task(
            f"set-up {case}",
            "test_setup.py",
            (str(case),),
            cold=True,
            memory=case.rows == most,
            process="set-up",
        )

    def further(self, number: int, cases: set[Case]) -> list[Task]:
        """Return the tasks that time the steps of each case in `cases` once more.

        `number` is 1 for the first additional pass of a run, 2 for the second, and so on.
        """
        some = [case for case in self.cases if case in cases]
        return list(self._pass(f"further pass {number}", some, random.Random(number)))

    def _pass(self, called: str, cases: Iterable[Case], rng: random.Random) -> Iterator[Task]:
        by_library: dict[str, list[Case]] = {}
        for case in cases:
            by_library.setdefault(case.library, []).append(case)
        for library in rng.sample(sorted(by_library), len(by_library)):
            sizes = {c.data for c in by_library[library]}
            order = [
                case
                for data in _shuffled(sizes, rng)
                for case in self._with_data(data, by_library[library], rng)
            ]
            name = f"{called}, {library}"
            where = f", {Case(READ, *min(sizes))}" if len(self._parts()) > 1 else ""
            process = name if where else ""
            yield Task(
                f"{name}{where}", "test_step.py", tuple(map(str, order)), process=process
            )

    def _with_data(self, data: Data, cases: list[Case], rng: random.Random) -> list[Case]:
        chosen = sorted(case for case in cases if case.data == data)
        if any(case.device == "cpu" for case in chosen):  # baselines use the host's memory
            chosen += [Case(baseline, *data) for baseline in self.baselines]
        return rng.sample(chosen, len(chosen))


def _shuffled(found: set[Data], rng: random.Random) -> list[Data]:
    return rng.sample(sorted(found), len(found))
