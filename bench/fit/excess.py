"""Compute how far a loss is above its minimum, and how many further steps are needed.

Near its minimum, a loss is about ``L* + ½·eᵀHe``. L* is the minimum, w* are the weights at the
minimum, ``e = w − w*``, and H is the Hessian at w*.

- For squared error, this formula is exact. H is ``2·XᵀX/n``, and w* is computed from XᵀX and
  Xᵀy in float64.
- For any other loss, Newton's method finds the minimum in float64, starting at the w of the
  fit.

A step multiplies the part of e along an eigenvector of H by ``1 − rate·h``, where h is the
eigenvalue. The number of steps to a given excess follows from these factors.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from backends.losses import LOG_LOSS, SQUARED_ERROR
from bench.fit.newton import minimise
from bench.fit.rate import affordable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from backends.errors import Weights
    from backends.rows.source import Source

ENOUGH = 1e-3
"""A fit is finished if its loss is at most 0.1 % above the minimum."""

NEGLIGIBLE = 1e-6
"""The excess is the loss minus the minimum. A fit is finished if its excess is at most
`ENOUGH` · minimum + `NEGLIGIBLE` · (excess at w = 0)."""

MOST_STEPS = 1 << 60
"""`Quadratic.steps` returns None if a fit needs more than this number of steps."""

EXACT_BYTES = 1 << 28
"""For data up to this size in bytes, one more pass computes the squared error at the minimum. A
pass takes at most a second. For larger data, the minimum is the fit's loss minus the excess,
which is computed from XᵀX."""

EPS = float(np.finfo(np.float64).eps)
"""Machine epsilon of float64."""


@dataclass(frozen=True)
class Excess:
    """How far a fit is from the minimum of its loss.

    Attributes
    ----------
    absolute : float
        The loss at w minus the minimum.
    minimum : float
        The smallest possible loss on these rows.
    relative : float, optional
        ``absolute / |minimum|``; None if the minimum is 0 apart from rounding.
    condition_number : float
        Largest ÷ smallest curvature of the loss; curvatures of 0 are left out. If the condition
        number is 1000, about 1000 steps at the learning rate 1/L divide the excess by
        e² = 7.4. L is the largest curvature.
    finished : bool
        Whether ``absolute ≤ ENOUGH · |minimum| + NEGLIGIBLE · (excess at w = 0)``.
    more_steps : int, optional
        Further steps at the learning rate of the fit until the fit is finished; None if the fit
        would never be finished.
    automatic_steps : int, optional
        Further steps at the rate 1/L until the fit is finished; None as for `more_steps`.
    standardized_steps : int, optional
        Steps from w = 0, with standardised columns and the rate 1/L, until the fit is finished;
        None as for `more_steps`.
    standardized_condition_number : float
        Condition number with standardised columns.
    method : str
        How the minimum was found: ``reference`` in closed form, ``newton`` by a search.
    """

    absolute: float
    minimum: float
    relative: float | None
    condition_number: float
    finished: bool
    more_steps: int | None
    automatic_steps: int | None
    standardized_steps: int | None
    standardized_condition_number: float
    method: Literal["reference", "newton"]

    def fields(self) -> dict[str, Any]:
        """Return all attributes as a dict, for JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Quadratic:
    """The loss near its minimum: ``minimum + ½·eᵀHe`` at the weights ``w* + e``.

    H is the Hessian (`hessian`), and w* are the weights at the minimum.
    """

    hessian: Weights
    minimum: float

    def at(self, apart: Weights) -> float:
        """Return the loss at the weights (minimum's weights + `apart`), minus the minimum."""
        return max(0.0, 0.5 * float(apart @ self.hessian @ apart))

    @cached_property
    def curvatures(self) -> tuple[Weights, Weights]:
        """Eigenvalues of the Hessian in ascending order, and the eigenvectors in this order."""
        values, vectors = np.linalg.eigh(self.hessian)
        return np.maximum(values, 0.0), vectors

    def condition_number(self) -> float:
        """Return the largest ÷ the smallest curvature; curvatures of 0 are left out.

        To find out how many curvatures are 0, the Hessian is scaled to a diagonal of ones.
        Otherwise, columns of very different scale would seem to be linearly dependent. The
        returned ratio is that of the unscaled Hessian.
        """
        values, _ = self.curvatures
        size = np.sqrt(np.diag(self.hessian))
        size = np.where(size > 0, size, 1.0)
        alike = np.linalg.eigvalsh(self.hessian / np.outer(size, size))
        flat = int((alike <= len(alike) * EPS * alike[-1]).sum())
        smallest = values[min(flat, len(values) - 1)]
        return float(values[-1] / max(smallest, values[-1] * EPS))

    def steps(self, apart: Weights, rate: float | None, enough: float) -> int | None:
        """Return the number of steps until the excess is at most `enough`.

        The number can be up to 0.1 % too large. None means that more than `MOST_STEPS` steps
        are needed.

        Parameters
        ----------
        apart : Weights
            Weights at the start, minus the weights at the minimum.
        rate : float, optional
            Learning rate; by default 1 divided by the largest curvature.
        enough : float
            Largest accepted excess of the loss over its minimum.
        """
        values, vectors = self.curvatures
        if rate is None:
            rate = 1 / values[-1] if values[-1] > 0 else 0.0
        sizes = 0.5 * values * (vectors.T @ apart) ** 2
        steep = rate * values
        with np.errstate(divide="ignore"):
            logs = np.where(
                steep < 1, np.log1p(-np.minimum(steep, 1)), np.log(np.abs(steep - 1))
            )

        def after(steps: int) -> float:
            with np.errstate(over="ignore"):
                return float((sizes * np.exp(2.0 * steps * logs)).sum())

        low, high = 0, 1
        if sizes.sum() <= enough:
            return 0
        while not after(high) <= enough:
            low, high = high, 2 * high
            if high > MOST_STEPS:
                return None
        while high - low > max(1, low // 1000):
            middle = (low + high) // 2
            low, high = (low, middle) if after(middle) <= enough else (middle, high)
        return high

    def standardized(self, apart: Weights, *, intercept: bool) -> tuple[Quadratic, Weights]:
        """Return the loss and the vector `apart` for data with standardised columns.

        Parameters
        ----------
        apart : Weights
            Difference between some weights and the minimum's weights, before standardising.
        intercept : bool
            Whether the last column consists of ones. Standardising then also centres the other
            columns.
        """
        sizes = np.diag(self.hessian).copy()
        mean = np.zeros(len(sizes))
        if intercept and sizes[-1] > 0:
            mean[:-1] = self.hessian[-1, :-1] / sizes[-1]
        spread = sizes - sizes[-1] * mean**2
        varies = spread > 1e-12 * sizes
        one = sizes[-1] if intercept else 1.0  # the curvature along a column of size 1
        scale = np.sqrt(np.where(varies, spread, one) / one)
        if intercept:
            scale[-1], varies[-1] = 1.0, True
        back = np.diag(np.where(varies, 1 / scale, 0.0))  # w = back @ (scaled weights)
        there = scale * apart
        if intercept:
            back[-1, :-1] = -mean[:-1] * np.diag(back)[:-1]
            there[-1] += float(mean @ apart)
        return Quadratic(back.T @ self.hessian @ back, self.minimum), there


def excess(
    source: Source,
    w: ArrayLike,
    learning_rate: float,
    memory_bytes: float,
    loss: float,
    *,
    intercept: bool,
) -> Excess | None:
    """Return how far the loss at w is above its minimum.

    The result is None if the minimum is not found, or if the search would take more than a few
    seconds.

    Parameters
    ----------
    source : Source
        Rows of the descent.
    w : array
        Weights of the descent, including the intercept.
    learning_rate : float
    memory_bytes : float
        If the rows take more than this number of bytes in total, they are not read again.
    loss : float
        The loss at w.
    intercept : bool
        Whether the last column of the rows consists of ones, for the intercept.
    """
    w = np.asarray(w, dtype=np.float64)
    with np.errstate(all="ignore"):
        if source.loss == SQUARED_ERROR:
            found = _of_reference(source, w, memory_bytes, loss)
        else:
            found = _of_newton(source, w, memory_bytes)
        if found is None or not np.isfinite(found.quadratic.hessian).all():
            return None
        return _excess(found, w, learning_rate, intercept=intercept)


@dataclass(frozen=True, eq=False)
class _Minimum:
    """The minimum of a loss.

    `w` are the weights at the minimum, and `absolute` is the fit's loss minus the minimum.
    """

    quadratic: Quadratic
    w: Weights
    absolute: float
    method: Literal["reference", "newton"]


def _of_reference(
    source: Source, w: Weights, memory_bytes: float, loss: float
) -> _Minimum | None:
    """Return the minimum of squared error and its weights, computed from XᵀX and Xᵀy.

    None means that computing XᵀX would take too long, or that its numbers are not finite.
    """
    quick = affordable(source, memory_bytes)
    if not quick and "reference" not in vars(source):
        return None
    reference = source.reference
    size = np.sqrt(np.diag(reference.gram))
    if not np.isfinite(size).all():
        return None
    size = np.where(size > 0, size, 1.0)
    values, vectors = np.linalg.eigh(reference.gram / np.outer(size, size))
    rank = values > values[-1] * len(values) * EPS
    along = (vectors.T @ (reference.moment / size))[rank] / values[rank]
    solution = vectors[:, rank] @ along / size
    hessian = 2 * reference.gram
    absolute = Quadratic(hessian, 0.0).at(w - solution)
    exact = quick and source.bytes_per_step <= EXACT_BYTES
    least = reference.loss(solution) if exact else max(0.0, loss - absolute)
    return _Minimum(Quadratic(hessian, least), solution, absolute, "reference")


def _of_newton(source: Source, w: Weights, memory_bytes: float) -> _Minimum | None:
    """Return the minimum of a loss other than squared error, found by Newton's method.

    None means that Newton's method would take too long, or finds no minimum.
    """
    found = minimise(source, w) if source.bytes_per_step <= memory_bytes else None
    if found is None:
        return None
    if source.loss == LOG_LOSS and source.rows * found.loss < math.log(2):
        return None  # every row is classified correctly: separable data have no minimum
    quadratic = Quadratic(found.hessian, found.loss)
    return _Minimum(quadratic, found.w, max(0.0, found.first - found.loss), "newton")


def _excess(found: _Minimum, w: Weights, learning_rate: float, *, intercept: bool) -> Excess:
    quadratic = found.quadratic
    least, null = abs(quadratic.minimum), quadratic.at(found.w)
    enough = ENOUGH * least + NEGLIGIBLE * null
    alike, start = quadratic.standardized(-found.w, intercept=intercept)
    return Excess(
        absolute=found.absolute,
        minimum=quadratic.minimum,
        relative=found.absolute / least if least > EPS * null else None,
        condition_number=quadratic.condition_number(),
        finished=found.absolute <= enough,
        more_steps=quadratic.steps(w - found.w, learning_rate, enough),
        automatic_steps=quadratic.steps(w - found.w, None, enough),
        standardized_steps=alike.steps(start, None, enough),
        standardized_condition_number=alike.condition_number(),
        method=found.method,
    )
