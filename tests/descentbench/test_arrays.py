"""Test that arrays and tables become NumPy arrays, without a copy if possible."""

from __future__ import annotations

import array
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from backends.errors import ProblemError
from descentbench.arrays import features_of, target_of

X = np.random.default_rng(0).random((50, 3))


def address(values: Any) -> int:
    return int(np.asarray(values).__array_interface__["data"][0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_numpy_array_is_not_copied(dtype: str, order: Any) -> None:
    x = np.asarray(X, dtype, order=order)
    found = features_of(x)
    assert address(found.values) == address(x)
    assert found.values.dtype == dtype
    assert found.names is None
    assert address(target_of(x[:, :1])[0]) == address(x)


def test_a_buffer_is_not_copied() -> None:
    buffer = array.array("d", [1.0, 2.0, 3.0])
    for given in (buffer, memoryview(buffer)):
        assert address(features_of(given).values) == buffer.buffer_info()[0]


def test_a_tensor_is_not_copied() -> None:
    torch = pytest.importorskip("torch")
    x = torch.rand(10, 3)
    assert address(features_of(x).values) == x.data_ptr()


def test_pandas() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    found = features_of(frame)
    assert found.names == ("a", "b", "c")
    assert np.shares_memory(found.values, frame.to_numpy())
    y, name = target_of(frame["b"])
    assert name == "b"
    assert np.shares_memory(y, frame["b"].to_numpy())
    assert target_of(frame[["b"]])[1] == "b"
    assert features_of(pd.DataFrame(X)).names is None  # the numbers 0, 1, 2 are not names


def test_polars() -> None:
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(np.asfortranarray(X), schema=["a", "b", "c"])
    found = features_of(frame)
    assert found.names == ("a", "b", "c")
    assert np.shares_memory(found.values, frame["b"].to_numpy())
    y, name = target_of(frame["b"])
    assert name == "b"
    assert np.shares_memory(y, frame["b"].to_numpy())
    np.testing.assert_array_equal(found.values, X)


def test_pyarrow() -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"a": X[:, 0].copy(), "b": X[:, 1].copy()})
    found = features_of(table)
    assert found.names == ("a", "b")
    np.testing.assert_array_equal(found.values, X[:, :2])
    one = table.select(["b"])
    assert features_of(one).names == ("b",)
    at = one.column(0).chunk(0).buffers()[1].address
    for same in (one, one.column(0), one.column(0).chunk(0)):
        assert address(features_of(same).values) == at
        assert address(target_of(same)[0]) == at


class Only:
    """A table with only one of the interfaces for reading tables."""

    def __init__(self, table: Any, name: str) -> None:
        setattr(type(self), name, lambda _, *args, **kwargs: getattr(table, name)(*args))


@pytest.mark.parametrize("interface", ["__arrow_c_stream__", "__dataframe__"])
def test_other_interfaces_are_read_by_pyarrow(interface: str) -> None:
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"a": X[:, 0].copy(), "b": X[:, 1].copy()})
    other = type(f"Only{interface}", (Only,), {})(table, interface)
    found = features_of(other)
    assert found.names == ("a", "b")
    np.testing.assert_array_equal(found.values, X[:, :2])


def test_one_column_through_arrow_is_not_copied() -> None:
    pa = pytest.importorskip("pyarrow")
    column = pa.array(X[:, 0].copy())
    other = type("Column", (Only,), {})(column, "__arrow_c_array__")
    assert address(features_of(other).values) == column.buffers()[1].address
    chunked = pa.chunked_array([column])
    stream = type("Stream", (Only,), {})(chunked, "__arrow_c_stream__")
    assert address(features_of(stream).values) == column.buffers()[1].address


def test_tables_of_several_types_become_float64() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1, 2], "b": [True, False], "c": [1.5, 2]})
    expected = [[1, 1, 1.5], [2, 0, 2]]
    for given in (frame, frame.convert_dtypes(), frame.astype(object)):
        found = features_of(given)
        assert found.values.dtype == np.float64
        np.testing.assert_array_equal(found.values, expected)
        assert features_of(given, "float32").values.dtype == np.float32
    pl = pytest.importorskip("polars")
    np.testing.assert_array_equal(features_of(pl.from_pandas(frame)).values, expected)
    pa = pytest.importorskip("pyarrow")
    np.testing.assert_array_equal(features_of(pa.Table.from_pandas(frame)).values, expected)


def test_other_numbers_become_float64() -> None:
    for given in ([1, 2], [True, False], np.array([1, 2], np.float16), [Decimal("1.5"), 2]):
        assert features_of(given).values.dtype == np.float64
    fields = np.array([(1, 2.5), (3, 4.5)], [("a", int), ("b", float)])
    found = features_of(fields)
    assert found.names == ("a", "b")
    np.testing.assert_array_equal(found.values, [[1, 2.5], [3, 4.5]])


@pytest.mark.parametrize("dtype", [">f4", ">f8"])
def test_numbers_get_the_byte_order_of_this_machine(dtype: str) -> None:
    found = features_of(X.astype(dtype))
    assert found.values.dtype.isnative
    assert found.values.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(found.values, X.astype(dtype))


def test_a_tensor_with_a_gradient_is_an_error_of_one_line() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(ProblemError, match="x cannot be read as an array: Can't call numpy"):
        features_of(torch.ones(3, requires_grad=True))


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        (["1", "2"], "x holds <U1 values, which are not numbers"),
        ([1j], "x holds complex128 values"),
        (np.array(["2026-01-01"], "datetime64[D]"), "which are not numbers"),
        (np.ones((2, 2, 2)), r"x must be \(n,\) or \(n, d\), not of shape \(2, 2, 2\)"),
        (3.0, r"not of shape \(\)"),
        ([[1, 2], [3]], "x cannot be read as an array: "),
        ([[1.5, None]], r"x, column 2, row 1 is None, which is not a number; leave it out"),
        (np.array([[1, "2"]], object), "x, column 2, row 1 is '2', which is not a number"),
        (np.ma.masked_equal([1, 2], 2), "x has masked values; fill them"),
        ([object()], "x holds a value that is not a number: "),
    ],
)
def test_what_is_not_numbers_is_named(x: object, reason: str) -> None:
    with pytest.raises(ProblemError, match=reason) as caught:
        features_of(x)
    assert "\n" not in str(caught.value)


def test_values_of_tables_that_are_not_numbers_are_named() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"area": [1, 2], "town": ["Ulm", "Ulm"]}).astype({"town": object})
    with pytest.raises(ProblemError, match=r"x, column 'town', row 1 is 'Ulm'"):
        features_of(frame)
    missing = pd.DataFrame({"area": [1, None]}).convert_dtypes()
    with pytest.raises(ProblemError, match="x, column 'area' holds a value that is not a num"):
        features_of(missing.astype(object))
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(ProblemError, match=r"x is a sparse matrix; pass x.toarray\(\) instead"):
        features_of(sparse.csr_array(X))


def test_y_is_one_column() -> None:
    with pytest.raises(ProblemError, match=r"y must be one column, not of shape \(50, 3\)"):
        target_of(X)


def test_only_two_dtypes_can_be_asked_for() -> None:
    for dtype in ("int32", "float128", "nonsense"):
        with pytest.raises(ProblemError, match="dtype must be float32 or float64, not"):
            features_of(X, dtype)
