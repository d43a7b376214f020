"""The interface that every backend implements.

A technique is a class that is listed in a `Library`. `Place` describes the parameters of its
constructor, and `Descent` describes the methods of its objects. No base class is needed. mypy
checks the types, and ``tests/support/contract.py`` checks the behaviour.
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

    X, y and products with X or y have the data's dtype. The weights w are always float64,
    because float32 weights would stop changing when the steps become small.
    """

    def run(self, w: ArrayLike, steps: int) -> Weights:
        """Take `steps` steps from the weights `w` of shape (d,), and return the new weights.

        The method returns when the device has finished. A call with another number of steps
        must not compile code again.
        """
        ...

    def gradient(self, w: ArrayLike) -> Weights:
        """Return the gradient without constant factors, ``Xᵀ·slope(X·w, y)`` of shape (d,).

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
        """Copy the problem's rows to the backend's device, and return a descent over them.

        The method returns when the transfer has finished. The problem is not modified.
        """
        ...

    def peak_device_bytes(self) -> int | None:
        """Return this process's peak memory on the device in bytes, or None for the CPU."""
        ...


Place = Callable[["Problem", float, str], Descent]
"""Type of a technique: a class or function with parameters ``(problem, learning_rate, device)``
whose result is a `Descent`.

Set the attribute ``reads_pairs = True`` on a technique that reads one array of (x, y) pairs as
fast as it reads two arrays x and y. The rows of a file with one feature are then not copied to
two arrays."""
