"""Compute the slope of a loss (its derivative with respect to the prediction) with NumPy."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from backends.losses import HUBER, LOG_LOSS, POISSON, SQUARED_ERROR, Loss
from backends.problem import Array

Slopes = Callable[[Array, Array], Array]
"""A function of the predictions, (n,), and targets, (n,), that returns n slopes."""

BRANCHING_SIZE = 1 << 12
"""Smallest number of values for which `where` uses bit masks instead of ``np.where``. Masks
take 0.5 ns a value; ``np.where`` takes 3.6 ns if the conditions are random."""

_INTEGERS = {4: np.int32, 8: np.int64}


def where(condition: Any, yes: Any, no: Any) -> Any:
    """Return ``np.where(condition, yes, no)``; many values are selected by bit masks."""
    dtype = np.result_type(yes, no)
    if np.size(condition) < BRANCHING_SIZE or dtype.char not in "fd":
        return np.where(condition, yes, no)
    integers = _INTEGERS[dtype.itemsize]
    mask = np.asarray(condition).astype(integers)
    np.negative(mask, out=mask)  # all bits are set where the condition is true
    a, b = (np.asarray(values, dtype).view(integers) for values in (yes, no))
    selected = a ^ b
    selected = np.bitwise_and(selected, mask, out=mask)
    selected ^= b
    return selected.view(dtype)


XP = SimpleNamespace(
    exp=np.exp,
    log=np.log,
    log1p=np.log1p,
    sqrt=np.sqrt,
    abs=np.abs,
    tanh=np.tanh,
    where=where,
    minimum=np.minimum,
    maximum=np.maximum,
    clip=np.clip,
)
"""Functions that the slope of a loss uses as `xp` for a block of rows. For whole arrays, ``np``
is used, because this module's `where` would need large temporary arrays."""


def slopes_of(loss: Loss, xp: Any = np) -> Slopes:
    """Return a function ``slopes(p, y)`` for the loss's derivative in p, with p's dtype."""
    slope = loss.slope
    assert slope is not None  # noqa: S101 the catalogue has checked the loss
    return lambda p, y: np.asarray(slope(xp, p, y)).astype(p.dtype, copy=False)


def _squared_error(p: Array, y: Array) -> Array:
    return np.subtract(p, y, out=p)


def _log_loss(p: Array, y: Array) -> Array:
    if p.dtype == np.float32:  # NumPy's tanh of float32 is faster than its exp
        p *= 0.5
        np.tanh(p, out=p)
        p *= 0.5
        p += 0.5
    else:
        np.negative(p, out=p)
        with np.errstate(over="ignore"):  # the sigmoid of −1000 is 0
            np.exp(p, out=p)
        p += 1.0
        np.divide(1.0, p, out=p)
    p -= y
    return p


def _huber(p: Array, y: Array) -> Array:
    p -= y
    return np.clip(p, -1.0, 1.0, out=p)


def _poisson(p: Array, y: Array) -> Array:
    np.exp(p, out=p)
    p -= y
    return p


IN_PLACE: dict[Loss, Slopes] = {
    SQUARED_ERROR: _squared_error,
    LOG_LOSS: _log_loss,
    HUBER: _huber,
    POISSON: _poisson,
}
"""For each built-in loss, a fast function that overwrites the predictions with the slopes."""


def in_place(loss: Loss) -> Slopes:
    """Return the function of `slopes_of`, or a faster one that overwrites the predictions p."""
    return IN_PLACE.get(loss) or slopes_of(loss, XP)
