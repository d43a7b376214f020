"""The problem that every backend solves: the data, the loss, and the reference results."""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from backends.errors import ProblemError
from backends.losses import SQUARED_ERROR, Loss
from backends.reference import Reference

Array = NDArray[np.floating[Any]]

DTYPES = ("float32", "float64")
"""The dtypes that data can have."""

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
"""Largest `backends.reference.relative_error` of the weights w in a correct result, by the
dtype of the data."""

MOST_BYTES = 1 << 63
"""Upper limit of a data size in bytes: memory addresses and file positions have 63 bits."""

_CHECK_ROWS = 1 << 20
"""Number of rows that are checked for NaN and infinity at a time. The result of this check
takes 1 MB for each feature."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Rows X, targets y and the loss of predictions ``p = X·w``, without intercept.

    Attributes
    ----------
    x : (n,) or (n, d) float32 or float64
        Read-only view of the caller's array, never a copy. An array of shape (n, 1) becomes an
        array of shape (n,).
    y : (n,), of the same dtype
    source : str
        Where the rows come from, in a few words.
    known_finite : bool
        If false, a value that is not finite is an error, and so is a target that the loss does
        not accept. If true, the values and targets are not checked.
    single_pass : bool
        Whether the rows are read only once, like a block of a stream. A backend then does not
        copy the rows to another layout, because the copy would take longer than it saves.
    loss : Loss
        The loss function. A descent minimises the mean of this function over all rows.

    Raises
    ------
    ProblemError
        The shapes or dtypes do not fit, there are no rows, a value is not finite, or the loss
        does not accept a target.
    """

    x: Array
    y: Array
    source: str = "arrays"
    known_finite: InitVar[bool] = False
    single_pass: bool = False
    loss: Loss = SQUARED_ERROR

    def __post_init__(self, known_finite: bool) -> None:
        x, y = np.asarray(self.x), np.asarray(self.y)
        if x.ndim not in (1, 2) or y.ndim != 1:
            raise ProblemError(
                f"x must be (n,) or (n, d) and y (n,), not {x.shape} and {y.shape}"
            )
        if len(x) != len(y):
            raise ProblemError(f"x has {len(x)} rows but y has {len(y)}; they must match")
        if x.size == 0:
            raise ProblemError("the data have no rows; at least one is needed")
        if x.dtype != y.dtype or x.dtype.name not in DTYPES:
            raise ProblemError(
                f"x and y must both be float32 or both float64, not {x.dtype} and {y.dtype}"
            )
        if x.ndim == 2 and x.shape[1] == 1:
            x = x[:, 0]
        if not known_finite:
            check_finite(x, y)
            self.loss.check(y)
        for name, values in (("x", x), ("y", y)):
            view = values.view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    @property
    def rows(self) -> int:
        """Number of rows, n."""
        return len(self.y)

    @property
    def features(self) -> int:
        """Number of features, d; 1 for an x of shape (n,)."""
        return 1 if self.x.ndim == 1 else self.x.shape[1]

    @property
    def dtype(self) -> str:
        """Name of the dtype, ``float32`` or ``float64``."""
        return self.x.dtype.name

    @property
    def bytes_per_step(self) -> int:
        """Size of X and y in bytes. Every step has to read at least these bytes."""
        return step_bytes(self.rows, self.features, self.dtype)

    @cached_property
    def reference(self) -> Reference:
        """The `Reference`, which computes exact results for squared error."""
        return Reference.of(self.x, self.y)


def step_bytes(rows: int, features: int, dtype: str) -> int:
    """Return n·(d + 1)·itemsize, the bytes that a full-batch step has to read."""
    return rows * (features + 1) * np.dtype(dtype).itemsize


def make_problem(
    x: ArrayLike,
    y: ArrayLike,
    dtype: DTypeLike = np.float32,
    source: str = "arrays",
    loss: Loss = SQUARED_ERROR,
) -> Problem:
    """Convert x and y to arrays of the given dtype, and return a `Problem` with them."""
    try:
        arrays = np.asarray(x, dtype=dtype), np.asarray(y, dtype=dtype)
        return Problem(*arrays, source, loss=loss)
    except (TypeError, ValueError) as error:
        raise ProblemError(f"the data are not numbers: {error}") from None


def check_finite(x: Array, y: Array, first_row: int = 0) -> None:
    """Raise ProblemError, which names the row, if a value is NaN or infinite.

    If `x` and `y` are a part of the data, `first_row` is the number of rows before this part.
    """
    for name, values in (("x", x), ("y", y)):
        _check_finite(name, values, first_row)


def _check_finite(name: str, values: Array, first_row: int) -> None:
    for start in range(0, len(values), _CHECK_ROWS):
        finite = np.isfinite(values[start : start + _CHECK_ROWS])
        if not finite.all():
            at = np.argwhere(~finite)[0]
            row = first_row + start + int(at[0]) + 1
            column = f", column {at[1] + 1}" if len(at) > 1 else ""
            value = float(values[start:][tuple(at)])
            raise ProblemError(
                f"{name} holds {value} in row {row}{column} (the first is row 1); "
                "remove or replace it"
            )


def check_shape(rows: int, features: int, dtype: str) -> None:
    """Raise ProblemError if the dtype is not supported, or there are no rows or too many."""
    if features < 1 or rows < 1:
        raise ProblemError(f"rows and features must be at least 1, not {rows} and {features}")
    if dtype not in DTYPES:
        raise ProblemError(f"dtype must be float32 or float64, not {dtype}")
    if step_bytes(rows, features, dtype) >= MOST_BYTES:
        raise ProblemError(
            f"{rows:g} rows × {features:g} features are more than any file holds"
        )
