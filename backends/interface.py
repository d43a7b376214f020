"""The contract between a backend and everything that runs, times or picks it.

A backend is written against two small protocols, `Backend` and `Descent`; a
library's file offers them to the catalogue through `LibraryModule`. Nothing
needs to be inherited: mypy checks the shape, ``tests/test_contract.py`` the
behaviour.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from numpy.typing import ArrayLike

from backends.errors import Weights

if TYPE_CHECKING:
    from backends.problem import Problem


class Descent(Protocol):
    """A problem placed on a device, ready to descend.

    The data's dtype governs X, y and the products with them. w is float64
    between steps and at this boundary: it costs nothing (d values against
    n·d), and a float32 w would stop moving once a step is smaller than half
    its last bit. Every backend does so, so that all do the same work.
    """

    def run(self, w: ArrayLike, steps: int) -> Weights:
        """Take `steps` steps from `w`, shape (d,); return when the device has finished.

        Another number of steps must not compile anything anew.
        """
        ...

    def gradient(self, w: ArrayLike) -> Weights:
        """Return the unscaled sums over these rows, ``xᵀ(x·w − y)``, shape (d,).

        2/n times this is the gradient of the loss; shards add theirs up.
        """
        ...

    def loss(self, w: ArrayLike) -> float:
        """Return ``mean((x·w − y)²)`` over these rows."""
        ...


class GramDescent(Descent, Protocol):
    """A descent of a ``gram`` technique: it holds sums that stand for the rows."""

    def moments(self) -> tuple[Weights, Weights, float]:
        """Return ``XᵀX``, (d, d), ``Xᵀy``, (d,), and ``yᵀy``, float64; blocks add theirs up."""
        ...


class Backend(Protocol):
    """A library, a technique and a device: a way to run the descent."""

    @property
    def name(self) -> str:
        """Canonical name, ``library[:technique][@device]``."""
        ...

    def place(self, problem: Problem, learning_rate: float) -> Descent:
        """Put the problem on the device in the layout that the technique wants.

        Returns when the transfer has finished. The problem is not modified.
        """
        ...

    def peak_device_bytes(self) -> int | None:
        """Most device memory held so far in this process; None on the host."""
        ...


Place = Callable[["Problem", float, str], Descent]
"""``place(problem, learning_rate, device)``: a technique's class, as a rule.

One that sums over rows of two numbers as fast as over two lines may say so with
``joins_a_line = True``: rows of one feature are then streamed to it as they lie in a file.
"""


class LibraryModule(Protocol):
    """What a library's file offers; importing it imports the library."""

    TECHNIQUES: Mapping[str, Place]
    """Technique → its `Descent` class; the plain one has the empty name."""

    def devices(self, technique: str) -> Mapping[str, str]:
        """Device names the library can enumerate → why not ("" = usable)."""
        ...

    def peak_device_bytes(self, device: str) -> int | None:
        """Most memory held so far on `device`; None for the host."""
        ...
