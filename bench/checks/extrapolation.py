"""Compare predicted totals with measured totals, for ten times more rows than fitted.

One interleaved run measures both the fitted sizes and the predicted size. Reason: the memory
throughput of a shared machine changes from run to run by more than the prediction errors.

The throughput can also change within this run. In a second comparison, the step times at the
predicted size are therefore converted to the throughput that was usual at the fitted sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

from bench.pick.verification import Prediction, hold, measure_cases, plain_table
from bench.results.case import Case
from bench.results.summary import Interval

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from bench.pick.model import CostModel
    from bench.pick.regime import Regime
    from bench.results.record import Outcome, Record
    from bench.results.summary import Result

FEATURES, ROWS = 4, 300_000_000
"""Features and rows of the size to predict: 6 GB of data."""

LEARNT = 10_000, 1_000_000, 10_000_000, 30_000_000
"""Numbers of rows to which the cost models are fitted.

A pick for `ROWS` rows would also measure the last two of these sizes.
"""

ITERATIONS = 100, 10_000
"""Numbers of iterations for which totals are predicted and measured."""

CONTENDERS = "numpy:blocked", "numba:parallel", "numpy:gram"
"""Backends that could be the fastest at the predicted size."""


@dataclass(frozen=True)
class Part:
    """A part of a total, predicted and measured in seconds.

    `name` is "import", "place", "first call" or "step".
    """

    backend: str
    name: str
    predicted_s: float
    measured_s: float


@dataclass(frozen=True)
class Extrapolation:
    """Predicted and measured totals at `ROWS` rows, and their parts.

    Attributes
    ----------
    predictions : tuple of Prediction
        Predicted totals, each with the measured total.
    at_one_throughput : tuple of Prediction
        Predicted totals, each with a measured total whose step times were converted to the
        memory throughput that was usual at the fitted sizes.
    parts : tuple of Part
    slowness : tuple of tuple
        Pairs of a backend and a ratio. The ratio is the time to read memory during the steps at
        `ROWS` rows ÷ the usual time at the fitted sizes.
    """

    predictions: tuple[Prediction, ...]
    at_one_throughput: tuple[Prediction, ...]
    parts: tuple[Part, ...]
    slowness: tuple[tuple[str, float], ...] = ()

    def page(self) -> RenderableType:
        """Return a sentence about the errors of the totals, and a table of the parts."""
        from rich.console import Group
        from rich.text import Text

        from bench.show.text import count

        totals = self.predictions
        low = sum(p.predicted_s < p.measured_s for p in totals)
        covered = sum(p.covered for p in totals)
        line = (
            f"\nTen times beyond the largest measured size ({count(totals[0].rows)} × "
            f"{totals[0].features}): over {len(totals)} totals {_errors(totals)}; "
            f"{low} were predicted too low, and {covered} lie in their intervals."
        )
        if self.slowness:
            reads = ", ".join(f"{slow:.2f} ({backend})" for backend, slow in self.slowness)
            line += (
                f" Beside these steps, a read of memory took {reads} times as long as beside "
                f"the smaller sizes; at one throughput {_errors(self.at_one_throughput)}."
            )
        return Group(Text(line), Text(), self._parts())

    def _parts(self) -> RenderableType:
        table = plain_table("backend", "part", "predicted s", "measured s", "ratio")
        for p in self.parts:
            seconds = f"{p.predicted_s:.3g}", f"{p.measured_s:.3g}"
            table.add_row(p.backend, p.name, *seconds, f"{p.predicted_s / p.measured_s:.2f}")
        return table


def _errors(predictions: Sequence[Prediction]) -> str:
    """Return a phrase with the median error and the largest error."""
    from bench.show.text import percent

    worst = max(predictions, key=lambda p: p.error)
    middle = percent(median(p.error for p in predictions))
    return f"the median error is {middle}, the worst {percent(worst.error)} ({worst.backend})"


def extrapolate(
    threads: int, store: Path, report: Callable[[str, float], None]
) -> Extrapolation:
    """Measure the backends `CONTENDERS` at all sizes, and predict the totals at `ROWS` rows."""
    from bench.host.machine import describe
    from bench.measure.read_curve import TASK, measure_read_curve
    from bench.pick.regime import Regime

    curve = measure_read_curve(threads, describe(threads).as_dict())[TASK]
    sizes = [*LEARNT, ROWS]
    cases = [Case(name, n, FEATURES, "float32") for name in CONTENDERS for n in sizes]
    record = measure_cases(cases, threads, store, report)
    return held(record, Regime.shown(curve))


def held(record: Record, regime: Regime) -> Extrapolation:
    """Fit models to the sizes `LEARNT`; compare their predictions with results at `ROWS`."""
    from bench.pick.fitting import fit
    from bench.pick.observations import observations
    from bench.results.summary import summarise

    shape = FEATURES, "float32"
    small, large = (_only(record, sizes) for sizes in (LEARNT, (ROWS,)))
    fitted, memory = fit([small], *shape, regime)
    models = list(fitted.values())
    there = [r for r in summarise(record) if r.rows == ROWS]
    far = observations([large], *shape)
    as_learnt, slowness = [], []
    for result in there:
        steps = far[result.backend]
        moved = steps.at_usual_throughput(memory, *shape)
        if moved.waiting:  # steps of `gram` read no rows and do not wait
            at_one_throughput = Interval(median(s.value for s in moved.step), None, None)
            as_learnt.append(replace(result, step_s=at_one_throughput))
            nbytes = result.bytes_per_step
            slow = [memory.slowness(nbytes, r) for s in steps.step if (r := s.read_bytes_per_s)]
            slowness.append((result.backend, median(slow)))
        else:
            as_learnt.append(result)
    return Extrapolation(
        tuple(hold(models, there, ITERATIONS)),
        tuple(hold(models, as_learnt, ITERATIONS)),
        tuple(
            p for m in models for r in there if r.backend == m.backend for p in parts_of(m, r)
        ),
        tuple(slowness),
    )


def _only(record: Record, sizes: Sequence[int]) -> Record:
    """Return the record without measurements at other numbers of rows than `sizes`."""

    def of_these(outcome: Outcome) -> Outcome:
        kept = (m for m in outcome.measurements if Case.parse(m.row).rows in sizes)
        return replace(outcome, measurements=tuple(kept))

    return replace(record, tasks={name: of_these(o) for name, o in record.tasks.items()})


def parts_of(model: CostModel, result: Result) -> list[Part]:
    """Return the parts of a total at the result's number of rows, predicted and measured.

    Parts without a measured time are left out.
    """
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
