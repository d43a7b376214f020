"""Compare the totals of picks with the lowest totals (``nox -s pick-check``).

The check asks for two dozen picks, and then measures every backend at their sizes in
one interleaved run. `bench.checks.extrapolation` checks predictions far beyond the measured
sizes.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
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
from bench.results.case import Case

if TYPE_CHECKING:
    from bench.pick.recommend import Answer
    from bench.results.summary import Result

SIZES = {
    1: (100, 30_000_000),
    4: (10_000, 3_000_000),
    32: (3_000, 1_000_000),
    200: (1_000, 100_000),
}
"""Features → rows of the requests."""

ITERATIONS = (1, 100, 10_000)

BUDGET = 60.0
"""Budget of each pick, in seconds."""

Answers = Mapping[tuple[int, int, int], tuple[Explorer, "Answer"]]
"""Rows, features and iterations → the explorer and its answer."""


@click.command()
@click.option("--only", type=click.Choice(["picks", "extrapolation"]), help="One half.")
def main(only: str | None) -> None:
    """Ask, measure and compare; exit with 1 if the median regret of the picks is too large."""
    threads = apply()
    from bench.checks.extrapolation import extrapolate
    from bench.show.console import console

    good = True
    with tempfile.TemporaryDirectory(prefix="descentbench-check-") as folder:
        if only != "extrapolation":
            check = check_picks(threads, Path(folder))
            console().print(check.page())
            good = check.good
        if only != "picks":
            console().print(extrapolate(threads, Path(folder), say).page())
    sys.exit(0 if good else 1)


def say(what: str, share: float) -> None:
    """Print the progress to stderr."""
    print(f"{share:4.0%} {what}", file=sys.stderr, flush=True)  # noqa: T201


def check_picks(threads: int, store: Path) -> Check:
    """Ask for a pick of every size and number of iterations, then measure at those sizes."""
    from backends import catalogue
    from bench.results.summary import summarise

    names = [str(name) for name in catalogue.select(("*@cpu",)) if not name.distributed]
    answers = ask(names, threads, store)
    cases = [
        Case(name, n, d, "float32")
        for d, sizes in SIZES.items()
        for n in sizes
        for name in names
    ]
    return compare(answers, summarise(measure_cases(cases, threads, store, say)))


def ask(names: Sequence[str], threads: int, store: Path) -> Answers:
    """Return the answers to all requests, in random order; the store grows with each."""
    from bench.host.limits import available_bytes
    from bench.host.machine import describe
    from bench.measure.version import code_version
    from bench.pick.observations import alike
    from bench.pick.recommend import Request, recommend

    machine, code = describe(threads).as_dict(), code_version()
    requests = [(n, d, k) for d, sizes in SIZES.items() for n in sizes for k in ITERATIONS]
    answers = {}
    for done, i in enumerate(np.random.default_rng(0).permutation(len(requests))):
        rows, features, iterations = requests[i]
        request = Request(rows, features, iterations, "float32", {"cpu": available_bytes()})
        began = time.monotonic()
        known = alike(store, machine, code)
        setting = Setting(
            *(request, tuple(names), machine, code, threads, available_bytes(), {})
        )
        explorer = Explorer(setting, store, known, BUDGET)
        with explorer:
            explorer.explore(lambda *_: None)
        models = [*explorer.known.models.values()]
        answer = recommend(models, request, explorer.unmeasured())
        taken = time.monotonic() - began
        say(f"{requests[i]}: {answer.pick} in {taken:.1f} s", (done + 1) / len(requests))
        if answer.pick:
            answers[requests[i]] = explorer, answer
    return answers


def compare(answers: Answers, results: Sequence[Result]) -> Check:
    """Compare the picks and predictions of every request with the measurements.

    If a pick works only for least squares, the best loop is also compared with all loops.
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


if __name__ == "__main__":
    main()
