"""Make scaled copies of arrays, block by block, with several threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from backends.problem import Problem

if TYPE_CHECKING:
    from bench.fit.scaling import Scaling

BLOCK_BYTES = 1 << 20
"""Size in bytes of the float64 copy of a block of rows: 1 MiB, which fits in a cache."""

SERIAL_BYTES = 1 << 23
"""Data size in bytes below which a single thread does the work: 8 MiB. For so few data, waking
other threads takes too long."""

Result = TypeVar("Result")


def scaling_of(problem: Problem, *, intercept: bool, standardize: bool) -> Scaling | None:
    """Return the map from the columns of the data to the columns that the descent reads.

    If `intercept` and `standardize` are both False, the result is None, and the descent reads
    the data as they are.
    """
    if not intercept and not standardize:
        return None
    from bench.fit.scaling import Columns, Scaling, may_shift_target

    if not standardize:
        return Scaling.identity(problem.features, intercept=intercept)
    columns = Columns.of_blocks(
        _each(problem, lambda block: Columns.of(problem.x[block], problem.y[block]))
    )
    shift = may_shift_target(problem.loss)
    return Scaling.of(columns, intercept=intercept, standardize=standardize, shift_target=shift)


def scaled(problem: Problem, scaling: Scaling) -> Problem:
    """Return the problem with scaled columns; `scaling.target` is subtracted from y."""
    x = np.empty((problem.rows, scaling.weights), problem.dtype)
    y = problem.y
    if scaling.target:
        y = np.subtract(y, scaling.target, dtype=np.float64).astype(problem.dtype)
    _each(problem, lambda block: scaling.transform(problem.x[block], out=x[block]))
    return Problem(x, y, problem.source, known_finite=True, loss=problem.loss)


def _each(problem: Problem, work: Callable[[slice], Result]) -> list[Result]:
    """Return the result of `work` for each block of rows, in the order of the rows.

    Several threads share the blocks.
    """
    from backends.threads import in_threads, processors

    rows = max(1, BLOCK_BYTES // (8 * problem.features))
    blocks = [slice(start, start + rows) for start in range(0, problem.rows, rows)]
    threads = 1 if problem.bytes_per_step < SERIAL_BYTES else min(len(blocks), processors())
    shares = np.array_split(np.arange(len(blocks)), threads)
    parts = in_threads(lambda share: [work(blocks[i]) for i in share], shares)
    return [result for part in parts for result in part]
