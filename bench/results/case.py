"""A benchmark case: a backend at a size, dtype and loss."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass

from backends.errors import BackendError, ProblemError
from backends.losses import NAME, SQUARED_ERROR
from backends.names import Name
from backends.problem import DTYPES, step_bytes

READ, NATIVE = "read", "c"
"""Names of the two baselines. A case has such a name in place of a backend's name. ``read``
only reads X and y, and ``c`` is the descent in C (`bench.measure.native`)."""

BASELINES = (READ, NATIVE)

SQUARED = SQUARED_ERROR.name
"""Name of squared error, the loss of a case whose text names no loss."""

MOST = 10**15
"""Largest number of rows or features in a case: more than any machine holds. A float64 still
represents it exactly."""


@dataclass(frozen=True, order=True)
class Case:
    """A benchmark case, as text ``BACKEND/ROWSxFEATURES/DTYPE``: ``numba/1000000x32/float32``.

    A loss other than squared error follows the dtype: ``numba/1000000x32/float32/huber``.
    """

    backend: str
    rows: int
    features: int
    dtype: str
    loss: str = SQUARED

    @classmethod
    def parse(cls, text: str) -> Case:
        """Return the case that a text describes; ``str(case)`` is this text."""
        backend, rows, features, dtype, loss = _parts(text)
        if backend not in BASELINES:
            backend = str(Name.parse(backend))
        return cls(backend, rows, features, dtype, loss)

    def __str__(self) -> str:
        loss = "" if self.loss == SQUARED else f"/{self.loss}"
        return f"{self.backend}/{self.rows}x{self.features}/{self.dtype}{loss}"

    @property
    def library(self) -> str:
        """Name of the library of the case's backend."""
        return Name.parse(self.backend).library

    @property
    def size(self) -> tuple[int, int, str]:
        """Number of rows, number of features, and dtype."""
        return self.rows, self.features, self.dtype

    @property
    def data(self) -> tuple[int, int, str, str]:
        """Number of rows, number of features, dtype and loss; they determine X and y."""
        return *self.size, self.loss

    @property
    def bytes_per_step(self) -> int:
        """Size of X and y in bytes."""
        return step_bytes(self.rows, self.features, self.dtype)

    @property
    def device(self) -> str:
        """Name of the device that holds X and y, such as ``cpu`` or ``cuda:0``."""
        return "cpu" if self.backend in BASELINES else Name.parse(self.backend).device

    @property
    def reads_rows(self) -> bool:
        """Whether a step reads the rows; a ``gram`` technique reads only XᵀX and Xᵀy."""
        return self.backend in BASELINES or not Name.parse(self.backend).least_squares_only

    @property
    def reads_memory(self) -> bool:
        """Whether a step reads rows that are in the CPU's memory."""
        return self.device == "cpu" and self.reads_rows

    @property
    def read(self) -> Case:
        """The case that times plain reads of this case's X and y, as a baseline."""
        return Case(READ, *self.data)


def check_case(text: str) -> None:
    """Raise an error if `text` does not have the form of a case, described in `Case`.

    The named backend need not exist.
    """
    _parts(text)


def loss_of(text: str) -> str:
    """Return the name of the loss in the text of a case."""
    return _parts(text)[-1]


def _parts(text: str) -> tuple[str, int, int, str, str]:
    try:
        backend, size, dtype, *others = text.split("/")
        (loss,) = others or (SQUARED,)
        rows, features = map(int, size.split("x"))
    except ValueError:
        rows = features = 0
    if not (1 <= rows <= MOST and 1 <= features <= MOST):
        raise BackendError(f"{reprlib.repr(text)} is not BACKEND/ROWSxFEATURES/DTYPE[/LOSS]")
    if dtype not in DTYPES:
        raise ProblemError(f"dtype must be one of {', '.join(DTYPES)}, not {dtype!r}")
    if not NAME.fullmatch(loss):
        raise ProblemError(f"{reprlib.repr(loss)} is not the name of a loss")
    return backend, rows, features, dtype, loss


SMALLEST_BYTES = 1 << 20
"""Smallest data size in bytes for which a share of the read bandwidth is reported: 1 MiB. Steps
over smaller data are limited by latency, not by bandwidth."""
