"""Compare step times of two commands (``nox -s benchmark-check``).

`pytest --benchmark-only` runs all libraries in one process. `descentbench run` runs each
library in its own process. The two step times of a case should be similar: their ratio must be
at most 1.5 for half of the cases, and at most 3 for every case.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import click

from bench.host.threads import apply
from bench.measure.plan import Plan
from bench.measure.runner import Runner
from bench.measure.version import TREE
from bench.results.case import Case
from bench.results.summary import summarise
from bench.show.mistake import Script

TYPICAL, WORST = 1.5, 3.0
"""Largest allowed median of all ratios, and largest allowed ratio of a single case.

The ratio of a case is the longer of its two step times ÷ the shorter. One step time comes from
`pytest --benchmark-only`, and the other comes from `descentbench run`.
"""

Times = dict[Case, float]
"""Type of a mapping from a benchmark case to the median seconds per step."""


def by_pytest(folder: Path) -> Times:
    """Return the step times that `pytest --benchmark-only` measures."""
    path = folder / "benchmarks.json"
    command = [sys.executable, "-m", "pytest", "-q", "--benchmark-only"]
    subprocess.run(  # noqa: S603 the command is ours
        [*command, f"--benchmark-json={path}", "-k", "test_step"], cwd=TREE, check=True
    )
    found = {}
    for benchmark in json.loads(path.read_text(encoding="utf-8"))["benchmarks"]:
        info = benchmark["extra_info"]
        case = Case(info["backend"], info["rows"], info["features"], info["dtype"])
        found[case] = float(benchmark["stats"]["median"])
    return found


def by_run(cases: tuple[Case, ...], threads: int, folder: Path) -> Times:
    """Measure `cases` as `descentbench run` does, and return their step times."""
    plan = Plan(cases, passes=2, seconds=0.2, baselines=(), setup=False)
    record = Runner(plan, threads, folder).run(lambda task: print(task.name), lambda _: None)  # noqa: T201
    return {r.case: r.step_s.median for r in summarise(record) if r.step_s}


def ratios(one: Times, other: Times) -> dict[Case, float]:
    """Return the longer time ÷ the shorter time of every case that is in `one` and `other`."""
    pairs = {case: (one[case], other[case]) for case in one if case in other}
    return {case: max(pair) / min(pair) for case, pair in pairs.items()}


@click.command(cls=Script)
def main() -> None:
    """Print the times and ratio of each case; exit with code 1 if a ratio is too large."""
    with tempfile.TemporaryDirectory(prefix="descentbench-check-") as folder:
        shared = by_pytest(Path(folder))
        own = by_run(tuple(shared), apply(), Path(folder))
    found = ratios(shared, own)
    for case, ratio in sorted(found.items(), key=lambda pair: pair[1]):
        times = f"{shared[case]:.3g} s in one process, {own[case]:.3g} s in its own"
        click.echo(f"{ratio:5.2f} {case}: {times}")
    typical, worst = median(found.values()), max(found.values())
    click.echo(f"median {typical:.2f} (at most {TYPICAL}), worst {worst:.2f} (at most {WORST})")
    sys.exit(0 if typical <= TYPICAL and worst <= WORST and len(found) == len(shared) else 1)


if __name__ == "__main__":
    main()
