"""Compute the automatic learning rate, and check whether a descent diverges at a given rate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from backends.errors import DescentbenchError, ProblemError
from backends.losses import SQUARED_ERROR

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from backends.problem import Problem
    from backends.reference import Reference
    from backends.rows.source import Source

MOST_PRODUCTS = 2e11
"""Largest number of multiplications, n·d², for an optional computation of XᵀX and Xᵀy. This
number of multiplications takes a few seconds."""

SQUARED_ERROR_CURVATURE = 2.0
"""Second derivative of ``(p − y)²``. `Reference.lipschitz` is this number times the largest
eigenvalue of ``XᵀX/n``."""

ROUNDING = 1e-12
"""The gradient is a difference of two terms. A difference below 1e-12 times the terms counts
as 0, because it can be a rounding error of float64."""


AUTOMATIC = "--lr auto"
"""Option that selects the automatic learning rate on the command line."""


class DivergenceError(DescentbenchError):
    """The descent moves away from the minimum."""


def automatic_rate(problem: Problem | Source, number: str = "--learning-rate 0.001") -> float:
    """Return the learning rate 1/L, with which every descent converges.

    L is the loss's largest second derivative times the largest eigenvalue of ``XᵀX/n``. Every
    rate below 2/L is stable. `number` is used in error messages only, as an example of an
    option that sets a rate.

    Raises
    ------
    ProblemError
        All x are 0 or too large to be squared, or the loss does not state its curvature.
    """
    loss = problem.loss
    if loss.curvature is None:
        raise ProblemError(
            f"no automatic learning rate: {loss.name} states no largest curvature, so no rate "
            f"is safe for all data; give a number, such as {number}"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        curvature = loss.curvature / SQUARED_ERROR_CURVATURE * problem.reference.lipschitz
    if not 0 < curvature < math.inf:
        raise ProblemError(f"no automatic learning rate: the largest curvature is {curvature}")
    return 1 / curvature


def affordable(source: Problem | Source, memory_bytes: float = math.inf) -> bool:
    """Return whether XᵀX and Xᵀy can be computed in a few seconds, for a squared-error fit.

    The result is False for any other loss, for data larger than `memory_bytes`, and for more
    than `MOST_PRODUCTS` multiplications.
    """
    products = source.rows * float(source.features) ** 2
    small = source.bytes_per_step <= memory_bytes and products <= MOST_PRODUCTS
    return small and source.loss == SQUARED_ERROR


def check_rate(
    reference: Reference, learning_rate: float, w0: ArrayLike, automatic: str = AUTOMATIC
) -> None:
    """Raise DivergenceError if a descent from `w0` diverges, even if its loss falls at first.

    w* are the weights at the minimum. Along an eigenvector of XᵀX with the curvature c, each
    step multiplies w − w* by 1 − rate·c. If c is above 2/rate, w − w* grows along this
    eigenvector, even if the loss falls for a long time. If w0 − w* is 0 along all these
    eigenvectors, the descent does not diverge.

    Raises
    ------
    DivergenceError
        The message recommends `automatic`, the option for the automatic learning rate.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        limit = reference.largest_stable_rate
        if not 0 < limit < learning_rate:  # the limit is 0 if x² overflows
            return
        curvature, vectors = np.linalg.eigh(2 * reference.gram)
        grows = learning_rate * curvature > 2
        parts = [vectors.T @ of for of in (reference.gram @ np.asarray(w0), reference.moment)]
        slopes = np.abs(parts[0] - parts[1])
        rounding = ROUNDING * (np.abs(parts[0]) + np.abs(parts[1]))
    if (slopes > rounding)[grows].any():
        raise DivergenceError(
            f"the descent diverges: the learning rate {learning_rate:g} is beyond the largest "
            f"stable rate for these data, 2/L = {limit:.6g} ({automatic} takes 1/L)"
        )
