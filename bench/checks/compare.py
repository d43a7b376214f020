"""Count wrong verdicts of `compare` on runs of this machine (``nox -s compare-check``).

Each repeat measures the same code in two alternating runs; `compare` must find no change. Then
the step times of one backend in the second run are made 10 % longer; `compare` must find
exactly this backend.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import click

from bench.host.threads import apply
from bench.measure.plan import Plan
from bench.measure.runner import Runner, side_by_side
from bench.results.case import READ, Case
from bench.results.record import Outcome, Record
from bench.results.verdict import Comparison, compare, tally, unclear
from bench.show.mistake import Script

BACKENDS = "numpy", "numpy:blocked", "numba:parallel", "jax:loop"

ROWS = 10_000, 1_000_000

PASSES, MORE = 4, 6
"""Number of planned passes, and largest number of further passes over uncertain cases."""

SECONDS = 0.2
"""Sampling time of a case in a pass, in seconds."""

SLOWER = 1.10
"""Factor by which the step times of one backend are multiplied."""

RIGHT_SAME, RIGHT_SLOWER = 0.95, 0.90
"""Smallest shares of repeats with right verdicts that pass the check: 19 of 20 for the same
code, and 18 of 20 for one slower backend."""


@dataclass(frozen=True)
class Repeat:
    """The verdicts on one pair of runs.

    Attributes
    ----------
    flagged : tuple of Comparison
        Comparisons found faster or slower, in the runs as measured.
    slowed : str
        Backend whose step times are then multiplied by `SLOWER`.
    found : tuple of Comparison
        Comparisons found faster or slower after the multiplication.
    """

    flagged: tuple[Comparison, ...]
    slowed: str
    found: tuple[Comparison, ...]

    @property
    def right(self) -> bool:
        """Whether exactly the slowed backend was found to be slower."""
        return {(c.case.backend, c.verdict) for c in self.found} == {(self.slowed, "slower")}


def flagged(comparisons: list[Comparison]) -> tuple[Comparison, ...]:
    """Return the comparisons with the verdict faster or slower."""
    return tuple(c for c in comparisons if c.verdict in ("faster", "slower"))


def slow_down(record: Record, backend: str, factor: float) -> Record:
    """Return the record with all step times of one backend multiplied by `factor`."""

    def slowed(outcome: Outcome) -> Outcome:
        return replace(
            outcome,
            measurements=tuple(
                replace(m, seconds=tuple(factor * s for s in m.seconds))
                if m.kind == "step" and Case.parse(m.row).backend == backend
                else m
                for m in outcome.measurements
            ),
        )

    return replace(record, tasks={name: slowed(o) for name, o in record.tasks.items()})


def judge(old: Record, new: Record, slowed: str) -> Repeat:
    """Compare two runs as measured, and again with the backend `slowed` made slower."""
    return Repeat(
        flagged(compare(old, new)),
        slowed,
        flagged(compare(old, slow_down(new, slowed, SLOWER))),
    )


def take_pair(threads: int) -> tuple[Record, Record]:
    """Measure the same code twice, in alternation."""
    cases = tuple(Case(backend, n, 1, "float32") for n in ROWS for backend in BACKENDS)
    plan = Plan(cases, PASSES, SECONDS, (READ,), setup=False, more=MORE)
    with tempfile.TemporaryDirectory(prefix="descentbench-compare-") as folder:
        runners = [Runner(plan, threads, Path(folder) / side) for side in ("old", "new")]
        old, new = side_by_side(runners, lambda _: None, lambda _: None, unclear)
    return old, new


def check(
    numbers: range, pair: Callable[[], tuple[Record, Record]], say: Callable[[str], None]
) -> list[Repeat]:
    """Measure pairs of runs; judge each pair as measured, and with one backend made slower.

    Parameters
    ----------
    numbers : range
        Numbers of the repeats. The number of a repeat selects the backend that is made slower.
    pair : callable
        Measures the same code twice; returns both records.
    say : callable
        Called with a line about each repeat.
    """
    found = []
    for k in numbers:
        slowed = BACKENDS[(k - 1) % len(BACKENDS)]
        old, new = pair()
        repeat = judge(old, new, slowed)
        found.append(repeat)
        say(
            f"{k}: the same code: {tally(compare(old, new))}; "
            f"{slowed} 10 % slower: {'only it found' if repeat.right else _names(repeat.found)}"
        )
    return found


def _names(found: tuple[Comparison, ...]) -> str:
    return ", ".join(f"{c.case.backend} {c.verdict}" for c in found) or "nothing found"


@click.command(cls=Script)
@click.option("--repeats", type=click.IntRange(min=1), default=20, show_default=True)
@click.option(
    "--first",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Number of the first repeat, to divide a check into several calls.",
)
def main(repeats: int, first: int) -> None:
    """Count the wrong verdicts of `compare`; exit with 1 if there are too many."""
    threads = apply()
    numbers = range(first, first + repeats)
    found = check(numbers, lambda: take_pair(threads), click.echo)
    same = sum(not r.flagged for r in found)
    slower = sum(r.right for r in found)
    click.echo(f"The same code: nothing flagged in {same} of {repeats}.")
    click.echo(f"One backend 10 % slower: only this backend flagged in {slower} of {repeats}.")
    good = same >= RIGHT_SAME * repeats and slower >= RIGHT_SLOWER * repeats
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
