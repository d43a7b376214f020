"""Hold totals ten times beyond the largest measured size against measurements.

Learnt and held in one interleaved run: on a shared machine the memory's pace
drifts by more than what is looked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from bench.check import Prediction, hold, measure, plain_table

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from bench.model import CostModel
    from bench.summary import Result

FEATURES, ROWS = 4, 300_000_000
"""What is predicted: the data fill gigabytes."""

LEARNT = 10_000, 1_000_000, 10_000_000, 30_000_000
"""Rows that are learnt from; the last two are the end of the ladder for a far target."""

ITERATIONS = 100, 10_000

CONTENDERS = "numpy:blocked", "numba:parallel", "numpy:gram"
"""Those that such a request may be answered with."""


@dataclass(frozen=True)
class Part:
    """A part of a total that was predicted and then measured; seconds."""

    backend: str
    name: str
    predicted_s: float
    measured_s: float


@dataclass(frozen=True)
class Extrapolation:
    """Totals, and the parts that they are made of."""

    predictions: tuple[Prediction, ...]
    parts: tuple[Part, ...]

    def page(self) -> RenderableType:
        """Return a sentence on the totals and a table of the parts."""
        from rich.console import Group
        from rich.text import Text

        from bench.table import count, percent

        errors = [p.error for p in self.predictions]
        low = sum(p.predicted_s < p.measured_s for p in self.predictions)
        worst = max(self.predictions, key=lambda p: p.error)
        line = (
            f"\nTen times beyond the largest measured size ({count(worst.rows)} × "
            f"{worst.features}): over {len(errors)} totals the median error is "
            f"{percent(median(errors))}, the worst {percent(worst.error)} ({worst.backend}); "
            f"{low} were predicted too low."
        )
        return Group(Text(line), Text(), self._parts())

    def _parts(self) -> RenderableType:
        table = plain_table("backend", "part", "predicted s", "measured s", "ratio")
        for p in self.parts:
            seconds = f"{p.predicted_s:.3g}", f"{p.measured_s:.3g}"
            table.add_row(p.backend, p.name, *seconds, f"{p.predicted_s / p.measured_s:.2f}")
        return table


def extrapolate(
    threads: int, store: Path, report: Callable[[str, float], None]
) -> Extrapolation:
    """Measure the contenders up to `ROWS`, and predict the last from the others."""
    from bench.machine import describe
    from bench.model import CostModel
    from bench.store import observations
    from bench.summary import summarise

    sizes = [*LEARNT, ROWS]
    rows = [(name, n, FEATURES, "float32") for name in CONTENDERS for n in sizes]
    record = measure(rows, threads, store, report)
    cache = max(describe(threads).caches.values(), default=32 << 20)
    models = [
        CostModel(name, seen.up_to(LEARNT[-1]), FEATURES, "float32", cache)
        for name, seen in observations([record], FEATURES, "float32").items()
    ]
    there = [r for r in summarise(record) if r.rows == ROWS]
    parts = [p for m in models for r in there if r.backend == m.backend for p in parts_of(m, r)]
    return Extrapolation(tuple(hold(models, there, ITERATIONS)), tuple(parts))


def parts_of(model: CostModel, result: Result) -> list[Part]:
    """Return what a total is made of, predicted at a result's rows and measured there."""
    n, step = result.rows, result.step_s.median if result.step_s else None
    pairs = {
        "import": (model.import_s, result.import_s),
        "place": (model.place_s(n), result.place_s),
        "first call": (model.first_call_s(n), result.first_call_s),
        "step": (model.step_s(n), step),
    }
    return [
        Part(model.backend, name, predicted, measured)
        for name, (predicted, measured) in pairs.items()
        if measured is not None
    ]
