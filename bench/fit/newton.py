"""Find the minimum of a loss without a closed form, by Newton's method in float64.

If a step does not lower the loss, it is repeated with a multiple of XᵀX added to the Hessian,
as in the method of Levenberg and Marquardt. Huber's loss needs this damping where its curvature
is 0 for most rows.

The search uses NumPy over blocks of rows and no kernel of a backend, so that a fit is checked
independently of the kernel that made it. The second derivative of the loss in ``p = x·w`` is a
finite difference of the loss's slope; for a loss without a slope, it is a finite difference of
the loss's value. A loss from a user's file therefore needs no second derivative.
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
"""Largest number of passes over the rows. From the w of a fit, Newton's method usually takes 5
to 10 passes."""

MOST_WORK = 5e7
"""Largest number of multiplications in a pass, ``rows · (features² + ROW_WORK)``. With this
number, a pass takes at most 0.2 s, and a search takes seconds."""

ROW_WORK = 20
"""Work for a row's loss and its two derivatives, as a number of multiplications."""

DONE = 1e-10
"""Largest predicted decrease of the loss, relative to the loss, at which the search ends."""

LITTLE = 1e-2
"""Largest damping at which a search can end; a rejected step raises the damping to at least
this value. A damping adds `damping · c · XᵀX/n` to the Hessian, where c is `loss.curvature`, or
1 if the loss states no curvature."""

WIDTH = 1e-4
"""Step of the difference quotients, relative to 1 + |p|: float64 then causes errors of 1e-8."""


@dataclass(frozen=True, eq=False)
class Minimum:
    """The minimum of a loss.

    Attributes
    ----------
    w : (d,)
        Weights at the minimum.
    loss : float
        The loss at w.
    first : float
        The loss at the start of the search, also in float64.
    hessian : (d, d)
        Second derivatives of the loss at w.
    """

    w: Weights
    loss: float
    first: float
    hessian: Weights


def minimise(source: Source, w: Weights) -> Minimum | None:
    """Return the minimum, searched from `w`; None if the search is too long or finds none.

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
    """Return Newton's step, and the decrease of the loss that it predicts.

    The decrease is infinite if the gradient is not 0 in a direction without any curvature.
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
    """Return the first and second derivatives in p; a second derivative below 0 becomes 0."""
    width = WIDTH * (1 + np.abs(p))
    if loss.slope is None:
        below, here, above = (loss.value(np, q, y) for q in (p - width, p, p + width))
        slope, curvature = (above - below) / (2 * width), (above - 2 * here + below) / width**2
    else:
        slope = loss.scale * np.asarray(loss.slope(np, p, y))
        below, above = (loss.slope(np, q, y) for q in (p - width, p + width))
        curvature = loss.scale * (above - below) / (2 * width)
    return slope, np.maximum(curvature, 0.0)
