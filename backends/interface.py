"""The interface that every backend implements.

A technique is a class that is listed in a `Library`. The class has the signature of `Place`,
and its objects have the methods of `Descent`. No base class is needed. mypy checks the types,
and ``tests/support/contract.py`` checks the behaviour.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from numpy.typing import ArrayLike

from backends.errors import Weights

if TYPE_CHECKING:
    from backends.problem import Problem


class Descent(Protocol):
    """A problem on a device, ready for steps of gradient descent.

    X, y and products with X or y have the data's dtype. w is float64 in all methods and between
    steps. Reason: a float32 w would stop changing once the steps are smaller than its rounding
    error. All backends use these dtypes, so they all do the same work.
    """

    def run(self, w: ArrayLike, steps: int) -> Weights:
        """Take `steps` steps from `w`, shape (d,), and return the new w.

        The method returns when the device has finished. If a call compiles code, later calls
        with other values of `steps` must use that code.
        """
        ...

    def gradient(self, w: ArrayLike) -> Weights:
        """Return the gradient without constant factors, ``Xᵀ·slope(X·w, y)``, shape (d,).

        The gradient of the loss is ``loss.scale / n`` times this result. For squared error, the
        slope is ``X·w − y`` and the scale is 2. Results for separate parts of the rows can be
        added.
        """
        ...

    def loss(self, w: ArrayLike) -> float:
        """Return the mean of the problem's loss over its rows."""
        ...


class Backend(Protocol):
    """A library, a technique and a device, which together can run a descent."""

    @property
    def name(self) -> str:
        """Canonical name, ``library[:technique][@device]``."""
        ...

    def place(self, problem: Problem, learning_rate: float) -> Descent:
        """Copy the problem to the device in the technique's layout.

        Returns when the transfer has finished. The problem is not modified.
        """
        ...

    def peak_device_bytes(self) -> int | None:
        """Return this process's peak memory on the device in bytes, or None for the CPU."""
        ...


Place = Callable[["Problem", float, str], Descent]
"""Signature ``place(problem, learning_rate, device)`` of a technique, which is usually a class.

Set the attribute ``reads_pairs = True`` on a technique that sums interleaved (x, y) pairs as
fast as two separate arrays. Files with one feature are then streamed to the technique without a
copy."""
