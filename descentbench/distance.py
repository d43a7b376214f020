"""Compute how far a fit is from the minimum of its loss, if the sums for it are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from backends.losses import SQUARED_ERROR

if TYPE_CHECKING:
    from backends.problem import Problem
    from bench.fit.descend import Fit
    from bench.fit.excess import Excess

MOST_FEATURES = 256
"""Largest number of features: eigenvalues of larger matrices take a noticeable time."""


def excess_of(rows: Problem, fit: Fit, *, intercept: bool) -> Excess | None:
    """Return how far a fit is from its minimum; None if it converged or a pass is needed.

    Parameters
    ----------
    rows : Problem
        The rows of the descent. Their XᵀX is known if the learning rate is automatic.
    fit : Fit
    intercept : bool
        Whether the last feature is a column of ones.
    """
    known = rows.loss == SQUARED_ERROR and "reference" in vars(rows)
    if not known or fit.stopped != "steps" or rows.features > MOST_FEATURES:
        return None
    from backends.numpy.threads import numpys_blas
    from bench.fit.excess import excess

    source = cast(Any, rows)  # the fields of a source that are read are a problem's, too
    no_pass = 0.0
    with numpys_blas().limit(limits=1):  # for small matrices, more threads only wait
        return excess(
            *(source, fit.w, fit.learning_rate, no_pass, fit.loss), intercept=intercept
        )


def remark(
    excess: Excess | None, fit: Fit, tolerance: float | None, *, standardize: bool
) -> str:
    """Return a warning if the fit is far from its minimum or not converged, else ""."""
    if fit.stopped != "steps" or not fit.steps:
        return ""
    if excess is not None and not excess.finished:
        return _far(excess, fit, standardize=standardize)
    if tolerance is None:
        return ""
    return (
        f"not converged after {fit.steps} steps: the gradient's norm is above {tolerance:g} of "
        "the first"
    )


def _far(excess: Excess, fit: Fit, *, standardize: bool) -> str:
    """Return how far the loss is from its minimum, and what helps."""
    far = "its minimum is 0"
    if excess.relative is not None and excess.relative < 1:
        far = f"{100 * excess.relative:.2g} % above its minimum"
    elif excess.relative is not None:
        far = f"{1 + excess.relative:,.0f} times its minimum"
    more = "no number of steps"
    if excess.more_steps is not None:
        more = f"about {excess.more_steps:,} more steps"
    text = (
        f"the loss is {fit.loss:.6g} after {fit.steps} steps, {far}; at this learning rate "
        f"{more} would bring it near"
    )
    alike = excess.standardized_steps
    fewer = alike is not None and (excess.more_steps is None or alike < excess.more_steps)
    if not standardize and fewer:
        text += f", with standardize=True about {alike:,} are enough"
    return text
