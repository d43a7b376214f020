"""Convert a caller's arrays and tables to NumPy arrays, without a copy if possible.

NumPy reads arrays, buffers, and objects with ``__array__`` (pandas, polars, PyArrow, PyTorch,
JAX). PyArrow reads other objects with an Arrow or a dataframe interface.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from backends.errors import MissingLibraryError, ProblemError
from backends.names import first_line
from backends.problem import DTYPES

Array = NDArray[np.floating[Any]]

INTERFACES = ("__arrow_c_stream__", "__arrow_c_array__", "__dataframe__")
"""Methods through which PyArrow reads the columns of a table."""

SHOWN = 4
"""Largest number of column names in an error message, so that the message fits in one line."""


@dataclass(frozen=True)
class Matrix:
    """Features as a NumPy array of shape (n,) or (n, d), and the names of the d columns.

    `names` is None if the columns have no names, or if a name is not text.
    """

    values: Array
    names: tuple[str, ...] | None = None


def features_of(x: object, dtype: DTypeLike | None = None) -> Matrix:
    """Return the features of an array or a table, and the names of its columns.

    Parameters
    ----------
    x : array or table
        Numbers of shape (n,) or (n, d).
    dtype : {"float32", "float64"}, optional
        dtype of the result. By default, float32 and float64 data keep their dtype, and data of
        any other dtype become float64.

    Raises
    ------
    ProblemError
        The values are not numbers, or the shape is neither (n,) nor (n, d).
    MissingLibraryError
        The table can be read only by PyArrow, which is not installed.
    """
    values, names = _read("x", x)
    return Matrix(_numbers("x", values, names, _dtype(dtype)), names)


def target_of(y: object, dtype: DTypeLike | None = None) -> tuple[Array, str | None]:
    """Return (values, name) of the target; the values have shape (n,).

    The name is None if the target has no name. `y` has the shape (n,) or (n, 1). The parameters
    and errors are those of `features_of`.
    """
    values, names = _read("y", y)
    values = _numbers("y", values, names, _dtype(dtype))
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise ProblemError(f"y must be one column, not of shape {values.shape}")
    name = names[0] if names else getattr(y, "name", None)
    return values, name if isinstance(name, str) and name else None


def _dtype(dtype: DTypeLike | None) -> np.dtype[Any] | None:
    """Return the dtype, which must be float32 or float64; return None for None."""
    if dtype is None:
        return None
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = ""
    if name not in DTYPES:
        raise ProblemError(f"dtype must be float32 or float64, not {dtype!r}")
    return np.dtype(name)


def _read(what: str, table: Any) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Return (values, column names) of an array or a table; the values keep their dtype.

    The names are None if the columns have no names, or if a name is not text. `what` is the
    name of the argument in error messages, ``"x"`` or ``"y"``.
    """
    if isinstance(table, np.ma.MaskedArray) and np.ma.is_masked(table):
        raise ProblemError(f"{what} has masked values; fill them, or leave out their rows")
    if not hasattr(table, "__array__") and any(hasattr(table, i) for i in INTERFACES):
        table = _by_pyarrow(what, table)
    if hasattr(table, "toarray"):  # a sparse matrix of SciPy
        raise ProblemError(f"{what} is a sparse matrix; pass {what}.toarray() instead")
    names = _names(table)
    if names and len(names) == 1 and hasattr(table, "column_names"):
        return np.asarray(table.column(0)), names  # a view; np.asarray(table) would copy
    try:
        values = np.asarray(table)
    except (RuntimeError, TypeError, ValueError) as error:  # unequal lengths, a GPU's tensor
        raise ProblemError(f"{what} cannot be read as an array: {first_line(error)}") from None
    if values.dtype.names:  # a structured array of NumPy
        names = values.dtype.names
        values = np.column_stack([values[name] for name in names])
    return values, names


def _names(table: Any) -> tuple[str, ...] | None:
    """Return the names of a table's columns.

    The result is None if the table has no column names, or if a column name is not text.
    """
    for attribute in ("column_names", "columns"):
        found = getattr(table, attribute, None)
        if found is not None and not callable(found):
            names = tuple(found)
            return names if names and all(isinstance(name, str) for name in names) else None
    return None


def _by_pyarrow(what: str, table: Any) -> Any:
    """Convert an object that has a method in `INTERFACES` to a PyArrow table or column."""
    try:
        pa = importlib.import_module("pyarrow")
    except ImportError:
        kind = type(table).__name__
        raise MissingLibraryError(
            f"{what}, a {kind}, is read by PyArrow, which is not installed: pip install pyarrow"
        ) from None
    try:
        if hasattr(table, "__arrow_c_stream__"):
            try:
                return pa.table(table)
            except (TypeError, pa.ArrowInvalid):  # the stream is a single column
                return pa.chunked_array(table)
        if hasattr(table, "__arrow_c_array__"):
            return pa.array(table)
        return importlib.import_module("pyarrow.interchange").from_dataframe(table)
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError) as error:
        raise ProblemError(f"{what} cannot be read by PyArrow: {first_line(error)}") from None


def _numbers(
    what: str, values: NDArray[Any], names: tuple[str, ...] | None, dtype: np.dtype[Any] | None
) -> Array:
    """Convert the values to `dtype`; values that have this dtype already are not copied.

    If `dtype` is None, float32 and float64 values keep their dtype, and values of any other
    dtype become float64.
    """
    if values.ndim not in (1, 2):
        raise ProblemError(f"{what} must be (n,) or (n, d), not of shape {values.shape}")
    kept = values.dtype.name in DTYPES
    to = dtype or np.dtype(values.dtype.name if kept else np.float64)  # in native byte order
    if values.dtype.kind in "biuf":
        return np.asarray(values, to)
    if values.dtype.kind != "O":
        raise ProblemError(f"{what} holds {values.dtype} values, which are not numbers")
    return _converted(what, values, names, to)


def _converted(
    what: str, values: NDArray[Any], names: tuple[str, ...] | None, to: np.dtype[Any]
) -> Array:
    """Convert an array of Python objects to the dtype `to`.

    NumPy makes an array of objects from a table with columns of several types.
    """
    converted = np.empty(values.shape, to)
    columns = values.reshape(len(values), -1)
    for j, column in enumerate(columns.T):
        name = f" {names[j]!r}" if names else f" {j + 1}" if values.ndim == 2 else ""
        where = f"{what}, column{name}" if name else what
        for i, value in enumerate(column):
            if isinstance(value, str | bytes) or value is None:
                raise ProblemError(
                    f"{where}, row {i + 1} is {value!r}, which is not a number; "
                    "leave it out or replace it"
                )
        try:
            converted.reshape(columns.shape)[:, j] = column
        except (TypeError, ValueError) as error:  # pandas' missing value, or a list
            raise ProblemError(f"{where} holds a value that is not a number: {error}") from None
    return converted


def check_names(mine: tuple[str, ...] | None, given: tuple[str, ...] | None) -> None:
    """Raise ProblemError if a table does not have the fit's column names in the fit's order.

    `mine` has the names of the fit's columns, and `given` those of the table's columns. Nothing
    is checked if `mine` or `given` is None.
    """
    if mine is None or given is None or mine == given:
        return
    lacking = [name for name in mine if name not in given]
    if lacking:
        some = ", ".join(lacking[:SHOWN]) + (" …" if len(lacking) > SHOWN else "")
        raise ProblemError(f"the table lacks columns of the fit: {some}")
    raise ProblemError(
        f"the table's columns are {', '.join(given[:SHOWN])}, but the fit's columns "
        f"are {', '.join(mine[:SHOWN])}; select them in the fit's order"
    )
