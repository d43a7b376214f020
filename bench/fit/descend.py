"""Descend with any backend: run steps, evaluate the loss in between, and stop.

`run`, a method of the backend's descent, takes steps without evaluating the loss. This module
calls `run` for a few steps at a time, and evaluates the loss after each call.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

import numpy as np

from backends.errors import ProblemError
from backends.losses import SQUARED_ERROR
from bench.fit.rate import DivergenceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import ArrayLike

    from backends.errors import Weights
    from backends.interface import Descent
    from backends.losses import Loss
    from backends.problem import Problem
    from backends.rows.source import Source

Stopped = Literal["steps", "loss", "tolerance"]

GROWTH = 1e-5
"""If the loss grows by at most this fraction, the growth counts as rounding, not as
divergence."""


Rows = TypeVar("Rows", bound="Problem | Source")
AnyRows = TypeVar("AnyRows", bound="Problem | Source", contravariant=True)


class Places(Protocol[AnyRows]):
    """Interface of a backend, as far as `descend` uses it."""

    @property
    def name(self) -> str:
        """Name of the backend."""
        ...

    def place(self, problem: AnyRows, learning_rate: float) -> Descent:
        """Copy the rows to the device if necessary; return an object that runs the steps."""
        ...


@dataclass(frozen=True)
class Epoch:
    """The weights after some steps, and the loss at these weights.

    `epoch` is the number of steps. `intercept` is None for a model without an intercept.
    """

    epoch: int
    w: tuple[float, ...]
    loss: float
    intercept: float | None = None


@dataclass(frozen=True)
class Prediction:
    """The predicted value ``y = x·w + intercept`` for a point x."""

    x: tuple[float, ...]
    y: float


@dataclass(frozen=True)
class Fit:
    """The result of a descent: w after `steps` steps, and the reason why the descent stopped.

    `epochs` has w and the loss after step 1 and after some later steps. `intercept` is
    None for a model without an intercept.
    """

    backend: str
    w: tuple[float, ...]
    loss: float
    steps: int
    learning_rate: float
    stopped: Stopped
    epochs: tuple[Epoch, ...]
    predictions: tuple[Prediction, ...]
    intercept: float | None = None


def descend(
    backend: Places[Rows],
    problem: Rows,
    learning_rate: float,
    *,
    steps: int = 100,
    w0: ArrayLike | None = None,
    done: int = 0,
    every: int = 20,
    until_loss: float | None = None,
    tolerance: float | None = None,
    predict: Sequence[Sequence[float]] = (),
    on_epoch: Callable[[Epoch], None] | None = None,
    automatic: str = "",
) -> Fit:
    """Descend from `w0`, and evaluate the loss at the start and after some of the steps.

    Parameters
    ----------
    w0 : array of shape (d,), optional
        Weights at the start; zeros by default.
    steps, done : int
        At most ``steps - done`` steps are taken. `done` is the number of earlier steps, which
        led to `w0`.
    every : int
        Number of steps between two evaluations of the loss, counted from step 1.
    until_loss : float, optional
        Stop at the first evaluation at which the loss is at most this value.
    tolerance : float, optional
        Stop when the gradient's norm is at most `tolerance` times the norm at `w0`.
    predict : sequence of points for which y is predicted
    on_epoch : callable, optional
        Function that is called with each evaluation, including the evaluation at the start.
    automatic : str
        Option that error messages recommend for a safe rate, such as ``--lr auto``.

    Raises
    ------
    DivergenceError
        The loss is not finite, or it grows because the learning rate is too large.
    """
    descent = backend.place(problem, learning_rate)
    start = np.zeros(problem.features) if w0 is None else np.asarray(w0, dtype=np.float64)
    looks = _looks(descent, start, steps, every, done)
    epochs: list[Epoch] = []
    stopped: Stopped = "steps"
    lowest = math.inf
    # A diverging descent overflows; the check below raises an error, so no warning is needed.
    with np.errstate(over="ignore", invalid="ignore"):
        enough = None if tolerance is None else tolerance * _slope(descent, start)
        for epoch in looks:
            epochs.append(epoch)
            if on_epoch is not None:
                on_epoch(epoch)
            if reason := _enough(descent, epoch, until_loss, enough):
                stopped = reason
                break
            _raise_if_diverging(epoch, lowest, problem, learning_rate, automatic)
            lowest = min(lowest, epoch.loss)
        return _fit(backend.name, learning_rate, stopped, epochs, predict)


def _fit(
    backend: str,
    learning_rate: float,
    stopped: Stopped,
    epochs: list[Epoch],
    predict: Sequence[Sequence[float]],
) -> Fit:
    """Return the `Fit` of a descent; the first item of `epochs` is the start."""
    last = epochs[-1]
    return Fit(
        backend=backend,
        w=last.w,
        loss=last.loss,
        steps=last.epoch,
        learning_rate=learning_rate,
        stopped=stopped,
        epochs=tuple(epochs[1:]),
        predictions=predicted(predict, last.w),
    )


def _slope(descent: Descent, w: ArrayLike) -> float:
    return float(np.linalg.norm(descent.gradient(w)))


def _enough(
    descent: Descent, epoch: Epoch, until_loss: float | None, slope: float | None
) -> Stopped | None:
    """Return the reason to stop the descent at `epoch`; None if there is no reason to stop."""
    if until_loss is not None and epoch.loss <= until_loss:
        return "loss"
    if slope is not None and _slope(descent, epoch.w) <= slope:
        return "tolerance"
    return None


def _looks(descent: Descent, w: Weights, steps: int, every: int, done: int) -> Iterator[Epoch]:
    """Yield w and the loss at the start, and after steps 1, 1 + every, 1 + 2·every, …, steps.

    Steps up to `done` are left out, because they were run before.
    """
    yield Epoch(done, tuple(w.tolist()), descent.loss(w))
    for epoch in chain(range(1, steps, every), (steps,) if steps else ()):
        if epoch <= done:
            continue
        w = descent.run(w, epoch - done)
        done = epoch
        yield Epoch(epoch, tuple(w.tolist()), descent.loss(w))


def predicted(
    points: Sequence[Sequence[float]], w: Sequence[float], intercept: float = 0.0
) -> tuple[Prediction, ...]:
    """Return the prediction ``x·w + intercept`` for each x in `points`.

    Raises
    ------
    ProblemError
        A prediction is not finite.
    """
    found = []
    for x in points:
        with np.errstate(over="ignore", invalid="ignore"):  # checked below
            y = float(np.dot(x, w)) + intercept
        if not math.isfinite(y):
            raise ProblemError(f"the prediction at x = {x} is {y}; choose a smaller x")
        found.append(Prediction(tuple(x), y))
    return tuple(found)


def _raise_if_diverging(
    epoch: Epoch, lowest: float, problem: Problem | Source, learning_rate: float, automatic: str
) -> None:
    """Raise DivergenceError if the loss is not finite, or grows because the rate is too large.

    For squared error, a rate above 2/L is too large (L is the largest curvature of the loss).
    Growth at a lower rate comes from rounding and is accepted.
    """
    finite = math.isfinite(epoch.loss)
    if problem.loss != SQUARED_ERROR:
        _raise_if_growing(epoch, lowest, problem.loss, learning_rate, automatic)
        return
    if finite and epoch.loss <= lowest * (1 + GROWTH):
        return
    limit = problem.reference.largest_stable_rate
    if 0 < limit < learning_rate:  # the limit is 0 if x² overflows
        raise DivergenceError(
            f"diverged by epoch {epoch.epoch}: the learning rate {learning_rate:g} is beyond "
            f"the largest stable rate for these data, 2/L = {limit:.6g}"
        )
    if not finite:
        raise DivergenceError(
            f"the loss at epoch {epoch.epoch} is {epoch.loss}: the numbers are too large for "
            f"{problem.dtype}; scale the data or start nearer to 0"
        )


def _raise_if_growing(
    epoch: Epoch, lowest: float, loss: Loss, learning_rate: float, automatic: str
) -> None:
    """Raise DivergenceError if the loss is not finite, or clearly above the lowest so far."""
    advice = f"the learning rate {learning_rate:g} is too large for {loss.name} on these data"
    if loss.curvature is not None and automatic:
        advice += f" ({automatic} takes 1/L)"
    if not math.isfinite(epoch.loss) or not np.isfinite(epoch.w).all():
        raise DivergenceError(
            f"diverged by epoch {epoch.epoch}: the loss is {epoch.loss}; {advice}"
        )
    if math.isfinite(lowest) and epoch.loss > lowest + GROWTH * max(1.0, abs(lowest)):
        raise DivergenceError(
            f"diverged by epoch {epoch.epoch}: the loss grew from {lowest:.6g} to "
            f"{epoch.loss:.6g}; {advice}"
        )
