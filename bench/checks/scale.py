"""Measure the cost of streaming and of a cluster (``nox -s scale-check``).

Each figure is a ratio of two times that are measured alternately:

- a step over a file, and one read of the file;
- a step of two Dask workers, and a step of two plain processes;
- a step of two workers, and a step of one worker over half of the rows.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import click

from backends.rows.made import Generated
from bench.checks.streaming import FEATURES, FORMATS, streaming
from bench.checks.timed_ratio import Finding
from bench.checks.workers import WEAKLY_SCALED, overhead, weak_scaling
from bench.host.threads import apply
from bench.show.mistake import Script


@click.command(cls=Script)
@click.option(
    "--size",
    type=click.FloatRange(min=1),
    default=1.5e9,
    show_default=True,
    help="Size of each file, in bytes.",
)
@click.option("--only", type=click.Choice(["files", "workers"]), help="Run only this part.")
def main(size: float, only: str | None) -> None:
    """Print the cost of streaming and of a cluster; exit with code 1 if a limit is not kept."""
    apply()
    found: list[Finding] = []

    def note(finding: Finding) -> None:
        found.append(finding)
        click.echo(finding)

    if only != "workers":
        with tempfile.TemporaryDirectory(prefix="descentbench-") as folder:
            for kind in FORMATS:
                for features in FEATURES:
                    rows = int(size / 4 / (features + 1))
                    note(streaming(kind, Generated(rows, features), Path(folder)))
    if only != "files":
        for finding in overhead():
            note(finding)
        for kernel, rows, features, least in WEAKLY_SCALED:
            for finding in weak_scaling(kernel, rows, features, least):
                note(finding)
    sys.exit(0 if all(finding.good for finding in found) else 1)


if __name__ == "__main__":
    main()
