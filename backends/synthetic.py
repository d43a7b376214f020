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

    One feature is the classic tutorial: ``x = 10·i/n`` and ``y = 2x + 2·uniform(0, 1)``, so
    that n = 100 gives x = 0, 0.1 … 9.9 and one learning rate converges for any n. Several
    features are uniform in [0, 10/√d). The mean of ‖x‖², and with it the largest curvature, is
    then about 33 for every d, as in the tutorial.

    A loss that defines `targets` replaces y: it computes targets from the standardised line
    without noise, and from the noise.

    A generated range is bit-equal to that range of the whole problem, because each block of
    rows has its own random generator.

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
        The problem's loss, which may define the targets.
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
        # The third word of the seed separates a block's random numbers from those of the true
        # w.
        rng = np.random.default_rng([seed, features, 1 + first // block])
        # Draw in the data's dtype: float32 numbers are half the work.
        shape = (last - first, features + (features > 1))
        uniform: Array = rng.random(shape, dtype=dtype.type)[rows_here.start - first :]  # type: ignore[arg-type]
        line = _fill(x[to], uniform, truth, rows_here, rows)
        y[to] = _targets(line, uniform[:, -1], truth, loss)
    source = f"synthetic, {rows} × {features}, seed {seed}"
    return Problem(x, y, source, known_finite=True, loss=loss)


def _truth(features: int, seed: int) -> Array:
    """Return the true w, without noise: the tutorial's 2, or random numbers."""
    if features == 1:
        return np.array([2.0])
    return np.asarray(1.0 + 2.0 * np.random.default_rng([seed, features]).random(features))


def _fill(x: Array, uniform: Array, truth: Array, here: range, rows: int) -> Array:
    """Write the features of the rows `here` into x, (n, d), and return ``x·truth``."""
    features = x.shape[1]
    if features == 1:
        line = 10.0 * np.arange(here.start, here.stop) / rows
        x[:, 0] = line
        line *= 2.0
        return line
    np.multiply(uniform[:, :-1], 10.0 / np.sqrt(features), out=x)
    # Sum each row: BLAS's rounding of a row would depend on the rows beside it.
    return np.asarray((x * truth).sum(axis=1))


def _targets(line: Array, noise: Array, truth: Array, loss: Loss) -> Array:
    """Return the line with noise, or the targets that the loss computes from both."""
    if loss.targets is None:
        return line + 2.0 * noise
    features = len(truth)
    middle = 5.0 / np.sqrt(features) * truth.sum()
    spread = 10.0 / np.sqrt(12.0 * features) * np.linalg.norm(truth)
    return loss.targets((line - middle) / spread, noise.astype(np.float64))
