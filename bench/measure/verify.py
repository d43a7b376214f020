"""Check the w that a backend computes: a time counts only if this w is correct."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from backends.errors import Weights
from backends.losses import SQUARED_ERROR
from backends.problem import TOLERANCE, Problem
from backends.reference import relative_error
from backends.rows.source import Source
from bench.measure.iterate import iterated

LEARNING_RATE = 0.001
"""Usual learning rate: 0.001, as in the tutorial on which this project is based. At this rate,
a descent on squared error with synthetic rows is stable."""


def usual_rate(problem: Problem | Source) -> float:
    """Return `LEARNING_RATE`, or a smaller rate if the rows and their loss need one."""
    return slow_rate(problem, 1)


def slow_rate(problem: Problem | Source, steps: int) -> float:
    """Return a learning rate so small that each of `steps` steps changes w measurably.

    At the usual rate, w reaches the minimum after a few hundred steps and no longer changes. A
    check of w would then not notice if a backend left out a thousand steps.
    """
    if problem.loss == SQUARED_ERROR:
        return min(LEARNING_RATE, problem.reference.largest_stable_rate / (2 * steps))
    return min(LEARNING_RATE, iterated(problem).safe_rate(steps))


def start_scale(problem: Problem | Source) -> float:
    """Return the largest weight at the start of a timed descent; see `Iterated.start_scale`."""
    return 1.0 if problem.loss == SQUARED_ERROR else iterated(problem).start_scale


def most_steps(problem: Problem | Source) -> int | None:
    """Return the largest number of steps for which w can be checked in about a second.

    The result is None for squared error: a formula gives the correct w after any number of
    steps.
    """
    return None if problem.loss == SQUARED_ERROR else iterated(problem).most_steps


class WrongResultError(Exception):
    """A backend's w differs from the reference."""


def verify(
    problem: Problem | Source,
    w0: ArrayLike,
    steps: int,
    w: Weights,
    learning_rate: float | None = None,
) -> float:
    """Return the relative error of `w`, a backend's result after `steps` steps from `w0`.

    Parameters
    ----------
    learning_rate : float, optional
        Learning rate of the steps; `usual_rate` by default.

    Raises
    ------
    WrongResultError
        `w` is not a float64 array of shape (d,), or its error exceeds the tolerance. The
        tolerance depends on the dtype of X and y.
    """
    _check_kind(w, problem.features)
    rate = usual_rate(problem) if learning_rate is None else learning_rate
    exact = problem.reference if problem.loss == SQUARED_ERROR else iterated(problem)
    expected = exact.iterate(steps, rate, w0)
    error = relative_error(w, expected)
    if not error <= TOLERANCE[problem.dtype]:  # also true for NaN
        raise WrongResultError(
            f"after {steps} steps w[0] = {w[0]:.9g} but the reference is "
            f"{expected[0]:.9g} (relative error {error:.1e})"
        )
    return error


def _check_kind(w: object, features: int) -> None:
    """Raise WrongResultError if w is not float64 of shape (d,)."""
    if not isinstance(w, np.ndarray):
        raise WrongResultError(f"w is of type {type(w).__name__}, not a NumPy array")
    if w.dtype != np.float64 or w.shape != (features,):
        raise WrongResultError(
            f"w is {w.dtype} of shape {w.shape}, not float64 of shape ({features},)"
        )
