"""Compute how far the loss of a fit is above its minimum, and warn if it is far above."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from backends.losses import SQUARED_ERROR

if TYPE_CHECKING:
    from backends.problem import Problem
    from bench.fit.descend import Fit
    from bench.fit.excess import Excess

MOST_FEATURES = 256
"""Largest number of features for which `excess_of` computes a result. With more features,
computing the eigenvalues of XᵀX would take a noticeable time."""


def excess_of(rows: Problem, fit: Fit, *, intercept: bool) -> Excess | None:
    """Return how far the loss of a fit is above its minimum.

    The result is None in these cases:

    - The loss is not squared error.
    - `tolerance` or `until_loss` stopped the fit.
    - XᵀX and Xᵀy are not known yet, and computing them would take another pass over the rows.
    - There are more than `MOST_FEATURES` features.
    - XᵀX is not finite.

    Parameters
    ----------
    rows : Problem
        The rows of the descent. XᵀX and Xᵀy are known if they were computed to choose or to
        check the learning rate.
    fit : Fit
    intercept : bool
        Whether the last feature is a column of ones.
    """
    known = rows.loss == SQUARED_ERROR and "reference" in vars(rows)
    if not known or fit.stopped != "steps" or rows.features > MOST_FEATURES:
        return None
    from backends.numpy.threads import numpys_blas
    from bench.fit.excess import excess

    source = cast(Any, rows)  # `excess` reads only fields that a problem also has
    no_pass = 0.0
    with numpys_blas().limit(limits=1):  # several threads are slower for small matrices
        return excess(
            *(source, fit.w, fit.learning_rate, no_pass, fit.loss), intercept=intercept
        )


def remark(
    excess: Excess | None, fit: Fit, tolerance: float | None, *, standardize: bool
) -> str:
    """Return the text of a warning about a descent that took too few steps, or "".

    The text is not empty if the loss is far above its minimum, or if the gradient is larger
    than `tolerance` allows.

    Parameters
    ----------
    excess : Excess or None
        The result of `excess_of`.
    fit : Fit
    tolerance : float or None
        The tolerance of the fit; None if the fit had no tolerance.
    standardize : bool
        Whether the columns were standardised. If they were not, the warning can recommend
        ``standardize=True``.
    """
    if fit.stopped != "steps" or not fit.steps:
        return ""
    if excess is not None and not excess.finished:
        return _far(excess, fit, standardize=standardize)
    if tolerance is None:
        return ""
    return (
        f"not converged after {fit.steps} steps: the gradient's norm is above {tolerance:g} "
        "times the first gradient's norm"
    )


def _far(excess: Excess, fit: Fit, *, standardize: bool) -> str:
    """Return a text that says how far the loss is above its minimum, and what to change."""
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
        f"{more} would bring it close to the minimum"
    )
    alike = excess.standardized_steps
    fewer = alike is not None and (excess.more_steps is None or alike < excess.more_steps)
    if not standardize and fewer:
        text += f", with standardize=True about {alike:,} are enough"
    return text
