"""Check the speed of descents over files and on a Dask cluster (``nox -s scale-check``).

The check prints three kinds of ratio. The two times of a ratio are measured alternately:

- time to read a file ÷ time of a step over the file;
- time of a step of two Dask workers ÷ time of a step of two Python processes without Dask;
- time of a step of one worker over n rows ÷ time of a step of two workers over 2·n rows.
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
    """Time steps over files and on a Dask cluster; exit with 1 if a step is too slow."""
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
