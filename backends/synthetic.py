"""Make synthetic data: a feature x with targets near 2x, or several random features."""

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
    """Return rows `start` to `stop` of a synthetic problem with n rows and d features.

    With one feature, row i has ``x = 10·i/n`` and ``y = 2x + 2·noise``. The noise is uniform in
    [0, 1). For n = 100, the values of x are 0, 0.1 … 9.9.

    With several features, each feature is uniform in [0, 10/√d), and ``y = x·w + 2·noise`` with
    random true weights w. The mean of ‖x‖² is about 33 for every d, so that one learning rate
    suits every d.

    If the loss has a function `targets`, this function makes y from the noise and from x·w. For
    this purpose, x·w is scaled to mean 0 and standard deviation 1.

    A row does not depend on `start` and `stop`, because each block of rows has its own random
    generator.

    Parameters
    ----------
    rows, features : int
        n and d of the whole problem. Each number is at least 1.
    dtype : {"float32", "float64"}
    seed : int
        Seed of the noise, the features and the true w.
    start, stop : int
        The first row and the row after the last one, counted from 0; all rows by default.
    loss : Loss
        The problem's loss.
    """
    dtype = np.dtype(dtype)
    stop = rows if stop is None else stop
    check_shape(rows, features, dtype.name)
    if not 0 <= start < stop <= rows:
        raise ProblemError(f"rows {start} to {stop} are not a range within 0 to {rows}")

    x = np.empty((stop - start, features), dtype)
    y = np.empty(stop - start, dtype)
    truth = _truth(features, seed)
    block = max(1024, (1 << 16) // features)
    for first in range(start - start % block, stop, block):
        last = min(first + block, stop)
        rows_here = range(max(first, start), last)
        to = slice(rows_here.start - start, last - start)
        # The third number keeps a block's random numbers different from those of the true w.
        rng = np.random.default_rng([seed, features, 1 + first // block])
        # Draw in the data's dtype: a float32 number takes half the time of a float64 number.
        shape = (last - first, features + (features > 1))
        uniform: Array = rng.random(shape, dtype=dtype.type)[rows_here.start - first :]  # type: ignore[arg-type]
        line = _fill(x[to], uniform, truth, rows_here, rows)
        y[to] = _targets(line, uniform[:, -1], truth, loss)
    source = f"synthetic, {rows} × {features}, seed {seed}"
    return Problem(x, y, source, known_finite=True, loss=loss)


def _truth(features: int, seed: int) -> Array:
    """Return the true weights: 2 for one feature, otherwise d random numbers in [1, 3)."""
    if features == 1:
        return np.array([2.0])
    return np.asarray(1.0 + 2.0 * np.random.default_rng([seed, features]).random(features))


def _fill(x: Array, uniform: Array, truth: Array, here: range, rows: int) -> Array:
    """Fill `x` with the features of the rows in the range `here`.

    Returns the product of `x` and the true weights `truth`.
    """
    features = x.shape[1]
    if features == 1:
        line = 10.0 * np.arange(here.start, here.stop) / rows
        x[:, 0] = line
        line *= 2.0
        return line
    np.multiply(uniform[:, :-1], 10.0 / np.sqrt(features), out=x)
    # BLAS would round a row's sum differently depending on the rows around it.
    return np.asarray((x * truth).sum(axis=1))


def _targets(line: Array, noise: Array, truth: Array, loss: Loss) -> Array:
    """Return ``line + 2·noise``, or the result of the loss's function `targets` if it has one.

    `line` is x·w of each row.
    """
    if loss.targets is None:
        return line + 2.0 * noise
    features = len(truth)
    middle = 5.0 / np.sqrt(features) * truth.sum()
    spread = 10.0 / np.sqrt(12.0 * features) * np.linalg.norm(truth)
    return loss.targets((line - middle) / spread, noise.astype(np.float64))
