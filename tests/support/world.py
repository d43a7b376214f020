"""A made-up machine with known costs, on which tests run picks."""

from __future__ import annotations

import pytest

from bench.checks.made_up import Costs, MadeUp
from bench.measure.plan import Task
from bench.pick import explorer as explore
from bench.results.record import Outcome

BYTES_A_ROW = 8
"""Bytes of a row with one float32 feature and its target."""


def costs(imports: float, place: float, overhead: float, latency: float, a_row: float) -> Costs:
    """Return costs in seconds: import, placing, overhead of the first call, step, and each row.

    A row takes the same time whether it is in a cache or in memory.
    """
    arithmetic = a_row / BYTES_A_ROW
    return Costs(imports, place, overhead, latency, arithmetic, 1e-9 if a_row else 0.0, 8e9)


COSTS = {
    "numpy": costs(0.0, 1e-3, 1e-4, 5e-6, 2e-9),
    "numpy:blocked": costs(0.0, 2e-3, 1e-4, 8e-6, 4e-10),
    "numpy:gram": costs(0.0, 2e-3, 1e-5, 3e-8, 0.0),
    "numba:parallel": costs(0.2, 5e-3, 2.0, 1e-6, 1e-10),
    "torch": costs(1.0, 5e-3, 0.05, 8e-5, 6e-9),
    "jax:loop": costs(0.5, 1e-2, 0.1, 1e-6, 2e-10),
}


class World(MadeUp):
    """A made-up machine whose clock moves only while child processes run.

    With `monkeypatch`, every pick of the test measures on this machine. After `stop_after`
    tasks, the next task raises KeyboardInterrupt.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch | None = None, **more: object) -> None:
        rates = {"memory_rate": 1e11, "cache_rate": 4e11}  # no step is faster than a read
        super().__init__(dict(COSTS), **(rates | more))  # type: ignore[arg-type]
        self.stop_after: int | None = None
        if monkeypatch:
            monkeypatch.setattr(explore, "Measuring", lambda *_: self)

    def run(self, task: Task, seconds: float) -> Outcome:
        """Return the outcome of a task; raise KeyboardInterrupt after `stop_after` tasks."""
        if self.stop_after is not None and len(self.tasks) >= self.stop_after:
            raise KeyboardInterrupt
        return super().run(task, seconds)
