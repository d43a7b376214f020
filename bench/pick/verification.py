"""Compare predictions with new measurements, at sizes that were not measured before.

``pick --verify`` checks a few sizes. `bench.checks.pick` checks two dozen picks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.measure.plan import Plan
from bench.measure.runner import Runner
from bench.pick.expense import SECONDS
from bench.pick.known import Known
from bench.pick.model import CostModel
from bench.pick.peaks import CAUTION
from bench.pick.ties import choose
from bench.results.case import Case
from bench.results.record import Record
from bench.results.summary import Result, summarise

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bench.show.console import Columns

HELD_OUT = 3
"""Number of new, unmeasured sizes at which ``--verify`` measures all backends."""

PASSES = 3
"""Number of times that ``--verify`` measures each backend at each size."""

WORST_MEDIAN = 1.05
"""Largest median regret (the pick's total ÷ the lowest total) that passes the check."""

BYTES_A_SECOND = 1e7
"""Size limit for the data of ``--verify``: 10 MB for each second of the time budget."""


@dataclass(frozen=True)
class Prediction:
    """A predicted total with its interval, and the measured total, in seconds."""

    backend: str
    rows: int
    features: int
    iterations: int
    predicted_s: float
    low_s: float
    high_s: float
    measured_s: float

    @property
    def error(self) -> float:
        """Relative error of the predicted total: |predicted − measured| ÷ measured."""
        return abs(self.predicted_s / self.measured_s - 1)

    @property
    def covered(self) -> bool:
        """Whether the interval contains the measured total."""
        return self.low_s <= self.measured_s <= self.high_s


@dataclass(frozen=True)
class Outcome:
    """A pick and the `best` backend. `regret` is the pick's total ÷ the total of the best."""

    rows: int
    features: int
    iterations: int
    pick: str
    best: str
    regret: float


@dataclass(frozen=True)
class Check:
    """Results of ``--verify``: comparisons of totals, of picks, and of peak memory."""

    predictions: tuple[Prediction, ...]
    outcomes: tuple[Outcome, ...]
    memory: tuple[tuple[str, int, int, float, float], ...] = ()

    @property
    def regret(self) -> float:
        """Median regret of the picks: the total time of a pick ÷ the lowest total time."""
        return median(o.regret for o in self.outcomes)

    @property
    def good(self) -> bool:
        """Whether the picks pass the check: their median regret is at most `WORST_MEDIAN`."""
        return self.regret <= WORST_MEDIAN

    @property
    def coverage(self) -> float:
        """Fraction of the predictions whose interval contains the measured total."""
        return sum(p.covered for p in self.predictions) / len(self.predictions)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields of ``pick --verify --json``."""
        return {
            "median_regret": self.regret,
            "worst_regret": max(o.regret for o in self.outcomes),
            "coverage": self.coverage,
            "median_error": median(p.error for p in self.predictions),
            "predictions": [asdict(p) for p in self.predictions],
            "picks": [asdict(o) for o in self.outcomes],
        }

    def page(self) -> RenderableType:
        """Return a summary, a table of the picks, and a table of the prediction errors."""
        from rich.console import Group
        from rich.text import Text

        from bench.show.text import percent

        worst = max(o.regret for o in self.outcomes)
        line = (
            f"Checked on {len(self.outcomes)} picks: the median pick takes "
            f"{self.regret:.2f} times the shortest total, the worst {worst:.2f}; "
            f"{percent(self.coverage)} of {len(self.predictions)} totals lie in their "
            "90 % intervals."
        )
        return Group(
            *(Text(), Text(line, "bold"), self._picks(), Text(), self._errors()),
            self._memory(),
        )

    def _picks(self) -> RenderableType:
        from bench.show.text import count, times

        table = plain_table("rows", "features", "iterations", "pick", "best", "regret")
        for o in self.outcomes:
            table.add_row(
                *(count(o.rows), count(o.features), count(o.iterations)),
                *(o.pick, o.best, f"{o.regret:.2f}" if o.regret < 10 else times(o.regret)),
            )
        return table

    def _errors(self) -> RenderableType:
        table = plain_table("backend", "totals", "median error", "worst error", "covered")
        for line in self.errors():
            table.add_row(*line)
        return table

    def errors(self) -> list[list[str]]:
        """Return the cells of the table of prediction errors: one list for each backend."""
        from bench.show.text import percent

        found = []
        for backend in sorted({p.backend for p in self.predictions}):
            mine = [p for p in self.predictions if p.backend == backend]
            errors, covered = [p.error for p in mine], sum(p.covered for p in mine)
            shares = median(errors), max(errors), covered / len(mine)
            found.append([backend, str(len(mine)), *map(percent, shares)])
        return found

    def _memory(self) -> RenderableType:
        from rich.text import Text

        if not self.memory:
            return Text()
        off = [abs(p - m) / max(0.15 * m, 50e6) for *_, p, m in self.memory]
        worst = self.memory[int(np.argmax(off))]
        inside = sum(o <= 1 for o in off)
        return Text(
            f"\nPeak memory: {inside} of {len(off)} within 15 % or 50 MB; the worst is "
            f"{worst[0]} at {worst[1]} × {worst[2]}: {worst[3] / 1e6:.0f} MB predicted, "
            f"{worst[4] / 1e6:.0f} MB measured."
        )


def plain_table(*headings: str) -> Columns:
    """Return a table with headings but no lines; backends are aligned left, numbers right."""
    from bench.show.console import Columns

    words = [i for i, h in enumerate(headings) if h in ("backend", "pick", "best")]
    return Columns(*headings, words=words, gap=2)


def measured_total(result: Result, iterations: int) -> float | None:
    """Return the total time of setup and steps in seconds; None if a time was not measured."""
    if result.step_s is None or result.place_s is None or result.first_call_s is None:
        return None
    setup = (result.import_s or 0.0) + result.place_s + result.first_call_s
    return setup + iterations * result.step_s.median


def hold(
    models: Iterable[CostModel], results: Sequence[Result], iterations: Iterable[int]
) -> list[Prediction]:
    """Predict each measured total with its backend's cost model; return the predictions."""
    found = []
    for model in models:
        if not model.complete:
            continue
        for r in results:
            same = (r.backend, r.features, r.dtype)
            if same != (model.backend, model.features, model.dtype):
                continue
            for k in iterations:
                total = measured_total(r, k)
                if total is not None:
                    p = model.total(r.rows, k)
                    found.append(
                        Prediction(
                            *(model.backend, r.rows, r.features, k),
                            *(p.median, p.low, p.high, total),
                        )
                    )
    return found


def judge(
    pick: str, rows: int, features: int, iterations: int, results: Sequence[Result]
) -> Outcome | None:
    """Compare the picked backend with the fastest one; None if the pick was not measured."""
    totals = {
        r.backend: total
        for r in results
        if (r.rows, r.features) == (rows, features)
        and (total := measured_total(r, iterations)) is not None
    }
    if pick not in totals:
        return None
    best = min(totals, key=totals.__getitem__)
    regret = totals[pick] / totals[best]
    return Outcome(rows, features, iterations, pick, best, regret)


def held_out_sizes(known: Known) -> list[int]:
    """Choose unmeasured numbers of rows at random; equal requests get equal numbers.

    The numbers' logarithms are distributed uniformly, up to the limits of memory and budget.
    """
    request = known.request
    seen = {s.rows for m in known.models.values() for s in m.observations.step}
    most = min(known.memory_of("cpu") / CAUTION, known.budget * BYTES_A_SECOND)
    rng = np.random.default_rng([request.rows, request.features])
    sizes: list[int] = []
    while len(sizes) < HELD_OUT:
        n = int(np.exp(rng.uniform(np.log(100), np.log(max(200.0, most / known.nbytes(1))))))
        if n not in seen:
            sizes.append(n)
    return sorted(sizes)


def verify(
    known: Known, measure: Callable[[Sequence[Case]], Record], sizes: Sequence[int]
) -> Check | None:
    """Measure backends at the numbers of rows in `sizes`; compare the results with predictions.

    All backends whose total time can be predicted are measured. At each size, the fastest of
    them is compared with the picked backend. The result is None if no pick could be measured.
    """
    request = known.request
    models = [m for m in known.models.values() if m.complete]
    data = request.features, request.dtype, request.loss
    cases = [Case(m.backend, n, *data) for n in sizes for m in models]
    results = summarise(measure(cases))
    outcomes = []
    for n in sizes:
        pick, _ = choose(models, n, request.iterations)
        assert pick is not None  # noqa: S101 there are models
        outcome = judge(pick, n, request.features, request.iterations, results)
        if outcome:
            outcomes.append(outcome)
    if not outcomes:
        return None
    return Check(
        tuple(hold(models, results, [request.iterations])),
        tuple(outcomes),
        memory(models, results),
    )


def measure_cases(
    cases: Sequence[Case],
    threads: int,
    store: Path,
    report: Callable[[str, float], None],
) -> Record:
    """Measure cases in one interleaved run, and save the record to the store.

    Parameters
    ----------
    cases : sequence of Case
    threads : int
    store : Path
    report : callable
        Progress callback, called before each child process. The arguments are the name of its
        task and the finished fraction of all tasks.
    """
    plan = Plan(tuple(cases), PASSES, SECONDS)
    runner = Runner(plan, threads, store)
    total = len(plan.tasks())
    done = iter(range(total + 1))
    return runner.run(
        started=lambda task: report(f"check, {task.name}", next(done) / total),
        ended=lambda _: None,
    )


def memory(
    models: Sequence[CostModel], results: Sequence[Result]
) -> tuple[tuple[str, int, int, float, float], ...]:
    """Return tuples of backend, rows, features, predicted peak bytes, measured peak bytes."""
    found = []
    for model in models:
        for r in results:
            same = (r.backend, r.features) == (model.backend, model.features)
            predicted = model.peak_bytes(r.rows) if same else None
            if predicted is not None and r.peak_bytes is not None:
                found.append((r.backend, r.rows, r.features, predicted, float(r.peak_bytes)))
    return tuple(found)
