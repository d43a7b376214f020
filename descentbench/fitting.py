"""Fit a linear model to arrays by gradient descent, with any backend."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from backends.catalogue import check_loss, open_backend
from backends.errors import ProblemError
from backends.names import Name
from backends.problem import Problem
from descentbench.arrays import features_of, target_of
from descentbench.checked import positive, whole
from descentbench.choice import AUTO, backend_for
from descentbench.distance import excess_of, remark
from descentbench.fitted import FitResult
from descentbench.given_loss import loss_of
from descentbench.log import LOG
from descentbench.scaled import scaled, scaling_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from numpy.typing import ArrayLike, DTypeLike

    from backends.errors import Weights
    from backends.losses import Loss
    from bench.fit.descend import Epoch, Fit, Places
    from bench.fit.excess import Excess
    from bench.fit.scaling import Scaling


AUTOMATIC = 'learning_rate="auto"'
"""Python code that error messages recommend if a given learning rate diverges."""


def fit(
    x: object,
    y: object,
    *,
    backend: str = AUTO,
    loss: str | Loss | object = "squared_error",
    learning_rate: float | Literal["auto"] = "auto",
    steps: int = 1000,
    tolerance: float | None = None,
    until_loss: float | None = None,
    every: int = 20,
    intercept: bool = False,
    standardize: bool = False,
    dtype: DTypeLike | None = None,
    w0: ArrayLike | None = None,
    on_look: Callable[[int, float], None] | None = None,
    store: str | PathLike[str] = ".benchmarks",
) -> FitResult:
    """Fit ``y ≈ x·w + intercept`` by full-batch gradient descent with a fixed rate.

    Parameters
    ----------
    x : array or table
        Features of shape (n,) or (n, d). These are accepted: NumPy arrays, pandas, polars and
        PyArrow tables, PyTorch and JAX arrays on the CPU, buffers, and all objects with an
        Arrow or a dataframe interface. With `intercept` or `standardize`, `fit` copies the
        data. Otherwise, `fit` does not copy float32 and float64 arrays, but some backends copy
        the data to another layout. Names of columns are kept in the result.
    y : array or column
        Targets of shape (n,) or (n, 1).
    backend : str
        ``library[:technique][@device]``, or ``"auto"``: the backend that the measurements in
        the store recommend. Without measurements, ``"auto"`` uses a default backend:

        - ``numpy:gram`` for squared error, if there are at least as many steps as features;
        - ``numpy:blocked`` for squared error with fewer steps than features;
        - ``numpy:blocked`` for any other loss whose derivative is given (see `Loss.slope`);
        - ``jax:loop`` for a loss without a derivative, or ``torch`` if JAX is not installed.

        `fit` never measures. The log says which backend was chosen.
    loss : str or object
        ``"squared_error"``, ``"log_loss"``, ``"huber"``, ``"poisson"``, ``"FILE.py:NAME"``, a
        function ``value(xp, p, y)``, or an object with the fields of `Loss`.
    learning_rate : float or "auto"
        With ``"auto"``, the rate is 1/L, where L is the largest curvature of the loss on these
        rows. The descent then never diverges. For a loss whose curvature has no limit, such
        as poisson, give a number.
    steps : int
        Largest number of steps.
    tolerance : float, optional
        Stop at a report (see `every`) if the gradient's norm is at most `tolerance` times the
        norm of the first gradient. By default, the gradient is not checked.
    until_loss : float, optional
        Stop at a report (see `every`) if the loss is at most this value.
    every : int
        Number of steps between two reports. A report stores w and the loss in `FitResult.table`
        and takes one or two passes over the rows.
    intercept : bool
        Whether to fit an intercept.
    standardize : bool
        Whether the descent runs over scaled columns. With an intercept, the scaled columns have
        mean 0 and standard deviation 1. Without an intercept, each column is divided by its
        root mean square. In both cases, w is returned in the units of x.
    dtype : {"float32", "float64"}, optional
        dtype of the descent's data. By default, float32 and float64 data keep their dtype, and
        data of any other dtype become float64.
    w0 : array of shape (d,), optional
        Weights with which the descent starts, in the units of x. If `w0` is given, the
        intercept starts at 0. By default, the descent starts from zeros.
    on_look : callable, optional
        Called as ``on_look(step, loss)`` at every report (see `every`).
    store : path
        Folder of the stored measurements for ``backend="auto"``.

    Returns
    -------
    FitResult

    Raises
    ------
    ProblemError
        The data or the loss cannot be used. The message says where an invalid value is.
    BackendError
        The backend does not exist, cannot run here, or does not work for the loss.
    DivergenceError
        The learning rate is too large: the loss grows or overflows.
    KeyboardInterrupt
        The user pressed Ctrl-C; the descent ends after at most `every` further steps.

    Examples
    --------
    >>> import descentbench
    >>> fitted = descentbench.fit([[1.0], [2.0], [3.0]], [3.0, 5.0, 7.0], intercept=True,
    ...                           standardize=True)
    >>> print(f"{fitted.w[0]:.3f} {fitted.intercept:.3f} {fitted.predict([[4.0]])[0]:.3f}")
    2.000 1.000 9.000
    """
    whole(0, steps=steps)
    whole(every=every)
    for name, number in (("tolerance", tolerance), ("until_loss", until_loss)):
        if number is not None:
            positive(**{name: number})
    minimised = loss_of(loss)
    given = features_of(x, dtype)
    targets, target = target_of(y, given.values.dtype)
    problem = Problem(given.values, targets, loss=minimised)
    weights = problem.features + intercept
    if backend == AUTO:
        sizes = weights, problem.features
        backend = backend_for(problem.rows, sizes, steps, problem.dtype, minimised, Path(store))
    scaling = scaling_of(problem, intercept=intercept, standardize=standardize)
    start = None
    if w0 is not None:
        start = np.asarray(w0, np.float64)
        if start.shape != (problem.features,):
            raise ProblemError(f"w0 must be of shape ({problem.features},), not {start.shape}")
        start = scaling.to_scaled(start) if scaling else start

    def look(epoch: Epoch) -> None:
        LOG.debug("fit: step %d, loss %.6g", epoch.epoch, epoch.loss)
        if on_look is not None:
            on_look(epoch.epoch, epoch.loss)

    rows = scaled(problem, scaling) if scaling else problem
    found = _descend(
        *(rows, backend, learning_rate, start),
        steps=int(steps),
        every=int(every),
        until_loss=until_loss,
        tolerance=tolerance,
        on_epoch=look,
    )
    apart = excess_of(rows, found, intercept=intercept)
    if said := remark(apart, found, tolerance, standardize=standardize):
        LOG.warning("fit: %s", said)
    return _result(found, problem, scaling, given.names, target, apart)


def _descend(
    problem: Problem,
    backend: str,
    learning_rate: float | Literal["auto"],
    w0: Weights | None,
    **how: Any,
) -> Fit:
    """Run the descent of a problem with a backend.

    `how` has further arguments of `bench.fit.descend.descend`. A DivergenceError is raised if a
    given learning rate is too large. If checking the rate takes little time, it is checked
    before the first step; otherwise, the error is raised during the descent.
    """
    from bench.fit.descend import descend
    from bench.fit.rate import affordable, check_rate
    from bench.host.interrupts import interrupts
    from descentbench.rate import with_rate

    check_loss(Name.parse(backend), problem.loss)
    opened = open_backend(backend)
    places: Places[Problem] = opened
    if isinstance(learning_rate, str):
        if learning_rate != AUTO:
            raise ProblemError(
                f"learning_rate must be a number or 'auto', not {learning_rate!r}"
            )
        places, rate = with_rate(opened, problem)
    else:
        positive(learning_rate=learning_rate)
        rate = float(learning_rate)
        if how["steps"] and affordable(problem):
            start = np.zeros(problem.features) if w0 is None else w0
            check_rate(problem.reference, rate, start, AUTOMATIC)
    LOG.info(
        "fit: %s, %d × %d, %s, %s, learning rate %.6g, at most %d steps",
        *(opened.name, problem.rows, problem.features, problem.dtype),
        *(problem.loss.name, rate, how["steps"]),
    )
    with interrupts():
        advice = "" if isinstance(learning_rate, str) else AUTOMATIC
        found = descend(places, problem, rate, w0=w0, automatic=advice, **how)
    LOG.info("fit: loss %.6g after %d steps (%s)", found.loss, found.steps, found.stopped)
    return found


def _result(
    found: Fit,
    problem: Problem,
    scaling: Scaling | None,
    columns: tuple[str, ...] | None,
    target: str | None,
    apart: Excess | None,
) -> FitResult:
    """Return the result of a descent, with w and the intercept in the units of the data.

    Parameters
    ----------
    found : Fit
        Result of the descent, in the units of the scaled columns.
    problem : Problem
        The rows before scaling.
    scaling : Scaling or None
        None if the descent read the columns as they are.
    columns : tuple of str or None
        Names of the features; None without names.
    target : str or None
        Name of the target; None without a name.
    apart : Excess or None
        See `FitResult.excess`.
    """

    def original(w: tuple[float, ...]) -> tuple[Weights, float]:
        return scaling.to_original(w) if scaling else (np.asarray(w, np.float64), 0.0)

    table = []
    for epoch in found.epochs:
        w, intercept = original(epoch.w)
        line = {"step": epoch.epoch, "loss": epoch.loss, "w": w.tolist()}
        table.append(line | {"intercept": intercept})
    w, intercept = original(found.w)
    return FitResult(
        backend=found.backend,
        w=w,
        intercept=intercept,
        loss=found.loss,
        loss_name=problem.loss.name,
        steps=found.steps,
        stopped=found.stopped,
        learning_rate=found.learning_rate,
        columns=columns,
        target=target,
        rows=problem.rows,
        features=problem.features,
        dtype=problem.dtype,
        scaling=scaling,
        excess=apart,
        table=table,
    )
