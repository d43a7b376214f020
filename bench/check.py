"""Hold predictions against measurements that no model has seen.

``pick --verify`` does so at a few sizes; as a program (``nox -s pick-check``)
it asks for two dozen picks, measures every backend at those sizes afterwards,
in one interleaved run, and says what each pick cost against the best.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.threads import apply

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from bench.explore import Explorer
    from bench.model import CostModel
    from bench.pick import Answer
    from bench.record import Record
    from bench.summary import Result

HELD_OUT = 3
"""Sizes of ``--verify``."""

PASSES = 3

WORST_MEDIAN = 1.05
"""A median regret above it fails."""

BYTES_A_SECOND = 1e7
"""Of ``--verify``'s largest size, for each second of the budget."""

SIZES = {
    1: (100, 30_000_000),
    4: (10_000, 3_000_000),
    32: (3_000, 1_000_000),
    200: (1_000, 100_000),
}
"""Rows of the program's requests, by features."""

ITERATIONS = (1, 100, 10_000)

BEYOND = 4, 300_000_000
"""Features and rows ten times beyond the ladder's end, where the data fill gigabytes."""

LEARNT = 10_000, 1_000_000
"""Rows that are learnt from for it, beside the ladder's end."""


@dataclass(frozen=True)
class Prediction:
    """A total that was predicted and then measured; seconds."""

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
        """Relative to the measured total."""
        return abs(self.predicted_s / self.measured_s - 1)

    @property
    def covered(self) -> bool:
        """Whether the interval holds what was measured."""
        return self.low_s <= self.measured_s <= self.high_s


@dataclass(frozen=True)
class Outcome:
    """A pick, and the backend that was really the fastest."""

    rows: int
    features: int
    iterations: int
    pick: str
    best: str
    regret: float


@dataclass(frozen=True)
class Check:
    """All predictions, what the picks cost, and how far off the memory was."""

    predictions: tuple[Prediction, ...]
    outcomes: tuple[Outcome, ...]
    memory: tuple[tuple[str, int, int, float, float], ...] = ()
    beyond: tuple[Prediction, ...] = ()

    @property
    def regret(self) -> float:
        """The median one."""
        return median(o.regret for o in self.outcomes)

    @property
    def good(self) -> bool:
        """Whether the picks were worth following."""
        return self.regret <= WORST_MEDIAN

    @property
    def coverage(self) -> float:
        """The share of intervals that held what was measured."""
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
        """Return tables: the picks, then every backend's errors."""
        from rich.console import Group
        from rich.text import Text

        from bench.table import percent

        worst = max(o.regret for o in self.outcomes)
        line = (
            f"Checked on {len(self.outcomes)} picks: the median costs "
            f"{self.regret:.2f} times the best, the worst {worst:.2f}; "
            f"{percent(self.coverage)} of {len(self.predictions)} totals lie in their "
            "90 % intervals."
        )
        return Group(
            *(Text(), Text(line, "bold"), self._picks(), Text(), self._errors()),
            *(self._memory(), self._beyond()),
        )

    def _beyond(self) -> RenderableType:
        from rich.text import Text

        from bench.table import count, percent

        if not self.beyond:
            return Text()
        errors = [p.error for p in self.beyond]
        low = sum(p.predicted_s < p.measured_s for p in self.beyond)
        worst = max(self.beyond, key=lambda p: p.error)
        return Text(
            f"\nTen times beyond the largest measured size ({count(worst.rows)} × "
            f"{worst.features}): over {len(errors)} totals the median error is "
            f"{percent(median(errors))}, the worst {percent(worst.error)} ({worst.backend}); "
            f"{low} were predicted too low."
        )

    def _picks(self) -> RenderableType:
        from bench.answer import times
        from bench.table import count

        table = _plain_table("rows", "features", "iterations", "pick", "best", "regret")
        for o in self.outcomes:
            table.add_row(
                *(count(o.rows), count(o.features), count(o.iterations)),
                *(o.pick, o.best, f"{o.regret:.2f}" if o.regret < 10 else times(o.regret)),
            )
        return table

    def _errors(self) -> RenderableType:
        from bench.table import percent

        table = _plain_table("backend", "totals", "median error", "worst error", "covered")
        for backend in sorted({p.backend for p in self.predictions}):
            mine = [p for p in self.predictions if p.backend == backend]
            errors = [p.error for p in mine]
            covered = sum(p.covered for p in mine) / len(mine)
            table.add_row(
                *(backend, str(len(mine)), percent(median(errors)), percent(max(errors))),
                percent(covered),
            )
        return table

    def _memory(self) -> RenderableType:
        from rich.text import Text

        if not self.memory:
            return Text()
        off = [
            abs(predicted - measured) / max(0.15 * measured, 50e6)
            for *_, predicted, measured in self.memory
        ]
        worst = self.memory[int(np.argmax(off))]
        inside = sum(o <= 1 for o in off)
        return Text(
            f"\nPeak memory: {inside} of {len(off)} within 15 % or 50 MB; the worst is "
            f"{worst[0]} at {worst[1]} × {worst[2]}: {worst[3] / 1e6:.0f} MB predicted, "
            f"{worst[4] / 1e6:.0f} MB measured."
        )


def _plain_table(*headings: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1))
    for heading in headings:
        words = heading in ("backend", "pick", "best")
        table.add_column(heading, justify="left" if words else "right", overflow="fold")
    return table


def measured_total(result: Result, iterations: int) -> float | None:
    """Return import + place + first call + iterations · step; None for a row that failed."""
    if result.step_s is None or result.place_s is None or result.first_call_s is None:
        return None
    setup = (result.import_s or 0.0) + result.place_s + result.first_call_s
    return setup + iterations * result.step_s.median


def hold(
    models: Iterable[CostModel], results: Sequence[Result], iterations: Iterable[int]
) -> list[Prediction]:
    """Return every total that was both predicted and measured."""
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
    """Hold a pick against the fastest of what was measured; None if it was not."""
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


def measure_held_out(explorer: Explorer) -> Check | None:
    """Measure all complete backends at sizes that no model saw, and hold the answers to it.

    Sizes are log-uniform up to what the memory and the budget allow; the
    same request gives the same sizes. None where no pick could be measured.
    """
    from backends.problem import step_bytes
    from bench.model import CAUTION
    from bench.pick import choose
    from bench.summary import summarise

    request = explorer.request
    models = [m for m in explorer.models.values() if m.complete]
    seen = {s.rows for m in models for s in m.observations.step}
    row_bytes = step_bytes(1, request.features, request.dtype)
    most = min(request.memory_bytes["cpu"] / CAUTION, explorer.budget * BYTES_A_SECOND)
    rng = np.random.default_rng([request.rows, request.features])
    sizes: list[int] = []
    while len(sizes) < HELD_OUT:
        n = int(np.exp(rng.uniform(np.log(100), np.log(max(200.0, most / row_bytes)))))
        if n not in seen:
            sizes.append(n)
    sizes.sort()
    rows_of = [(m.backend, n, request.features, request.dtype) for n in sizes for m in models]
    results = summarise(measure(explorer, rows_of))
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
        _memory(models, results),
    )


def measure(explorer: Explorer, rows: Sequence[tuple[str, int, int, str]]) -> Record:
    """Measure rows in one interleaved run; what a `pick` may learn from later, too."""
    from bench.measure import Plan, Runner
    from bench.row import Row

    explorer.claim()
    plan = Plan(tuple(Row(*row) for row in rows), PASSES, 0.1)
    runner = Runner(plan, explorer.threads, explorer.store)
    total = len(plan.tasks())
    done = iter(range(total + 1))
    return runner.run(
        started=lambda task: explorer.report(f"check, {task.name}", next(done) / total),
        ended=lambda _: None,
    )


def _memory(
    models: Sequence[CostModel], results: Sequence[Result]
) -> tuple[tuple[str, int, int, float, float], ...]:
    found = []
    for model in models:
        for r in results:
            same = (r.backend, r.features) == (model.backend, model.features)
            predicted = model.peak_bytes(r.rows) if same else None
            if predicted is not None and r.peak_bytes is not None:
                found.append((r.backend, r.rows, r.features, predicted, float(r.peak_bytes)))
    return tuple(found)


def main(budget: float = 60.0) -> None:
    """Ask, measure, compare; exit 1 when the picks were not worth following."""
    threads = apply()
    from backends import catalogue
    from bench.explore import Explorer
    from bench.limits import available_bytes
    from bench.machine import describe
    from bench.measure import code_version
    from bench.pick import Request, recommend
    from bench.store import alike
    from bench.summary import summarise
    from bench.table import console

    names = [str(name) for name in catalogue.select(("*@cpu",))]
    machine, code = describe(threads).as_dict(), code_version()
    requests = [(n, d, k) for d, sizes in SIZES.items() for n in sizes for k in ITERATIONS]
    order = np.random.default_rng(0).permutation(len(requests))
    answers: dict[tuple[int, int, int], tuple[Explorer, Answer]] = {}
    with tempfile.TemporaryDirectory(prefix="descentbench-check-") as folder:
        store = Path(folder)
        for i in order:
            rows, features, iterations = requests[i]
            request = Request(rows, features, iterations, "float32", {"cpu": available_bytes()})
            began = time.monotonic()
            known = alike(store, machine, code)
            explorer = Explorer(request, names, threads, machine, code, store, known, budget)
            explorer.run()
            answer = recommend([*explorer.models.values()], request, explorer.unmeasured())
            taken = time.monotonic() - began
            print(f"{requests[i]}: {answer.pick} in {taken:.1f} s", file=sys.stderr, flush=True)  # noqa: T201
            if answer.pick:
                answers[requests[i]] = explorer, answer
        some, _ = next(iter(answers.values()))
        rows_of = [
            (name, n, d, "float32")
            for d, sizes in SIZES.items()
            for n in sizes
            for name in names
        ]
        some.report = lambda what, share: print(f"{share:4.0%} {what}", file=sys.stderr)  # noqa: T201
        results = summarise(measure(some, rows_of))
        check = compare(answers, results)
        check = replace(check, beyond=tuple(_beyond(answers)))
    console().print(check.page())
    sys.exit(0 if check.good else 1)


def _beyond(
    answers: Mapping[tuple[int, int, int], tuple[Explorer, Answer]],
) -> list[Prediction]:
    """Learn from sizes up to a tenth of `BEYOND` and hold it to that, in one interleaved run.

    Of what was still in the race at the largest request. Side by side, because
    on a shared machine the memory's pace drifts by more than what is looked for.
    """
    from bench.model import CostModel
    from bench.store import observations
    from bench.summary import summarise

    features, rows = BEYOND
    explorers = [e for (_, d, _), (e, _) in answers.items() if d == features]
    explorer = max(explorers, key=lambda e: (e.request.rows, e.request.iterations))
    names = [m.backend for m in explorer.models.values() if m.complete]
    names = [name for name in names if name not in explorer.dropped]
    sizes = [*LEARNT, rows // 10, rows]
    record = measure(
        explorer, [(name, n, features, "float32") for name in names for n in sizes]
    )
    learnt = observations([record], features, "float32")
    models = [
        CostModel(name, seen.up_to(rows // 10), features, "float32", explorer.cache_bytes)
        for name, seen in learnt.items()
    ]
    there = [r for r in summarise(record) if r.rows == rows]
    return hold(models, there, ITERATIONS[1:])


def compare(
    answers: Mapping[tuple[int, int, int], tuple[Explorer, Answer]], results: Sequence[Result]
) -> Check:
    """Hold every request's picks and predictions against the measurements.

    There are two picks where the first is for least squares only: the best loop
    is judged among the loops.
    """
    outcomes: list[Outcome] = []
    predictions: list[Prediction] = []
    memory: dict[tuple[str, int, int], tuple[str, int, int, float, float]] = {}
    for (rows, features, iterations), (explorer, answer) in answers.items():
        at = [r for r in results if (r.rows, r.features) == (rows, features)]
        models = [m for m in explorer.models.values() if m.complete]
        loops = [r for r in at if not r.least_squares_only]
        for pick, among in ((answer.pick, at), (answer.loop_pick, loops)):
            if pick and (outcome := judge(pick, rows, features, iterations, among)):
                outcomes.append(outcome)
        live = [m for m in models if m.backend not in explorer.dropped]
        predictions += hold(live, at, [iterations])
        memory |= {line[:3]: line for line in _memory(models, at)}
    unique = sorted(set(outcomes), key=lambda o: (o.features, o.rows, o.iterations, o.pick))
    return Check(tuple(predictions), tuple(unique), tuple(memory.values()))


if __name__ == "__main__":
    main()
