"""Compute the automatic learning rate for arrays in memory, in one pass over the rows."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends.losses import SQUARED_ERROR
from backends.problem import Problem

if TYPE_CHECKING:
    from backends.gram import Moments
    from backends.interface import Backend, Descent
    from bench.fit.descend import Places

MOST_FEATURES = 256
"""Largest number of features for which a single thread computes the eigenvalues of XᵀX. More
threads are no faster for small matrices."""

SUMMED = "numpy:gram"
"""Name of the backend that computes XᵀX and Xᵀy and then descends without reading the rows.
The automatic learning rate uses the same XᵀX, so the rows are read only once."""


@dataclass(frozen=True)
class Summed:
    """A backend that descends with given sums XᵀX and Xᵀy, without computing them again.

    The attribute `moments` has these sums.
    """

    moments: Moments
    name: str = SUMMED

    def place(self, problem: Problem, learning_rate: float) -> Descent:
        """Return a descent that uses the sums `moments` and does not read the rows."""
        from backends.gram import ProblemGram

        return ProblemGram(problem, learning_rate, self.moments)


def with_rate(backend: Backend, problem: Problem) -> tuple[Places[Problem], float]:
    """Return a backend and the learning rate 1/L; L is the largest curvature of the loss.

    The returned backend is usually `backend`. If `backend` is ``numpy:gram``, the result is a
    `Summed` object, so that the sums XᵀX and Xᵀy are not computed twice.

    Raises
    ------
    ProblemError
        The rate 1/L does not exist: the loss has no largest curvature, or all x are 0 or too
        large.
    """
    from backends.numpy import Gram
    from backends.numpy.threads import numpys_blas
    from backends.reference import Reference
    from bench.fit.rate import automatic_rate

    if problem.loss.curvature is None:
        # `automatic_rate` raises a ProblemError that recommends this number
        return backend, automatic_rate(problem, "learning_rate=0.001")
    squared = problem
    if problem.loss != SQUARED_ERROR:
        squared = Problem(problem.x, problem.y, known_finite=True)
    moments = Gram(squared, 1.0, "cpu").moments()
    rows = problem.rows
    of = [(problem.x, problem.y)]
    reference = Reference(moments[0] / rows, moments[1] / rows, lambda: of, rows)
    vars(problem)["reference"] = reference  # the cached property, computed without another pass
    few = problem.features <= MOST_FEATURES
    with numpys_blas().limit(limits=1) if few else nullcontext():
        rate = automatic_rate(problem)
    return Summed(moments) if backend.name == SUMMED else backend, rate
