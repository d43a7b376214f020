"""A number counts only for a descent whose w is right."""

from __future__ import annotations

from numpy.typing import ArrayLike

from backends.interface import Weights
from backends.problem import TOLERANCE, Problem
from backends.reference import relative_error

LEARNING_RATE = 0.001
"""The tutorial's; the synthetic data are scaled so that it is stable at every size."""


class WrongResultError(Exception):
    """A backend's w is not the reference's."""


def verify(
    problem: Problem,
    w0: ArrayLike,
    steps: int,
    w: Weights,
    learning_rate: float = LEARNING_RATE,
) -> float:
    """Return the relative error of `w` after `steps` steps from `w0`.

    Raises
    ------
    WrongResultError
        With both values, when it exceeds the tolerance of the problem's dtype.
    """
    expected = problem.reference.iterate(steps, learning_rate, w0)
    error = relative_error(w, expected)
    if not error <= TOLERANCE[problem.dtype]:  # NaN is an error, too
        raise WrongResultError(
            f"after {steps} steps w[0] = {w.flat[0]:.9g} but the reference is "
            f"{expected[0]:.9g} (relative error {error:.1e})"
        )
    return error
