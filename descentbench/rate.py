"""Compute the automatic learning rate of arrays in memory, in one pass in NumPy."""

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
"""Largest number of features whose eigenvalues one thread computes as fast as several."""

SUMMED = "numpy:gram"
"""Backend whose pass gives the automatic rate, so that its descent needs no second pass."""


@dataclass(frozen=True)
class Summed:
    """The backend `SUMMED` for one problem, whose sums are known already."""

    moments: Moments
    name: str = SUMMED

    def place(self, problem: Problem, learning_rate: float) -> Descent:
        """Return the descent over the sums."""
        from backends.gram import ProblemGram

        return ProblemGram(problem, learning_rate, self.moments)


def with_rate(backend: Backend, problem: Problem) -> tuple[Places[Problem], float]:
    """Return the backend, and 1/L for this problem.

    Raises
    ------
    ProblemError
        There is no such rate: the loss has no curvature, or all x are 0 or too large.
    """
    from backends.numpy import Gram
    from backends.numpy.threads import numpys_blas
    from backends.reference import Reference
    from bench.fit.rate import automatic_rate

    if problem.loss.curvature is None:
        # raises an error that says what to do
        return backend, automatic_rate(problem, "learning_rate=0.001")
    squared = problem
    if problem.loss != SQUARED_ERROR:
        squared = Problem(problem.x, problem.y, known_finite=True)
    moments = Gram(squared, 1.0, "cpu").moments()
    rows = problem.rows
    of = [(problem.x, problem.y)]
    reference = Reference(moments[0] / rows, moments[1] / rows, lambda: of, rows)
    vars(problem)["reference"] = reference  # where the problem keeps the one of its own pass
    few = problem.features <= MOST_FEATURES
    with numpys_blas().limit(limits=1) if few else nullcontext():
        rate = automatic_rate(problem)
    return Summed(moments) if backend.name == SUMMED else backend, rate
