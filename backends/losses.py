"""Losses that a descent minimises. Each loss is written once for all libraries.

A descent minimises ``L(w) = mean(loss(p, y))`` with the prediction ``p = x·w``. A loss consists
of a few functions of ``(xp, p, y)``. xp is the namespace of an array library, such as numpy or
jax.numpy. p and y are arrays, SIMD vectors or single numbers, depending on the backend. A
function may use ``+ − × ÷``, comparisons, and the functions of xp that `FUNCTIONS` lists.

Names and formulas are those of scikit-learn (``sklearn._loss``). The only difference is that
``squared_error`` has no factor ½ here.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backends.derivatives import check_derivatives
from backends.errors import ProblemError

Pointwise = Callable[[Any, Any, Any], Any]
"""A function ``f(xp, p, y)`` of an array namespace xp, the predictions p and the targets y. The
result of a row depends only on the p and y of this row."""

FUNCTIONS = (
    *("exp", "log", "log1p", "sqrt", "abs", "where", "minimum", "maximum", "clip", "tanh"),
)
"""Functions that a loss is allowed to call as ``xp.exp``, ``xp.log`` and so on. The array
namespace xp of every backend has these functions."""

Floats = NDArray[np.floating[Any]]

_CHECK_ROWS = 1 << 20
"""Number of targets checked at a time: 8 MB of targets in float64 and 1 MB of Boolean
results."""


@dataclass(frozen=True)
class Loss:
    """A loss of a prediction p and a target y.

    Attributes
    ----------
    name : str
        Unique name. The name of a user's own loss ends in a hash of the loss's file.
    value : callable
        ``value(xp, p, y)`` returns the loss of each row. Backends with autograd use this
        function.
    slope : callable, optional
        ``slope(xp, p, y)`` returns ``(∂value/∂p) / scale``. Backends with a hand-written
        gradient need this function.
    scale : float
        Constant factor that `slope` leaves out. Backends multiply the sum over the rows by this
        factor, which is faster than multiplying each row.
    curvature : float, optional
        Largest second derivative of the value with respect to p, or None if there is no upper
        bound. Without an upper bound, no safe learning rate can be computed.
    accepts : callable, optional
        ``accepts(y)`` returns for each target whether the loss is defined for it. By default,
        every target is accepted.
    domain : str
        The accepted targets in words, for error messages.
    targets : callable, optional
        ``targets(z, u)`` makes the targets of synthetic data, float64 of shape (n,). z is x·w
        of each row, scaled to mean 0 and standard deviation 1. u is noise, uniform in [0, 1).
    """

    name: str
    value: Pointwise
    slope: Pointwise | None = None
    scale: float = 1.0
    curvature: float | None = None
    accepts: Callable[[Floats], NDArray[np.bool_]] | None = None
    domain: str = "any number"
    targets: Callable[[Floats, Floats], Floats] | None = None

    def check(self, y: Floats, first_row: int = 0) -> None:
        """Raise ProblemError, which names the row, if the loss does not accept a target.

        If `y` is a part of the data, the parameter `first_row` is the number of rows before
        this part. The error counts rows from 1.
        """
        if self.accepts is None:
            return
        for start in range(0, len(y), _CHECK_ROWS):
            accepted = self.accepts(y[start : start + _CHECK_ROWS])
            if not np.all(accepted):
                row = start + int(np.argmin(accepted))
                raise ProblemError(
                    f"y is {float(y[row]):g} in row {first_row + row + 1}; "
                    f"{self.name} needs {self.domain}"
                )


def _squared_error(xp: Any, p: Any, y: Any) -> Any:
    return (p - y) * (p - y)


def _squared_error_slope(xp: Any, p: Any, y: Any) -> Any:
    return p - y


def _log_loss(xp: Any, p: Any, y: Any) -> Any:
    # log(1 + exp(p)) − y·p without an overflow. `where`, unlike `abs` and `maximum`, has
    # the right derivative at p = 0 in every library.
    negative = xp.where(p > 0.0, -p, p)
    return xp.log1p(xp.exp(negative)) + 0.5 * (p - negative) - y * p


def _log_loss_slope(xp: Any, p: Any, y: Any) -> Any:
    small = xp.exp(-xp.abs(p))  # at most 1
    inverse = 1.0 / (1.0 + small)
    return xp.where(p >= 0.0, inverse, small * inverse) - y  # the sigmoid, minus y


def _huber(xp: Any, p: Any, y: Any) -> Any:
    distance = xp.abs(p - y)
    inner = xp.minimum(distance, 1.0)
    return inner * (distance - 0.5 * inner)  # ½·r² up to 1, then |r| − ½


def _huber_slope(xp: Any, p: Any, y: Any) -> Any:
    return xp.clip(p - y, -1.0, 1.0)


def _poisson(xp: Any, p: Any, y: Any) -> Any:
    return xp.exp(p) - y * p


def _poisson_slope(xp: Any, p: Any, y: Any) -> Any:
    return xp.exp(p) - y


def _binary(y: Floats) -> NDArray[np.bool_]:
    return np.asarray((y == 0) | (y == 1))


def _counts(y: Floats) -> NDArray[np.bool_]:
    return np.asarray(y >= 0)


def _binary_targets(z: Floats, u: Floats) -> Floats:
    return np.asarray(u < 1.0 / (1.0 + np.exp(-z)), dtype=np.float64)


def _count_targets(z: Floats, u: Floats) -> Floats:
    """Return a random count from the Poisson distribution with mean exp(z/2), for each row.

    `Loss.targets` describes the parameters `z` and `u`.
    """
    rate = np.exp(np.clip(z, -4.0, 4.0) / 2)
    term = np.exp(-rate)
    below, count = term.copy(), np.zeros_like(rate)
    for k in range(1, _MOST_COUNT + 1):
        count += u >= below
        term *= rate / k
        below += term
    return count


_MOST_COUNT = 32
"""Largest count in synthetic data. The rates of the Poisson distributions are at most e² = 7.4,
so a larger count has a probability of at most 10⁻¹¹."""

SQUARED_ERROR = Loss(
    "squared_error", _squared_error, _squared_error_slope, scale=2.0, curvature=2.0
)
LOG_LOSS = Loss(
    "log_loss",
    _log_loss,
    _log_loss_slope,
    curvature=0.25,
    accepts=_binary,
    domain="targets of 0 or 1",
    targets=_binary_targets,
)
HUBER = Loss("huber", _huber, _huber_slope, curvature=1.0)
POISSON = Loss(
    "poisson",
    _poisson,
    _poisson_slope,
    accepts=_counts,
    domain="targets of 0 or more",
    targets=_count_targets,
)

LOSSES = {loss.name: loss for loss in (SQUARED_ERROR, LOG_LOSS, HUBER, POISSON)}
"""The built-in losses by name."""

NAME = re.compile(r"[A-Za-z_]\w*(-[0-9a-f]{8})?")
"""Pattern of a loss's name in a benchmark case. The name of a user's own loss ends in eight
hexadecimal digits: a hash of the loss's file."""


def find(text: str) -> Loss:
    """Return a built-in loss by its name, or import a user's loss from ``FILE.py:NAME``.

    In the file, NAME can be a function ``value(xp, p, y)``. It can also be a `Loss`, or a class
    with some of the fields of `Loss`, of which only ``value`` is required.

    Raises
    ------
    ProblemError
        The loss does not exist, the file cannot be imported, or `check_own` finds an error.
    """
    if text in LOSSES:
        return LOSSES[text]
    file, colon, name = text.rpartition(":")
    if not colon or not file.endswith(".py"):
        raise ProblemError(
            f"there is no loss {text!r}; choose one of {', '.join(LOSSES)}, or give your own "
            "as FILE.py:NAME"
        )
    return _own(Path(file), name)


@dataclass(frozen=True)
class _Own(Loss):
    """A user's own loss from a Python file. Pickling stores the text of this file."""

    source: bytes = b""
    file: str = ""

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_source, (self.source, self.file, self.name.rpartition("-")[0])


def _own(file: Path, name: str) -> Loss:
    try:
        source = file.read_bytes()
    except OSError as error:
        raise ProblemError(f"{file}: cannot be read: {error.strerror}") from None
    return _from_source(source, str(file), name)


def _from_source(source: bytes, file: str, name: str) -> Loss:
    digest = hashlib.sha256(source).hexdigest()[:8]
    label = f"_descentbench_loss_{digest}"
    if label not in sys.modules:
        _import(source, file, label)
    found = getattr(sys.modules[label], name, None)
    if found is None:
        raise ProblemError(f"{file} defines no {name!r}")
    value = getattr(found, "value", found)
    if not callable(value):
        raise ProblemError(f"{file}: a loss is a function value(xp, p, y), or has one")
    known = [field.name for field in fields(Loss) if field.name not in ("name", "value")]
    given = {field: getattr(found, field) for field in known if hasattr(found, field)}
    loss = _Own(f"{name}-{digest}", value, **given, source=source, file=file)
    check_own(loss, f"{file}: {name}")
    return loss


class _Functions:
    """NumPy's versions of `FUNCTIONS`. Access to any other attribute raises ProblemError."""

    def __init__(self, called: str) -> None:
        self._called = called
        vars(self).update({name: getattr(np, name) for name in FUNCTIONS})

    def __getattr__(self, name: str) -> Any:
        known = ", ".join(FUNCTIONS)
        raise ProblemError(f"{self._called}: xp.{name} is not one of {known}")


def check_own(loss: Loss, called: str) -> None:
    """Check the functions and the derivatives of a user's loss.

    Raises
    ------
    ProblemError
        The loss cannot be evaluated, or calls a function that is not in `FUNCTIONS`. Or its
        slope or curvature does not fit its value (see `check_derivatives`).
    """
    xp = _Functions(called)

    def limited(function: Pointwise) -> Pointwise:
        return lambda _, p, y: function(xp, p, y)

    slope = None if loss.slope is None else limited(loss.slope)
    try:
        check_derivatives(replace(loss, name=called, value=limited(loss.value), slope=slope))
    except ProblemError:
        raise
    except Exception as error:
        branches = isinstance(error, ValueError) and "truth value" in str(error)
        why = "it branches on a row's value; write xp.where" if branches else repr(error)
        raise ProblemError(f"{called} cannot be evaluated for NumPy arrays: {why}") from error


def _import(source: bytes, file: str, label: str) -> None:
    """Import the text of a user's file as the module `label`.

    The text is needed because the file may exist only on another machine.
    """
    module = ModuleType(label)
    module.__file__ = file
    sys.modules[label] = module
    try:
        exec(compile(source, file, "exec"), vars(module))  # noqa: S102 the user named the file
    except Exception as error:
        del sys.modules[label]
        raise ProblemError(f"{file}: cannot be imported: {error!r}") from error
