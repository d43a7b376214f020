"""Compute the correct w in float64 with NumPy, for all losses except squared error.

A backend's w is compared with this reference. The reference is computed step by step, with
formulas that no backend uses, so its computation is slow. Two things save time:

- `Iterated.most_steps` limits the number of steps in a timed round. The reference needs as many
  steps as the round.
- The processes of a run share references through files.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from functools import cached_property, partial, reduce
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np
from numpy.typing import ArrayLike, NDArray
from threadpoolctl import threadpool_limits

from backends.errors import Weights
from backends.losses import HUBER, LOG_LOSS, POISSON, SQUARED_ERROR, Loss
from backends.problem import Array, Problem
from backends.rows.blocks import Block
from backends.rows.source import Source
from backends.threads import in_threads, processors
from bench.measure import shared
from bench.measure.derivative import derivative

Float64 = NDArray[np.float64]

Slope = Callable[[Float64, Float64], Float64]
"""A function ``slope(p, y)`` that returns the derivative of a loss with respect to the
prediction p, in float64."""

BLOCK_BYTES = 1 << 20
"""Size in bytes of the float64 copy of a block of rows: 1 MiB fits a second-level cache."""

SECONDS = 1.0
"""Approximate time limit in seconds for computing the correct result w of a timed round."""

FEWEST_STEPS = 4
"""Smallest value of `Iterated.most_steps`: 4 steps. With 10⁸ rows, 4 steps take a few seconds,
which is longer than `SECONDS`."""

SAMPLE_ROWS = 4096
"""Number of rows in the sample that estimates the slope and the curvature of a loss.

The estimate is only needed if the loss does not define its `curvature`."""

NEAR = 2.0
"""Largest absolute prediction for which the slope and curvature of a loss are estimated.

A timed descent starts with predictions between −1 and 1. The learning rate is so small that
all predictions stay between −2 and 2.
"""

DIFFERENCE = 1e-3
"""The h in the estimate of a curvature, (slope(p + h) − slope(p − h)) / 2h.

With 0.001, the estimate is precise enough for choosing a learning rate.
"""


def _huber(p: Float64, y: Float64) -> Float64:
    return np.sign(p - y) * np.minimum(np.abs(p - y), 1.0)


SLOPES: dict[Loss, Slope] = {
    SQUARED_ERROR: lambda p, y: 2.0 * (p - y),
    LOG_LOSS: lambda p, y: 0.5 * np.tanh(0.5 * p) + (0.5 - y),
    HUBER: _huber,
    POISSON: lambda p, y: np.expm1(p) + (1.0 - y),
}
"""Slopes of the built-in losses.

Their formulas are written differently from those in `backends.losses`, so that a mistake in
either place is noticed.
"""


def slope_of(loss: Loss) -> Slope:
    """Return the slope of a loss, as a function in float64.

    If a user's loss defines no slope, JAX or PyTorch differentiates the loss.
    """
    if loss in SLOPES:
        return SLOPES[loss]
    if loss.slope is None:
        return derivative(loss)
    own = loss.slope
    return lambda p, y: np.asarray(loss.scale * own(np, p, y))


class Iterated:
    """Computes a descent in float64 over the rows of a problem or source.

    Parameters
    ----------
    rows : Problem or Source
        Rows of the descent; this object holds only a weak reference to the rows.
    """

    def __init__(self, rows: Problem | Source) -> None:
        self.loss, self.count, self.features = rows.loss, rows.rows, rows.features
        self.slope = slope_of(rows.loss)
        self.about = (rows.source, rows.rows, rows.features, rows.dtype, rows.loss.name)
        self._refers = ref(rows)
        self._known: dict[tuple[object, ...], Weights] = {}

    @property
    def _rows(self) -> Problem | Source:
        rows = self._refers()
        if rows is None:
            raise ReferenceError("the rows of this descent are gone")
        return rows

    def gradient(self, w: ArrayLike) -> Weights:
        """Return the gradient of the mean loss at `w`, an array of shape (d,)."""
        w = np.asarray(w, dtype=np.float64)
        data = self._rows
        if isinstance(data, Source):
            work: Iterator[Weights] = data.each_block(partial(self._block, w))
            return np.asarray(sum(work) / self.count)
        x, y = data.x, data.y
        length = max(64, BLOCK_BYTES // (8 * (self.features + 1)))
        blocks = [slice(start, start + length) for start in range(0, self.count, length)]
        if len(blocks) == 1:
            return self._sums(w, x, y) / self.count
        shares = [blocks[k :: processors()] for k in range(min(processors(), len(blocks)))]

        def share(mine: list[slice]) -> Weights:
            return reduce(np.add, (self._sums(w, x[rows], y[rows]) for rows in mine))

        return np.asarray(reduce(np.add, in_threads(share, shares)) / self.count)

    def _block(self, w: Weights, block: Block) -> Weights:
        return self._sums(w, block.x, block.y)

    def _sums(self, w: Weights, x: Array, y: Array) -> Weights:
        wide = x.astype(np.float64)
        p = wide * w[0] if wide.ndim == 1 else wide @ w
        return np.atleast_1d(self.slope(p, y.astype(np.float64)) @ wide)

    def iterate(self, steps: int, learning_rate: float, w0: ArrayLike) -> Weights:
        """Return w after `steps` steps from `w0`.

        A later call with equal arguments returns the stored result. For synthetic rows, the
        other child processes of ``descentbench run`` read the result from a file.
        """
        w = np.array(w0, dtype=np.float64)
        key = (*self.about, steps, learning_rate, w.tobytes())
        if key not in self._known:
            self._known[key] = shared.kept(key, lambda: self._descend(steps, learning_rate, w))
        return self._known[key]

    def _descend(self, steps: int, learning_rate: float, w: Weights) -> Weights:
        with threadpool_limits(1, "blas"), np.errstate(over="ignore", invalid="ignore"):
            for _ in range(steps):
                w = w - learning_rate * self.gradient(w)
        return w

    @cached_property
    def most_steps(self) -> int:
        """Number of steps that this object computes in `SECONDS`, at least `FEWEST_STEPS`.

        The number is rounded down to a power of two, so that several processes often choose the
        same number of steps and can share the computed w.
        """
        w = np.zeros(self.features)
        with threadpool_limits(1, "blas"):
            self.gradient(w)
            began = time.perf_counter()  # chooses a number of steps; this time is not reported
            self.gradient(w)
            seconds = max(time.perf_counter() - began, 1e-7)
        return max(FEWEST_STEPS, 1 << int(np.log2(max(1.0, SECONDS / seconds))))

    def safe_rate(self, steps: int) -> float:
        """Return a learning rate at which `steps` steps are stable and change w measurably.

        The rate is ``1/(steps·c·λ)``. c is the curvature that the loss defines, and λ is the
        largest eigenvalue of XᵀX/n. If the loss defines no curvature, c is estimated for
        predictions between −`NEAR` and `NEAR`, and the rate is so small that all predictions
        stay in this range. The rate is infinite if all x are 0.
        """
        largest = self._rows.reference.lipschitz / 2
        if self.loss.curvature is not None:
            bound = self.loss.curvature * largest * steps
        else:
            curvature, steepness = self._near
            way = self._longest_row**2 * steepness  # change of a prediction in a step ÷ rate
            bound = max(curvature * largest * steps, way * max(steps, FEWEST_STEPS))
        return 1.0 / float(bound) if bound > 0 else math.inf

    @cached_property
    def start_scale(self) -> float:
        """Largest weight at the start of a timed descent: 1 if the loss defines its curvature.

        If the loss defines no curvature, the weights are so small that all predictions at the
        start are between −1 and 1.
        """
        if self.loss.curvature is not None or not self._longest_row:
            return 1.0
        return min(1.0, NEAR / 2 / (self._longest_row * math.sqrt(self.features)))

    @cached_property
    def _longest_row(self) -> float:
        """Largest Euclidean norm of a row of X."""
        rows = self._rows
        blocks = rows.blocks() if isinstance(rows, Source) else [rows]

        def longest(x: Array) -> float:
            squares = np.square(x.reshape(len(x), -1), dtype=np.float64).sum(axis=1)
            return float(np.sqrt(squares.max()))

        length = max(64, BLOCK_BYTES // (8 * self.features))
        return max(
            longest(block.x[start : start + length])
            for block in blocks
            for start in range(0, len(block.y), length)
        )

    @cached_property
    def _near(self) -> tuple[float, float]:
        """Largest curvature and mean steepness of the loss, for p between −`NEAR` and `NEAR`.

        A row's steepness is the largest absolute value of ``slope(p, y)`` for the row's y. The
        mean is taken over a sample of rows.
        """
        rows: Any = self._rows
        if isinstance(rows, Source):
            rows = rows.sample(SAMPLE_ROWS)
        some = np.linspace(0, rows.rows - 1, min(rows.rows, SAMPLE_ROWS)).astype(int)
        y = rows.y[some].astype(np.float64)
        p = np.linspace(-NEAR, NEAR, 17)[:, None] + np.zeros(len(y))
        ys = np.broadcast_to(y, p.shape).ravel()
        before, at, after = (
            self.slope((p + shift).ravel(), ys).reshape(p.shape)
            for shift in (-DIFFERENCE, 0.0, DIFFERENCE)
        )
        second = np.abs(after - before) / (2 * DIFFERENCE)
        return float(second.max()), float(np.abs(at).max(axis=0).mean())


_iterated: WeakKeyDictionary[Problem | Source, Iterated] = WeakKeyDictionary()


def iterated(rows: Problem | Source) -> Iterated:
    """Return the `Iterated` for `rows`; later calls with `rows` return the same object."""
    if rows not in _iterated:
        _iterated[rows] = Iterated(rows)
    return _iterated[rows]
