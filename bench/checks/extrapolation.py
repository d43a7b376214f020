"""Compare predicted with measured total times of descents over 300 million rows.

The cost models are fitted to measurements of at most 30 million rows. One run measures all
sizes alternately, because the memory throughput of a shared machine changes from run to run.

The throughput can also change within this run. A second comparison therefore removes the
effect of this change from the step times.
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
"""Numbers of features and rows for which times are predicted: 6 GB of data."""

LEARNT = 10_000, 1_000_000, 10_000_000, 30_000_000
"""Numbers of rows that are measured to fit the cost models."""

ITERATIONS = 100, 10_000
"""Numbers of iterations for which total times are predicted and measured."""

CONTENDERS = "numpy:blocked", "numba:parallel", "numpy:gram"
"""Backends that are compared: each of them could be the fastest for `ROWS` rows."""


@dataclass(frozen=True)
class Part:
    """The predicted and the measured time of a part of a descent, in seconds.

    The part is called "import", "place", "first call" or "step".
    """

    backend: str
    name: str
    predicted_s: float
    measured_s: float


@dataclass(frozen=True)
class Extrapolation:
    """Predicted and measured total times of descents over `ROWS` rows.

    Attributes
    ----------
    predictions : tuple of Prediction
        Predicted total times, each with the measured total time.
    at_one_throughput : tuple of Prediction
        Predicted total times, each with the measured total time. The measured times are
        corrected for changes of the memory throughput during the run.
    parts : tuple of Part
        Times of the parts of each descent, such as the import and a step.
    slowness : tuple of tuple
        Pairs of a backend and a ratio. A ratio of 1.2 means that a read of memory took 1.2
        times its usual time while the steps over `ROWS` rows were measured.
    """

    predictions: tuple[Prediction, ...]
    at_one_throughput: tuple[Prediction, ...]
    parts: tuple[Part, ...]
    slowness: tuple[tuple[str, float], ...] = ()

    def page(self) -> RenderableType:
        """Return a sentence about the prediction errors, and a table of the `parts`."""
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
    """Return a phrase with the median and the largest error of the predictions."""
    from bench.show.text import percent

    worst = max(predictions, key=lambda p: p.error)
    middle = percent(median(p.error for p in predictions))
    return f"the median error is {middle}, the worst {percent(worst.error)} ({worst.backend})"


def extrapolate(
    threads: int, store: Path, report: Callable[[str, float], None]
) -> Extrapolation:
    """Measure `CONTENDERS`, and compare predicted with measured times for `ROWS` rows."""
    from bench.host.machine import describe
    from bench.measure.read_curve import TASK, measure_read_curve
    from bench.pick.regime import Regime

    curve = measure_read_curve(threads, describe(threads).as_dict())[TASK]
    sizes = [*LEARNT, ROWS]
    cases = [Case(name, n, FEATURES, "float32") for name in CONTENDERS for n in sizes]
    record = measure_cases(cases, threads, store, report)
    return held(record, Regime.shown(curve))


def held(record: Record, regime: Regime) -> Extrapolation:
    """Predict times for `ROWS` rows from the sizes in `LEARNT`; compare with measured times."""
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
    """Return a new record with only the measurements whose number of rows is in `sizes`."""

    def of_these(outcome: Outcome) -> Outcome:
        kept = (m for m in outcome.measurements if Case.parse(m.row).rows in sizes)
        return replace(outcome, measurements=tuple(kept))

    return replace(record, tasks={name: of_these(o) for name, o in record.tasks.items()})


def parts_of(model: CostModel, result: Result) -> list[Part]:
    """Return the predicted and the measured time of each part of a descent.

    `result` has the measured times. Parts that were not measured are left out.
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
