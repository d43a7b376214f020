"""A made-up machine that measures for an explorer."""

from __future__ import annotations

import pytest

from bench.measure.plan import Task
from bench.measure.worker import Children
from bench.pick import explorer as explore
from bench.results.case import READ, Case
from bench.results.record import Measurement, Outcome


class World:
    """A clock that only children move, and what they cost."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.tasks = 0.0, list[Task]()
        self.stop_after: int | None = None
        monkeypatch.setattr(explore.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(Children, "run", lambda c, task: self.run(task, c.budget))

    def run(self, task: Task, budget: float) -> Outcome:
        if self.stop_after is not None and len(self.tasks) >= self.stop_after:
            raise KeyboardInterrupt
        self.tasks.append(task)
        found: list[Measurement] = []
        began = self.now
        self.now += 0.5
        for row in map(Case.parse, task.cases):
            if row.backend == READ:
                info = {"bytes": row.bytes_per_step}
                found.append(Measurement("read", str(row), (row.rows * 4e-10,), 1, info))
                continue
            imports, place, overhead, latency, a_row = COSTS[row.backend]
            step = latency + a_row * row.rows
            place += row.rows * 1e-9
            self.now += row.rows * 3e-8 + 0.1
            if task.suite == "test_setup.py":
                self.now += imports + overhead
                memory = {"peak_bytes": 60_000_000 + 12 * row.rows}
                found += [Measurement("import", str(row), (imports,))] if imports else []
                found.append(Measurement("place", str(row), (place,)))
                found.append(Measurement("first_call", str(row), (overhead + step,), 1, memory))
                more = {"added_bytes": 4 * 10**6, "more_rows": 10**6}
                found.append(Measurement("more_rows", str(row), (step,), 1, more))
            else:
                info = {"place_again_s": place}
                found.append(Measurement("step", str(row), (step,) * 5, 1, info))
        if self.now >= began + budget:
            self.now = began + budget
            return Outcome(failures={task.cases[0]: "gave up"})
        return Outcome(tuple(found))


COSTS = {  # import, place, overhead, latency, a row
    "numpy": (0.0, 1e-3, 1e-4, 5e-6, 2e-9),
    "numpy:blocked": (0.0, 2e-3, 1e-4, 8e-6, 4e-10),
    "numba:parallel": (0.2, 5e-3, 2.0, 1e-6, 1e-10),
    "torch": (1.0, 5e-3, 0.05, 8e-5, 6e-9),
    "jax:loop": (0.5, 1e-2, 0.1, 1e-6, 2e-10),
    "numpy:gram": (0.0, 2e-3, 1e-5, 3e-8, 0.0),
}
