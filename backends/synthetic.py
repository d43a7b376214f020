"""Synthetic data: the classic tutorial's line, or several features on the same scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from backends.errors import ProblemError
from backends.losses import SQUARED_ERROR, Loss
from backends.problem import Array, Problem, check_shape


def generate(
    rows: int,
    features: int = 1,
    dtype: DTypeLike = np.float32,
    seed: int = 0,
    *,
    start: int = 0,
    stop: int | None = None,
    loss: Loss = SQUARED_ERROR,
) -> Problem:
    """Return rows `start` to `stop` of the synthetic problem of a given size.

    One feature is the classic tutorial: ``x = 10·i/n`` and
    ``y = 2x + 2·uniform(0, 1)``, so that n = 100 gives x = 0, 0.1 … 9.9 and
    the same learning rate converges at any n. More features are uniform in
    [0, 10/√d), which keeps ``mean(‖x‖²)``, hence the largest curvature, at
    the classic value of about 33 for every d.

    A loss with targets of its own replaces y: it is given the line without noise,
    standardised, and the noise.

    A range of rows is bit-equal to the same range of the whole problem, because each
    block of rows has its own random generator.

    Parameters
    ----------
    rows, features : int
        n and d of the whole problem; both are at least 1.
    dtype : {"float32", "float64"}
    seed : int
        Seed of the noise, the features and the true w.
    start, stop : int
        The range to generate; all rows by default.
    loss : Loss
        The problem's loss, which may make its own targets.
    """
    dtype = np.dtype(dtype)
    stop = rows if stop is None else stop
    check_shape(rows, features, dtype.name)
    if not 0 <= start < stop <= rows:
        raise ProblemError(f"rows {start} to {stop} are not a range within 0 to {rows}")

    x = np.empty((stop - start, features), dtype)
    y = np.empty(stop - start, dtype)
    truth = 1.0 + 2.0 * np.random.default_rng([seed, features]).random(features)
    slope = np.array([2.0]) if features == 1 else truth
    middle = 5.0 / np.sqrt(features) * slope.sum()
    spread = 10.0 / np.sqrt(12.0 * features) * np.linalg.norm(slope)
    block = max(1024, (1 << 16) // features)
    for first in range(start - start % block, stop, block):
        last = min(first + block, stop)
        # The seed's third word keeps a block's stream apart from the truth's.
        rng = np.random.default_rng([seed, features, 1 + first // block])
        # In the dtype itself: float32 draws are half the work.
        shape = (last - first, features + (features > 1))
        uniform: Array = rng.random(shape, dtype=dtype.type)  # type: ignore[arg-type]
        skip = max(start - first, 0)
        uniform, to = uniform[skip:], slice(max(first, start) - start, last - start)
        noise = uniform[:, -1]
        if features == 1:
            line = 10.0 * np.arange(max(first, start), last) / rows
            x[to, 0] = line
            line *= 2.0
        else:
            np.multiply(uniform[:, :-1], 10.0 / np.sqrt(features), out=x[to])
            # Row sums, not a matrix product: BLAS rounds a row by its neighbours.
            line = (x[to] * truth).sum(axis=1)
        if loss.targets is None:
            y[to] = line + 2.0 * noise
        else:
            y[to] = loss.targets((line - middle) / spread, noise.astype(np.float64))
    source = f"synthetic, {rows} × {features}, seed {seed}"
    return Problem(x, y, source, known_finite=True, loss=loss)
