"""Measure what autograd costs, for every loss.

``nox -s autograd-cost`` runs this check. Some of the timed backends compute the gradient with
autograd, and the others use a formula derived by hand. All backends are measured in one run, in
random order. The weights of each backend are compared with a float64 reference. ``nox -s
results`` makes the table and the picture of docs/losses.md from the newest record of this check
in ``results/``.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click

from backends import catalogue
from backends.losses import LOSSES
from bench.host.lock import hold
from bench.host.threads import apply
from bench.measure.plan import Plan, Task
from bench.measure.runner import Runner
from bench.results.case import READ, Case
from bench.results.record import Record
from bench.show.autograd import GRADIENTS, NAME, autograd_markdown, failures
from bench.show.mistake import Script

SIZES = ((1_000_000, 1), (1_000_000, 32))
"""(rows, features) of the measured sizes.

The first size has 8 MB of data and fits into a last-level cache. The second size has 132 MB and
does not fit.
"""


def cases(sizes: tuple[tuple[int, int], ...], losses: tuple[str, ...]) -> tuple[Case, ...]:
    """Return one case for every combination of loss, backend and size.

    The backends are those of `GRADIENTS` that can run here.
    """
    return tuple(
        Case(backend, rows, features, "float32", loss)
        for loss in losses
        for entry in catalogue.entries(list(GRADIENTS), LOSSES[loss])
        if entry.available and (backend := str(entry.name)) in GRADIENTS
        for rows, features in sizes
    )


def measured(plan: Plan, threads: int, store: Path) -> Record:
    """Measure all cases of `plan`, print the progress on stderr, and return the results."""

    def started(task: Task) -> None:
        click.echo(task.name, err=True)

    with hold(store):
        runner = Runner(plan, threads, store, name=NAME)
        return runner.run(started, lambda _: None)


@click.command(cls=Script)
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    help="Folder for the record.  [default: the record is not kept]",
)
@click.option("--loss", "losses", multiple=True, type=click.Choice([*LOSSES]), default=LOSSES)
@click.option("--rows", type=click.IntRange(min=1), help="Rows instead of 1e6.")
@click.option("--passes", type=click.IntRange(min=1), default=3, show_default=True)
@click.option(
    "--seconds", type=click.FloatRange(min=0, min_open=True), default=0.1, show_default=True
)
def main(
    store: Path | None,
    losses: tuple[str, ...],
    rows: int | None,
    passes: int,
    seconds: float,
) -> None:
    """Print tables of step times with autograd and with gradients derived by hand."""
    threads = apply()
    sizes = tuple((rows or n, features) for n, features in SIZES)
    plan = Plan(cases(sizes, tuple(losses)), passes, seconds, (READ,), setup=False)
    with tempfile.TemporaryDirectory(prefix="descentbench-") as folder:
        record = measured(plan, threads, store or Path(folder))
    click.echo(autograd_markdown(record))
    failed = failures(record)
    for line in failed:
        click.echo(f"failed: {line}", err=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
