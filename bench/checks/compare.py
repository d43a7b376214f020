"""Check the verdicts of ``descentbench compare`` on this machine (``nox -s compare-check``).

The check measures the same code in two alternating runs, so `compare` must report no change. To
simulate a slower backend, the check then multiplies its step times in the second run by 1.1.
Now `compare` must report that this backend, and no other, is slower. All of this is repeated 20
times.
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
"""Number of passes that measure all cases, and largest number of further passes. A further pass
measures only the cases that `compare` cannot yet judge."""

SECONDS = 0.2
"""Time for which each pass measures a case, in seconds."""

SLOWER = 1.10
"""Factor for the step times of one backend, to simulate that the backend is 10 % slower."""

RIGHT_SAME, RIGHT_SLOWER = 0.95, 0.90
"""Smallest fractions of repeats in which `compare` must be right: 0.95 if both runs are
unchanged, and 0.90 if one backend is made slower."""


@dataclass(frozen=True)
class Repeat:
    """The verdicts on one pair of runs of the same code.

    Attributes
    ----------
    flagged : tuple of Comparison
        Cases that `compare` called faster or slower. All of these verdicts are wrong.
    slowed : str
        Backend whose step times in the second run were multiplied by `SLOWER`.
    found : tuple of Comparison
        Cases that `compare` called faster or slower after this multiplication.
    """

    flagged: tuple[Comparison, ...]
    slowed: str
    found: tuple[Comparison, ...]

    @property
    def right(self) -> bool:
        """Whether `compare` reported only the slowed backend, and reported it as slower."""
        return {(c.case.backend, c.verdict) for c in self.found} == {(self.slowed, "slower")}


def flagged(comparisons: list[Comparison]) -> tuple[Comparison, ...]:
    """Return the comparisons whose verdict is faster or slower."""
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
    """Compare two runs as they are, and again with one backend made slower.

    The parameter `slowed` is the name of this backend. Its step times in `new` are multiplied
    by `SLOWER`.
    """
    return Repeat(
        flagged(compare(old, new)),
        slowed,
        flagged(compare(old, slow_down(new, slowed, SLOWER))),
    )


def take_pair(threads: int) -> tuple[Record, Record]:
    """Measure the same code in two runs that alternate; return the records of both runs."""
    cases = tuple(Case(backend, n, 1, "float32") for n in ROWS for backend in BACKENDS)
    plan = Plan(cases, PASSES, SECONDS, (READ,), setup=False, more=MORE)
    with tempfile.TemporaryDirectory(prefix="descentbench-compare-") as folder:
        runners = [Runner(plan, threads, Path(folder) / side) for side in ("old", "new")]
        old, new = side_by_side(runners, lambda _: None, lambda _: None, unclear)
    return old, new


def check(
    numbers: range, pair: Callable[[], tuple[Record, Record]], say: Callable[[str], None]
) -> list[Repeat]:
    """Measure pairs of runs of the same code, and judge each pair with `judge`.

    Parameters
    ----------
    numbers : range
        Numbers of the repeats, such as ``range(1, 21)``.
    pair : callable
        Function that measures the same code in two runs and returns both records.
    say : callable
        Function that is called with one line of text about each repeat.
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
    """Check the verdicts of ``descentbench compare``; exit with code 1 if too many are wrong.

    Two runs measure the same code, so `compare` must report no change. When the step times of
    one backend are multiplied by 1.1, `compare` must report that this backend is slower.
    """
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
