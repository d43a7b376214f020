"""Compare steps over copied, generated and mapped data (``nox -s pages-check``).

The child processes of a run copy the data out of shared memory into their own pages. This check
shows that a step over the copy takes as long as a step over data that the process generated.
It also shows why the processes copy the shared pages and do not map them: shared memory seldom
has large pages. Only ratios of alternating rounds are compared.
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
"""Default number of rows: 160 MB, several times the caches of most machines."""

BACKENDS = ("numpy:blocked", "numba:parallel")
"""Backends that keep the given arrays instead of copying the data."""

WITHIN = 1.05
"""Largest allowed time of a step over copied data, relative to a step over generated data: 5 %
more."""

STEPS = 3
"""Number of steps in a round."""


@click.command(cls=Script)
@click.option("--rows", type=click.IntRange(min=1), default=ROWS, show_default=True)
def main(rows: int) -> None:
    """Print the ratios for each backend; exit with 1 if a ratio exceeds its limit."""
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
