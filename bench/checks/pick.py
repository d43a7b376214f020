"""Check whether the backends that `pick` recommends are the fastest (``nox -s pick-check``).

For each of two losses, the check first asks `pick` for a backend for several sizes and numbers
of iterations. It then measures every backend at these sizes, in one run that alternates between
the backends. Finally, it compares each recommended backend with the fastest backend. The tables
are printed as Markdown, as in docs/pick.md.

The last part, `bench.checks.extrapolation`, checks predicted times for 300 million rows.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from bench.host.threads import apply
from bench.pick.explorer import Explorer
from bench.pick.known import Setting
from bench.pick.verification import (
    Check,
    Outcome,
    Prediction,
    hold,
    judge,
    measure_cases,
    memory,
)
from bench.results.case import SQUARED, Case
from bench.show.mistake import Script

if TYPE_CHECKING:
    from bench.pick.recommend import Answer
    from bench.results.summary import Result

LOG_LOSS = "log_loss"


@dataclass(frozen=True)
class Requests:
    """All requests to `pick` for one loss.

    Every size is combined with every number of iterations. A key of `sizes` is a number of
    features, and its value is a tuple of numbers of rows.
    """

    sizes: Mapping[int, tuple[int, ...]]
    iterations: tuple[int, ...]

    @property
    def each(self) -> list[tuple[int, int, int]]:
        """(rows, features, iterations) of every request."""
        return [(n, d, k) for n, d in self.shapes for k in self.iterations]

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """(rows, features) of every size."""
        return [(n, d) for d, sizes in self.sizes.items() for n in sizes]


REQUESTS = {
    SQUARED: Requests(
        {1: (100, 30_000_000), 4: (3_000_000,), 32: (3_000, 1_000_000), 200: (100_000,)},
        (1, 100, 10_000),
    ),
    LOG_LOSS: Requests({1: (10_000, 10_000_000), 32: (300_000,), 200: (10_000,)}, (30, 3_000)),
}
"""The keys are losses, and the values are the requests to `pick`.

In total there are 26 requests and 125 measured cases, which take about 35 minutes on two
cores.
"""

BUDGET = 40.0
"""Time that `pick` can spend on measuring for each request, in seconds."""

MEDIAN, WORST = 1.01, 1.10
"""Largest allowed median of all regrets, and largest allowed single regret.

The regret is the total time with the recommended backend ÷ the total time with the fastest
backend. The best regret is 1; a regret of 1.01 means 1 % more time.
"""

COVERAGE = 0.85, 0.95
"""Smallest and largest allowed coverage.

The coverage is the fraction of measured total times that lie in their predicted 90 % intervals.
"""

Answers = Mapping[tuple[int, int, int], tuple[Explorer, "Answer"]]
"""Type of a mapping with the answers of `pick`. A key is (rows, features, iterations). A value
is a pair: the `Explorer` with the measurements, and the answer."""


@click.command(cls=Script)
@click.option(
    "--only", type=click.Choice(["picks", "extrapolation"]), help="Run only this part."
)
@click.option(
    "--loss",
    "losses",
    multiple=True,
    type=click.Choice([*REQUESTS]),
    help="Loss of the requests; may be given twice. [default: both]",
)
@click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True),
    default=BUDGET,
    show_default=True,
    help="Seconds for each pick.",
)
def main(only: str | None, losses: tuple[str, ...], budget: float) -> None:
    """Compare recommended backends and predicted times with measured times.

    The exit code is 1 if the recommendations or the predictions are worse than allowed.
    """
    threads = apply()
    good = True
    with tempfile.TemporaryDirectory(prefix="descentbench-check-") as folder:
        if only != "extrapolation":
            for loss in losses or REQUESTS:
                check = check_picks(loss, threads, Path(folder), budget)
                click.echo(markdown(check, loss))
                good = good and passes(check)
        if only != "picks":
            from bench.checks.extrapolation import extrapolate
            from bench.show.console import console

            console().print(extrapolate(threads, Path(folder), say).page())
    sys.exit(0 if good else 1)


def say(what: str, share: float) -> None:
    """Print a line of progress to stderr; `share` is the finished fraction of the work."""
    print(f"{share:4.0%} {what}", file=sys.stderr, flush=True)  # noqa: T201


def check_picks(loss: str, threads: int, store: Path, budget: float) -> Check:
    """Ask `pick` all questions of this check for one loss; compare its answers with timings."""
    from backends import catalogue
    from bench.measure.known_losses import named
    from bench.results.summary import summarise

    selected = catalogue.select(("*@cpu",), loss=named(loss))
    names = [str(name) for name in selected if not name.distributed]
    answers = ask(names, loss, threads, store, budget)
    shapes = REQUESTS[loss].shapes
    cases = [Case(name, n, d, "float32", loss) for n, d in shapes for name in names]
    return compare(answers, summarise(measure_cases(cases, threads, store, say)))


def ask(
    names: Sequence[str], loss: str, threads: int, store: Path, budget: float = BUDGET
) -> Answers:
    """Make all requests in `REQUESTS` for a loss, in random order; return the answers.

    The measurements for each request are saved in `store`, and later requests use them.
    """
    from bench.host.limits import available_bytes
    from bench.host.machine import describe
    from bench.measure.version import code_version
    from bench.pick.observations import alike
    from bench.pick.recommend import Request, recommend

    machine, code = describe(threads).as_dict(), code_version()
    requests = REQUESTS[loss].each
    answers = {}
    for done, i in enumerate(np.random.default_rng(0).permutation(len(requests))):
        rows, features, iterations = requests[i]
        host = {"cpu": available_bytes()}
        request = Request(rows, features, iterations, "float32", host, loss=loss)
        began = time.monotonic()
        known = alike(store, machine, code, loss)
        setting = Setting(
            *(request, tuple(names), machine, code, threads, available_bytes(), {})
        )
        explorer = Explorer(setting, store, known, budget)
        with explorer:
            explorer.explore(lambda *_: None)
        models = [*explorer.known.models.values()]
        answer = recommend(models, request, explorer.unmeasured())
        taken = time.monotonic() - began
        what = f"{loss}, {rows} × {features}, {iterations} iterations"
        say(f"{what}: {answer.pick} in {taken:.1f} s", (done + 1) / len(requests))
        if answer.pick:
            answers[requests[i]] = explorer, answer
    return answers


def compare(answers: Answers, results: Sequence[Result]) -> Check:
    """Compare recommended backends and predicted times with measured times.

    An answer recommends two backends. `Answer.pick` is compared with all backends, and
    `Answer.loop_pick` only with the backends that work for any loss.
    """
    outcomes: list[Outcome] = []
    predictions: list[Prediction] = []
    peaks: dict[tuple[str, int, int], tuple[str, int, int, float, float]] = {}
    for (rows, features, iterations), (explorer, answer) in answers.items():
        at = [r for r in results if (r.rows, r.features) == (rows, features)]
        models = [m for m in explorer.known.models.values() if m.complete]
        loops = [r for r in at if not r.least_squares_only]
        for pick, among in ((answer.pick, at), (answer.loop_pick, loops)):
            if pick and (outcome := judge(pick, rows, features, iterations, among)):
                outcomes.append(outcome)
        live = [m for m in models if m.backend not in explorer.known.excluded]
        predictions += hold(live, at, [iterations])
        peaks |= {line[:3]: line for line in memory(models, at)}
    unique = sorted(set(outcomes), key=lambda o: (o.features, o.rows, o.iterations, o.pick))
    return Check(tuple(predictions), tuple(unique), tuple(peaks.values()))


def passes(check: Check) -> bool:
    """Return whether the results are within the limits `MEDIAN`, `WORST` and `COVERAGE`."""
    low, high = COVERAGE
    worst = max(o.regret for o in check.outcomes)
    return check.regret <= MEDIAN and worst <= WORST and low <= check.coverage <= high


def markdown(check: Check, loss: str) -> str:
    """Return the results for a loss in Markdown: a sentence and two tables.

    The first table shows the recommended backends, and the second shows prediction errors.
    """
    from bench.show.formats import markdown_text

    best = sum(o.pick == o.best for o in check.outcomes)
    worst = max(o.regret for o in check.outcomes)
    said = (
        f"**{loss}**: {best} of {len(check.outcomes)} picks were the fastest backend. The "
        f"median regret (total time ÷ shortest total time) is {check.regret:.2f}, the worst "
        f"{worst:.2f}. "
        f"{check.coverage:.0%} of the {len(check.predictions)} measured total times lie in "
        "their predicted intervals."
    )
    picks = [
        [f"{o.rows:,}", str(o.features), f"{o.iterations:,}", o.pick, o.best, f"{o.regret:.2f}"]
        for o in check.outcomes
    ]
    fastest, inside = "fastest of the compared backends", "inside the predicted interval"
    headings = ["rows", "features", "iterations", "pick", fastest, "regret"]
    errors = ["backend", "number of total times", "median error", "worst error", inside]
    parts = [said, markdown_text(headings, picks), markdown_text(errors, check.errors())]
    return "\n" + "\n\n".join(part.strip() for part in parts) + "\n"


if __name__ == "__main__":
    main()
