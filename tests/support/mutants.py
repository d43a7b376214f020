"""Draw a sample of a Cosmic Ray session's mutants, and count the mutants that tests detected.

``nox -s mutation`` installs Cosmic Ray and runs this program.
"""

from __future__ import annotations

import random
from pathlib import Path

import click
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import WorkerOutcome, WorkItem, WorkResult
from scipy.stats import binomtest


@click.group()
def main() -> None:
    """Change or read the file of a Cosmic Ray session."""


@main.command()
@click.argument("session", type=click.Path(path_type=Path, exists=True))
@click.argument("count", type=click.IntRange(min=1))
@click.option("--seed", default=0, show_default=True)
def sample(session: Path, count: int, seed: int) -> None:
    """Skip all mutants except COUNT random ones; equal seeds draw the same mutants."""
    with use_db(session, WorkDB.Mode.open) as db:
        mutants = sorted(db.pending_work_items, key=_place)
        drawn = random.Random(seed).sample(mutants, min(count, len(mutants)))
        rest = {mutant.job_id for mutant in mutants} - {mutant.job_id for mutant in drawn}
        db.set_multiple_results(rest, WorkResult(WorkerOutcome.SKIPPED))


def _place(mutant: WorkItem) -> list[tuple[str, int]]:
    """Return a sorting key without the mutants' ids, which differ in every session."""
    return [(mutation.operator_name, mutation.occurrence) for mutation in mutant.mutations]


@main.command()
@click.argument("session", type=click.Path(path_type=Path, exists=True))
def share(session: Path) -> None:
    """Print how many of the tried mutants the tests detected."""
    with use_db(session, WorkDB.Mode.open) as db:
        tried = [r for _, r in db.results if r.worker_outcome != WorkerOutcome.SKIPPED]
    noticed = sum(result.is_killed for result in tried)
    bounds = binomtest(noticed, len(tried)).proportion_ci(method="wilson")
    click.echo(
        f"{noticed} of {len(tried)} mutants were detected: {noticed / len(tried):.0%}; if they "
        f"are a sample, {bounds.low:.0%} to {bounds.high:.0%} of all mutants (95 % confidence)"
    )


if __name__ == "__main__":
    main()
