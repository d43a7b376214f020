"""Compare times of fits: descentbench, scikit-learn and SciPy (``nox -s regression-check``).

All methods fit the same rows with an intercept. The loss of a fit must be at most 0.0001 %
above the minimum. An iterative method gets the coarsest tolerance with which it reaches this
target. An iterative method of scikit-learn is left out if a fit would take longer than
``--limit`` seconds. The time is estimated from a fit of a twentieth of the rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import click
import numpy as np
from numpy.typing import NDArray

from backends.catalogue import entries as catalogued
from backends.losses import LOG_LOSS, SQUARED_ERROR, Loss
from backends.problem import Problem, make_problem
from backends.synthetic import generate
from bench.host.machine import cpu_model
from bench.host.threads import apply
from descentbench.checks.contest import Method, contest, table, too_long
from descentbench.checks.minimum import minimum
from descentbench.fitting import fit

LINEAR = ((1_000_000, 32), (10_000_000, 1))
"""(rows, features) of each data set that is fitted with squared error."""

LOGISTIC = ((1_000_000, 32), (200_000, 300))
"""(rows, features) of each data set that is fitted with log_loss."""

OURS = ("numpy:gram", "numpy:blocked", "numba:parallel", "torch:analytic", "jax:loop")
"""Backends of descentbench that are timed: the default backend ``numpy:gram``, and each
library's fastest loop on a CPU."""

TOLERANCES = tuple(10.0**-k for k in range(2, 9))
"""Tolerances of an iterative method, in the order of the trials: 10⁻², 10⁻³, …, 10⁻⁸."""

REHEARSAL = 20
"""Number of all rows ÷ number of rows in a rehearsal. A rehearsal is a fit of a part of the
rows, to estimate the time of a fit of all rows."""

STEPS = 20_000
"""Largest number of steps of a descent, and of iterations of a solver."""

Array = NDArray[Any]


def _with_intercept(model: Any) -> Sequence[float]:
    """Return the weights of a fitted scikit-learn estimator, the intercept last."""
    return [*np.ravel(model.coef_), *np.ravel(model.intercept_)]


def _ours(problem: Problem, backend: str, tolerance: float) -> Sequence[float]:
    """Fit with a backend of descentbench; return the weights, the intercept last."""
    found = fit(
        *(problem.x, problem.y),
        backend=backend,
        loss=problem.loss,
        steps=STEPS,
        tolerance=tolerance,
        intercept=True,
        standardize=True,
    )
    return [*found.w, found.intercept]


def descents(problem: Problem) -> Iterator[Method]:
    """Yield a `Method` for each backend in `OURS` that can run here."""
    here = {str(e.name) for e in catalogued(loss=problem.loss) if e.available}
    for backend in OURS:
        if backend in here:
            how = partial(_ours, problem, backend)
            yield Method(f"`{backend}`", how, TOLERANCES, "tolerance")


def linear_models(problem: Problem) -> Iterator[Method]:
    """Yield a `Method` for each solver of scikit-learn and SciPy for squared error."""
    from scipy.linalg import lstsq
    from sklearn.linear_model import LinearRegression, Ridge, SGDRegressor

    x, y = problem.x.reshape(problem.rows, -1), problem.y

    def fitted(make: Callable[[float], Any], setting: float) -> Sequence[float]:
        return _with_intercept(make(setting).fit(x, y))

    def by_scipy(driver: str, _: float) -> Sequence[float]:
        ones = np.ones((len(x), 1), x.dtype)
        return [*lstsq(np.hstack([x, ones]), y, lapack_driver=driver)[0]]

    yield Method("LinearRegression", partial(fitted, lambda _: LinearRegression()))
    for solver in ("cholesky", "svd"):
        make = partial(lambda solver, _: Ridge(alpha=0, solver=solver), solver)
        yield Method(f"Ridge {solver}", partial(fitted, make))
    for solver in ("lsqr", "sparse_cg", "sag", "saga"):
        make = partial(
            lambda solver, tol: Ridge(alpha=0, solver=solver, tol=tol, max_iter=STEPS), solver
        )
        yield Method(f"Ridge {solver}", partial(fitted, make), TOLERANCES, "tol")
    for rate in ("invscaling", "adaptive"):
        make = partial(
            lambda rate, tol: SGDRegressor(
                penalty=None, learning_rate=rate, tol=tol, max_iter=1000, random_state=0
            ),
            rate,
        )
        yield Method(f"SGDRegressor {rate}", partial(fitted, make), TOLERANCES, "tol")
    for driver in ("gelsd", "gelsy"):
        yield Method(f"scipy.linalg.lstsq {driver}", partial(by_scipy, driver))


def logistic_models(problem: Problem) -> Iterator[Method]:
    """Yield solvers of scikit-learn for log_loss without a penalty, each as a `Method`.

    Each solver appears twice: with standardised columns, as in the fits of descentbench, and
    with the columns as they are.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    x, y = problem.x.reshape(problem.rows, -1), problem.y

    def fitted(solver: str, tol: float, x: Array = x) -> Sequence[float]:
        model = LogisticRegression(C=math.inf, solver=solver, tol=tol, max_iter=STEPS)
        return _with_intercept(model.fit(x, y))

    def standardised(solver: str, tol: float) -> Sequence[float]:
        scaler = StandardScaler()
        *w, intercept = fitted(solver, tol, scaler.fit_transform(x))
        w = w / scaler.scale_
        return [*w, intercept - float(w @ scaler.mean_)]

    for solver in ("lbfgs", "newton-cholesky"):
        for how, text in ((standardised, "StandardScaler, "), (fitted, "")):
            name = f"{text}LogisticRegression {solver}"
            yield Method(name, partial(how, solver), TOLERANCES, "tol")


def correlated(rows: int, features: int, dtype: str, loss: Loss, correlation: float) -> Problem:
    """Return synthetic rows in which any two columns have the same correlation c.

    The columns have a normal distribution. The condition number of ``XᵀX / n`` is about
    ``(1 + (d − 1)·c) / (1 − c)``.
    """
    rng = np.random.default_rng(0)
    own, common = rng.standard_normal((rows, features)), rng.standard_normal((rows, 1))
    x = math.sqrt(1 - correlation) * own + math.sqrt(correlation) * common
    line = x @ rng.standard_normal(features) / math.sqrt(features)
    noise = rng.random(rows)
    y = loss.targets(line, noise) if loss.targets else line + noise
    return make_problem(x, y, np.dtype(dtype), loss=loss)


def methods(problem: Problem, small: Problem, kind: str, limit_s: float) -> Iterator[Method]:
    """Yield all methods; slow iterative methods of scikit-learn are marked with `left_out`.

    A method is slow if a fit would take longer than `limit_s` seconds. This time is estimated
    from a fit of `small`, a problem with fewer rows. The methods of descentbench are not run
    here, so that the time of their first fit includes the import.
    """
    others, factor = KINDS[kind][2], problem.rows / small.rows
    yield from descents(problem)
    for method, rehearsal in zip(others(problem), others(small), strict=True):
        reason = too_long(rehearsal, factor, limit_s) if method.meaning else ""
        yield replace(method, left_out=reason)


KINDS: dict[str, tuple[Loss, Any, Callable[[Problem], Iterator[Method]]]] = {
    "linear": (SQUARED_ERROR, LINEAR, linear_models),
    "logistic": (LOG_LOSS, LOGISTIC, logistic_models),
}
"""The keys are kinds of regression. A value is a tuple of three items: the loss, the sizes of
the data, and a function that yields the solvers of scikit-learn and SciPy."""


@click.command()
@click.option("--only", type=click.Choice(list(KINDS)), help="One kind of regression.")
@click.option("--scale", type=float, default=1.0, show_default=True, help="Factor of the rows.")
@click.option(
    "--dtype", type=click.Choice(["float32", "float64"]), default="float64", show_default=True
)
@click.option(
    "--correlation",
    type=click.FloatRange(0, 1, max_open=True),
    help="Correlation of any two columns; columns are normal. [default: columns as for run]",
)
@click.option(
    "--target",
    type=float,
    default=1e-6,
    show_default=True,
    help="Largest excess of the loss over its minimum, relative to the minimum.",
)
@click.option(
    "--rounds", type=int, default=5, show_default=True, help="Largest number of timed fits."
)
@click.option(
    "--limit",
    type=float,
    default=6.0,
    show_default=True,
    help="Seconds that a fit, or all fits of a method that miss the target, may take.",
)
@click.option(
    "--seconds",
    type=float,
    default=90.0,
    show_default=True,
    help="Seconds after which no further round of timed fits begins, for each size.",
)
def main(
    only: Literal["linear", "logistic"] | None,
    scale: float,
    dtype: str,
    correlation: float | None,
    target: float,
    rounds: int,
    limit: float,
    seconds: float,
) -> None:
    """Compare methods of regression, and print a Markdown table for each size.

    For each method, a table shows the time of a fit, the time of the first fit, and the setting
    of the method. It also shows by how much the loss exceeds its minimum.
    """
    threads = apply()
    click.echo(f"{cpu_model()}, {threads} threads, {dtype}; excess of the loss ≤ {target:g}\n")
    for kind in [only] if only else KINDS:
        loss, sizes, _ = KINDS[kind]
        for rows, features in sizes:
            count = max(1, int(rows * scale))
            problem, small = (
                generate(n, features, dtype, loss=loss)
                if correlation is None
                else correlated(n, features, dtype, loss, correlation)
                for n in (count, max(1, count // REHEARSAL))
            )
            found = contest(
                methods(problem, small, kind, limit),
                minimum(problem).excess,
                target=target,
                rounds=rounds,
                limit_s=limit,
                most_s=seconds,
                tell=lambda what: click.echo(f"… {what}", err=True),
            )
            click.echo(f"### {loss.name}, {problem.rows:,} × {features}\n\n{table(found)}")


if __name__ == "__main__":
    main()
