"""Check a loss's slope and curvature against finite differences of its value.

The slope is the derivative of the value with respect to the prediction. The curvature is the
largest second derivative. A wrong slope gives wrong weights. A curvature that is too small
gives a learning rate at which the descent diverges.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from backends.errors import ProblemError

Float64 = NDArray[np.float64]

Pointwise = Callable[[Any, Any, Any], Any]
"""A function ``f(xp, p, y)``: xp is an array namespace such as numpy, p are the predictions,
and y are the targets."""

PREDICTIONS = (-3.17, -1.71, -0.83, -0.29, 0.13, 0.59, 1.37, 2.41, 4.03)
"""Predictions at which a loss is checked. A prediction minus a target in `TARGETS` is never
0 or ±1, where the derivative of a loss can jump."""

TARGETS = (0.0, 1.0, 2.0, 0.5, -1.0, -2.5)
"""Targets at which a loss is checked; targets that the loss does not accept are left out."""

STEP = 1e-5
"""The number h in ``(value(p + h) − value(p − h)) / 2h``, which approximates the derivative of
a loss. The truncation error is less than 1e-10 times the third derivative."""

WIDE_STEP = 1e-3
"""The number h in ``(value(p + h) + value(p − h) − 2·value(p)) / h²``, which approximates the
second derivative of a loss. Rounding changes the result by about 1e-9."""

TOLERANCE = 1e-4
"""Largest accepted error of a slope or curvature. The error is relative if the slope or
curvature is above 1, and absolute otherwise."""


class Stated(Protocol):
    """The fields of a `backends.losses.Loss` that `check_derivatives` reads."""

    @property
    def name(self) -> str: ...
    @property
    def value(self) -> Pointwise: ...
    @property
    def slope(self) -> Pointwise | None: ...
    @property
    def scale(self) -> float: ...
    @property
    def curvature(self) -> float | None: ...
    @property
    def accepts(self) -> Callable[[Any], Any] | None: ...


def check_derivatives(loss: Stated) -> None:
    """Compare a loss's slope and curvature with finite differences of the loss's value.

    Points at which the value is not finite are not checked.

    Raises
    ------
    ProblemError
        The slope is not the derivative of the value. Or the value has a second derivative
        above `loss.curvature`, which must be an upper bound.
    """
    p, y = _points(loss)
    with np.errstate(all="ignore"):
        _value(loss, p, y)  # even without a slope or curvature, it must work for arrays
        if loss.slope is not None:
            _check_slope(loss, loss.slope, p, y)
        if loss.curvature is not None:
            _check_curvature(loss, loss.curvature, p, y)


def _points(loss: Stated) -> tuple[Float64, Float64]:
    targets = np.array(TARGETS)
    if loss.accepts is not None:
        targets = targets[np.asarray(loss.accepts(targets), dtype=bool)]
    p, y = np.meshgrid(PREDICTIONS, targets)
    return p.ravel(), y.ravel()


def _check_slope(loss: Stated, slope: Pointwise, p: Float64, y: Float64) -> None:
    rise = (_value(loss, p + STEP, y) - _value(loss, p - STEP, y)) / (2 * STEP)
    stated = loss.scale * _evaluated(slope, p, y)
    wrong = np.isfinite(rise) & ~(_apart(stated, rise) <= TOLERANCE)
    if wrong.any():
        at = int(np.argmax(wrong))
        times = "" if loss.scale == 1 else " times scale"
        raise ProblemError(
            f"{loss.name}: the slope{times} is {stated[at]:.6g} at p = {p[at]:g}, "
            f"y = {y[at]:g}, where the derivative of the value is {rise[at]:.6g}"
        )


def _check_curvature(loss: Stated, curvature: float, p: Float64, y: Float64) -> None:
    sides = _value(loss, p + WIDE_STEP, y) + _value(loss, p - WIDE_STEP, y)
    second = (sides - 2 * _value(loss, p, y)) / WIDE_STEP**2
    wrong = np.isfinite(second) & (second > curvature + TOLERANCE * max(1.0, curvature))
    if wrong.any():
        at = int(np.argmax(np.where(wrong, second, -np.inf)))
        raise ProblemError(
            f"{loss.name}: the curvature is {curvature:g}, but the second derivative of the "
            f"value is {second[at]:.6g} at p = {p[at]:g}, y = {y[at]:g}"
        )


def _value(loss: Stated, p: Float64, y: Float64) -> Float64:
    return _evaluated(loss.value, p, y)


def _evaluated(function: Pointwise, p: Float64, y: Float64) -> Float64:
    return np.broadcast_to(np.asarray(function(np, p, y), dtype=np.float64), p.shape)


def _apart(a: Float64, b: Float64) -> Float64:
    return np.asarray(np.abs(a - b) / np.maximum(1.0, np.abs(b)))
