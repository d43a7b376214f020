"""Find the minimum of a loss by Newton's method in float64.

If a step does not lower the loss, the step is repeated with damping: a multiple of XᵀX is added
to the Hessian (the method of Levenberg and Marquardt).

The second derivative of the loss is a finite difference of the loss's slope. For a loss without
a slope, it is a second difference of the loss's value. A loss from a user's file therefore
needs no second derivative.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from backends.errors import Weights
    from backends.losses import Loss
    from backends.rows.blocks import Block
    from backends.rows.source import Source

MOST_PASSES = 30
"""Largest number of passes over the rows in a search for the minimum; 5 to 10 are usual."""

MOST_WORK = 5e7
"""Largest number of multiplications in a pass over the rows. For larger data, `minimise`
returns None. At this limit, a search for the minimum takes a few seconds."""

ROW_WORK = 20
"""Cost of the loss, the slope and the second derivative of a row, in multiplications."""

DONE = 1e-10
"""The search ends when the next step would lower the loss by at most this fraction of the
loss."""

LITTLE = 1e-2
"""A step that does not lower the loss is repeated with at least this damping. While the
damping is above `LITTLE`, the search continues, because its steps are short.

Damping adds ``damping · c · XᵀX/n`` to the Hessian. c is `loss.curvature`, or 1 if the loss
does not state its curvature.
"""

WIDTH = 1e-4
"""Width of the finite differences, as a fraction of 1 + |p|, where p is the prediction x·w.
With this width, rounding changes a derivative by about 1e-8."""


@dataclass(frozen=True, eq=False)
class Minimum:
    """The minimum of a loss.

    Attributes
    ----------
    w : array of shape (d,)
        Weights at the minimum.
    loss : float
        The loss at w.
    first : float
        The loss at the weights where the search began, computed in float64.
    hessian : array of shape (d, d)
        Second derivatives of the loss at w.
    """

    w: Weights
    loss: float
    first: float
    hessian: Weights


def minimise(source: Source, w: Weights) -> Minimum | None:
    """Return the minimum of the loss, found by Newton's method from `w`.

    The result is None if the search would take too long (`MOST_WORK`), or if it fails.

    Raises
    ------
    ProblemError
        The rows cannot be read.
    """
    if source.rows * (source.features**2 + ROW_WORK) > MOST_WORK:
        return None
    here = _look(source, w)
    first, bound, damping = here[0], source.loss.curvature or 1.0, 0.0
    square: Weights | None = None  # costs a pass; most searches need no damping
    for _ in range(MOST_PASSES):
        if not all(np.isfinite(part).all() for part in here):
            return None
        hessian = here[2]
        if damping:
            square = _square(source) if square is None else square
            hessian = hessian + damping * bound * square
        step, decrease = _step(here[1], hessian)
        if decrease <= DONE * (abs(here[0]) + DONE) and damping <= LITTLE:
            return Minimum(w, here[0], first, here[2])
        there = _look(source, w + step)
        if there[0] <= here[0] - 1e-4 * decrease:
            w, here = w + step, there
            damping = damping / 10 if damping > LITTLE / 100 else 0.0
        else:
            damping = max(10 * damping, LITTLE)
    return None


def _step(gradient: Weights, hessian: Weights) -> tuple[Weights, float]:
    """Return Newton's step, and the decrease of the loss that this step should give.

    The decrease is infinite if the loss falls in a direction in which it has no curvature.
    """
    size = np.sqrt(np.diag(hessian))
    size = np.where(size > 0, size, 1.0)
    values, vectors = np.linalg.eigh(hessian / np.outer(size, size))
    rank = values > max(values[-1], 0.0) * len(values) * np.finfo(np.float64).eps
    along = vectors.T @ (gradient / size)
    step = -(vectors[:, rank] @ (along[rank] / values[rank])) / size
    if np.abs(along[~rank]).sum() > 1e-6 * np.abs(along).sum():
        return step, np.inf
    return step, float(-gradient @ step)


def _square(source: Source) -> Weights:
    """Return ``XᵀX/n``."""
    d = source.features
    total = np.zeros((d, d))

    def product(block: Block) -> Weights:
        x = block.x.reshape(-1, d).astype(np.float64)
        return np.asarray(x.T @ x)

    for part in source.each_block(product):
        total += part
    return total / source.rows


def _look(source: Source, w: Weights) -> tuple[float, Weights, Weights]:
    """Return the mean loss, its gradient and its Hessian at w."""
    loss, d = source.loss, source.features
    total, gradient, hessian = 0.0, np.zeros(d), np.zeros((d, d))

    def sums(block: Block) -> tuple[float, Weights, Weights]:
        x = block.x[: block.rows].reshape(block.rows, d).astype(np.float64)
        y = block.y[: block.rows].astype(np.float64)
        p = x @ w
        with np.errstate(all="ignore"):  # the result is checked
            slope, curvature = _derivatives(loss, p, y)
            value = float(np.sum(loss.value(np, p, y)))
            return value, slope @ x, (x * curvature[:, None]).T @ x

    for value, slopes, curvatures in source.each_block(sums):
        total, gradient, hessian = total + value, gradient + slopes, hessian + curvatures
    return total / source.rows, gradient / source.rows, hessian / source.rows


def _derivatives(loss: Loss, p: Weights, y: Weights) -> tuple[Weights, Weights]:
    """Return the first and second derivatives of the loss with respect to the predictions p.

    A negative second derivative is replaced with 0.
    """
    width = WIDTH * (1 + np.abs(p))
    if loss.slope is None:
        below, here, above = (loss.value(np, q, y) for q in (p - width, p, p + width))
        slope, curvature = (above - below) / (2 * width), (above - 2 * here + below) / width**2
    else:
        slope = loss.scale * np.asarray(loss.slope(np, p, y))
        below, above = (loss.slope(np, q, y) for q in (p - width, p + width))
        curvature = loss.scale * (above - below) / (2 * width)
    return slope, np.maximum(curvature, 0.0)
