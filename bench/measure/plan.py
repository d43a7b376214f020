"""A run's plan: the order of the child processes, and the benchmark cases of each process."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bench.measure.filerows import FileRows
from bench.results.case import READ, Case

Data = tuple[int, int, str, str]
"""Rows, features, dtype and loss of cases that share their data."""


@dataclass(frozen=True)
class Task:
    """The work of one child process: a benchmark file and its cases, in order.

    Attributes
    ----------
    name : str
        Name of the task in the record, unique within a plan.
    suite : str
        Name of the benchmark file.
    cases : tuple of str
        Cases as text; see `Case`.
    cold : bool
        Whether the process starts with empty compile caches.
    """

    name: str
    suite: str
    cases: tuple[str, ...]
    cold: bool = False


@dataclass(frozen=True)
class Plan:
    """The cases and baselines that a run measures, and their sampling.

    Attributes
    ----------
    cases : tuple of Case
        Every backend at every size.
    passes : int
        Number of shuffled repetitions of the hot loop.
    seconds : float
        Sampling time of a case in a pass, in seconds.
    baselines : tuple of str
        Baselines that each process measures at every size of its cases.
    setup : bool
        Whether setup times are measured as well.
    more : int
        Largest number of further passes over cases that are unclear after the planned passes.
    data : FileRows, optional
        Rows of a file that replace synthetic rows.
    """

    cases: tuple[Case, ...]
    passes: int
    seconds: float
    baselines: tuple[str, ...] = (READ,)
    setup: bool = True
    more: int = 0
    data: FileRows | None = None

    def tasks(self) -> list[Task]:
        """Return every task of the run; equal plans give equal lists."""
        rng = random.Random(0)
        cases = self.cases if self.setup else ()
        setup = [Task(f"set-up {c}", "test_setup.py", (str(c),), cold=True) for c in cases]
        rng.shuffle(setup)
        passes = [f"pass {k + 1} of {self.passes}" for k in range(self.passes)]
        return setup + [task for name in passes for task in self._pass(name, self.cases, rng)]

    def further(self, number: int, cases: set[Case]) -> list[Task]:
        """Return one more pass over these cases."""
        some = [case for case in self.cases if case in cases]
        return list(self._pass(f"further pass {number}", some, random.Random(number)))

    def _pass(self, called: str, cases: Iterable[Case], rng: random.Random) -> Iterator[Task]:
        by_library: dict[str, list[Case]] = {}
        for case in cases:
            by_library.setdefault(case.library, []).append(case)
        for library in rng.sample(sorted(by_library), len(by_library)):
            order = [
                case
                for data in _shuffled({c.data for c in by_library[library]}, rng)
                for case in self._with_data(data, by_library[library], rng)
            ]
            yield Task(f"{called}, {library}", "test_step.py", tuple(map(str, order)))

    def _with_data(self, data: Data, cases: list[Case], rng: random.Random) -> list[Case]:
        chosen = sorted(case for case in cases if case.data == data)
        if any(case.device == "cpu" for case in chosen):  # baselines use the host's memory
            chosen += [Case(baseline, *data) for baseline in self.baselines]
        return rng.sample(chosen, len(chosen))


def _shuffled(found: set[Data], rng: random.Random) -> list[Data]:
    return rng.sample(sorted(found), len(found))
