"""Check that data copied from shared memory are read at full speed (``nox -s pages-check``).

In ``descentbench run``, a child process copies the data from shared memory into its own memory.
A step over the copy must take about as long as a step over data that the process generated
itself. The check also prints the time of a step that reads shared memory directly.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial

import click
import numpy as np

from backends.catalogue import open_backend
from backends.interface import Backend
from backends.problem import Problem
from backends.rows.made import Generated
from bench.checks.timed_ratio import alternate
from bench.host.threads import apply
from bench.measure import shared
from bench.measure.verify import LEARNING_RATE
from bench.results.case import Case
from bench.show.mistake import Mistake, Script

ROWS = 20_000_000
"""Default number of rows. Their data, 160 MB, are larger than the caches of most machines."""

BACKENDS = ("numpy:blocked", "numba:parallel")
"""Backends that use the given arrays without a copy."""

WITHIN = 1.05
"""Largest allowed slowdown: with data copied from shared memory, a step takes at most 1.05
times as long as with data that the process generated itself."""

STEPS = 3
"""Number of steps that are timed together."""


@click.command(cls=Script)
@click.option("--rows", type=click.IntRange(min=1), default=ROWS, show_default=True)
def main(rows: int) -> None:
    """Time steps over data copied from shared memory; exit with 1 if a step is too slow."""
    apply()
    folder = shared.of_this_process()
    case = Case("numpy", rows, 1, "float32")
    folder.provide([case])
    os.environ |= folder.environment
    copied, mapped = shared.load(case.data), shared.load(case.data, copy=False)
    if copied is None or mapped is None:
        raise Mistake(f"there is no shared memory for {rows} rows")
    start, good = np.ones(1), True
    generated = Generated(*case.size).load()
    for name in BACKENDS:
        backend = open_backend(name)

        def steps(problem: Problem, backend: Backend = backend) -> Callable[[], object]:
            return partial(backend.place(problem, LEARNING_RATE).run, start, STEPS)

        for other, what, bound in ((generated, "generated", WITHIN), (mapped, "mapped", None)):
            found = alternate(
                f"{name}, a step over copied against {what} data",
                *(steps(copied), steps(other), bound),
                least=False,
                steps=STEPS,
            )
            click.echo(found)
            good = good and found.good

    def load(*, copy: bool) -> Problem | None:
        return shared.load(case.data, copy=copy)

    click.echo(
        alternate(
            "loading: a copy against a map",
            lambda: load(copy=True),
            lambda: load(copy=False),
            None,
            least=False,
        )
    )
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
