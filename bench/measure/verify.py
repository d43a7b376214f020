"""A number counts only for a descent whose w is right."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from backends.errors import Weights
from backends.problem import TOLERANCE, Problem
from backends.reference import relative_error
from backends.rows.source import Source

LEARNING_RATE = 0.001
"""The tutorial's; the synthetic data are scaled so that it is stable at every size."""


def usual_rate(problem: Problem | Source) -> float:
    """Return `LEARNING_RATE`, or less where a file's rows need it."""
    return min(LEARNING_RATE, problem.reference.largest_stable_rate / 2)


def slow_rate(problem: Problem | Source, steps: int) -> float:
    """Return a learning rate at which `steps` steps go two thirds of the way.

    At the usual one w stands still after a few hundred steps, wherever it
    started: whether a thousand more were taken could not be told from it.
    """
    return min(LEARNING_RATE, problem.reference.largest_stable_rate / (2 * steps))


class WrongResultError(Exception):
    """A backend's w is not the reference's."""


def verify(
    problem: Problem | Source,
    w0: ArrayLike,
    steps: int,
    w: Weights,
    learning_rate: float | None = None,
) -> float:
    """Return the relative error of `w` after `steps` steps from `w0`.

    Parameters
    ----------
    learning_rate : float, optional
        `usual_rate` by default.

    Raises
    ------
    WrongResultError
        When it exceeds the tolerance of the problem's dtype, with both values; or
        when `w` is anything but float64 of shape (d,).
    """
    _check_kind(w, problem.features)
    rate = usual_rate(problem) if learning_rate is None else learning_rate
    expected = problem.reference.iterate(steps, rate, w0)
    error = relative_error(w, expected)
    if not error <= TOLERANCE[problem.dtype]:  # NaN is an error, too
        raise WrongResultError(
            f"after {steps} steps w[0] = {w[0]:.9g} but the reference is "
            f"{expected[0]:.9g} (relative error {error:.1e})"
        )
    return error


def _check_kind(w: object, features: int) -> None:
    """Refuse what the contract does not promise: its digits would not be what they seem."""
    if not isinstance(w, np.ndarray):
        raise WrongResultError(f"w is of type {type(w).__name__}, not a NumPy array")
    if w.dtype != np.float64 or w.shape != (features,):
        raise WrongResultError(
            f"w is {w.dtype} of shape {w.shape}, not float64 of shape ({features},)"
        )
