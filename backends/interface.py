"""The contract between backends and the code that runs, times or picks them.

A technique is a class that a `Library` of the catalogue names. The class is called as `Place`
says, and its objects have the methods of `Descent`. No base class is needed: mypy checks the
types, and ``tests/support/contract.py`` checks the behaviour.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from numpy.typing import ArrayLike

from backends.errors import Weights

if TYPE_CHECKING:
    from backends.problem import Problem


class Descent(Protocol):
    """A problem that was placed on a device and is ready for steps.

    X, y and products with X or y have the data's dtype. w is float64 in these methods and
    between steps. The d values of w cost little compared with the n·d values of X, and a
    float32 w would stop moving once a step is smaller than half its last bit. These dtypes
    hold for every backend, so all backends do equal work.
    """

    def run(self, w: ArrayLike, steps: int) -> Weights:
        """Take `steps` steps from `w`, shape (d,), and return the new w.

        The method waits until the device has finished. A call with another number of steps must
        not compile anything.
        """
        ...

    def gradient(self, w: ArrayLike) -> Weights:
        """Return the unscaled sums over the problem's rows, ``xᵀ·slope(x·w, y)``, shape (d,).

        The gradient of the loss is ``loss.scale / n`` times these sums; for squared error the
        slope is ``x·w − y`` and the scale 2. Sums over parts of the rows can be added.
        """
        ...

    def loss(self, w: ArrayLike) -> float:
        """Return the mean of the problem's loss over its rows."""
        ...


class Backend(Protocol):
    """A library, a technique and a device: a way to run the descent."""

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
        """Return the largest device memory held so far by this process, in bytes.

        On the CPU the result is None, because the memory of the process is measured instead.
        """
        ...


Place = Callable[["Problem", float, str], Descent]
"""A function ``place(problem, learning_rate, device)``, usually a technique's class.

Set ``reads_pairs = True`` on a technique that sums over interleaved (x, y) pairs as fast as
over two separate arrays; files with one feature are then streamed to it without a copy.
"""
