"""Test a loss's functions in compiled loops: vectorised, not vectorised, or not compilable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backends import BackendError, Problem, catalogue, losses, open_backend
from backends.losses import Loss, find
from backends.names import Name
from backends.problem import DTYPES, Array

pytest.importorskip("numba")

from numba import njit

from backends.numba import vectors
from backends.numba.cache import Known
from backends.numba.pointwise import Pointwise, evaluate, failure
from backends.numba.vectors import EXAMPLE

LINE = Known("pointwise", size=64)

FUNCTIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "arithmetic": lambda xp, p, y: (2 - p) * y / (p + 0.5) - -p,
    "exp": lambda xp, p, y: xp.exp(p - y),
    "log": lambda xp, p, y: xp.log(p * p),
    "log1p": lambda xp, p, y: xp.log1p(p * p),
    "abs": lambda xp, p, y: xp.abs(p) + xp.absolute(y) + abs(p - y),
    "where": lambda xp, p, y: xp.where(p > y, p, 0) + xp.where(p >= 0, -1.0, 2.5),
    "masks": lambda xp, p, y: xp.where((p < 0) & (y <= 0) | ~(p != y), p, y),
    "equal": lambda xp, p, y: xp.where(p == y, p, 7),
    "minimum": lambda xp, p, y: xp.minimum(p, y) + xp.minimum(1, p),
    "maximum": lambda xp, p, y: xp.maximum(p, y) + xp.maximum(0.5, p),
    "clip": lambda xp, p, y: xp.clip(p - y, -1.0, 1),
    "tanh": lambda xp, p, y: xp.tanh(p),
    "sign": lambda xp, p, y: xp.sign(p) * 3,
    "sqrt": lambda xp, p, y: xp.sqrt(xp.abs(p)),
    "power": lambda xp, p, y: p**2 - (p - y) ** 3 + p**1 * y**8,
    "number": lambda xp, p, y: 0.5,
}

SCALAR: dict[str, Callable[[Any, Any, Any], Any]] = {
    "branch": lambda xp, p, y: p - y if p > y else 0.25 * (p - y),
    "sin": lambda xp, p, y: xp.sin(p) - y,
    "real power": lambda xp, p, y: xp.abs(p) ** 1.5 - y,
    "mask": lambda xp, p, y: p > y,
}
"""Name → a slope that cannot be vectorised."""


@njit
def through(function: Pointwise, a: Array, b: Array, out: Array, known: Known) -> None:
    none = vectors.zero_vector(a, known.size)
    for j in range(0, len(a), vectors.lanes_of(none)):
        p, y = vectors.load(a, j, none, None), vectors.load(b, j, none, None)
        vectors.store(out, j, evaluate(function, p, y))


@njit
def numbers(function: Pointwise, a: Array, b: Array, out: Array) -> None:
    for j in range(len(a)):
        out[j] = evaluate(function, np.float64(a[j]), np.float64(b[j]))


def pairs(dtype: str) -> tuple[Array, Array]:
    """Return predictions and targets: all pairs of special values, and random pairs."""
    special = np.array([0, -0.0, 1, -1, 0.5, np.inf, -np.inf, np.nan], dtype)
    rng = np.random.default_rng(0)
    a = np.concatenate([np.repeat(special, 8), rng.normal(0, 2, 64).astype(dtype)])
    b = np.concatenate([np.tile(special, 8), rng.normal(0, 2, 64).astype(dtype)])
    return a, b


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() | losses.FUNCTIONS))
def test_functions_give_numpys_results(name: str, dtype: str) -> None:
    """Compare the results with NumPy's, for vectors and for numbers, including NaN."""
    function, (a, b) = FUNCTIONS[name], pairs(dtype)
    assert not failure(function, EXAMPLE)
    expected = np.broadcast_to(
        function(np, a.astype(np.float64), b.astype(np.float64)), a.shape
    )
    bound = 16 * np.finfo(dtype).eps
    for run in (
        lambda out: through(Pointwise(function), a, b, out, LINE),
        lambda out: numbers(Pointwise(function), a, b, out),
    ):
        out = np.zeros_like(a)
        run(out)
        np.testing.assert_allclose(out, expected, rtol=bound, atol=bound)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SCALAR)
def test_other_functions_run_lane_by_lane(name: str, dtype: str) -> None:
    function = SCALAR[name]
    assert failure(function, EXAMPLE)
    assert not failure(function)
    a, b = (values[64:] for values in pairs(dtype))
    out = np.zeros_like(a)
    through(Pointwise(function), a, b, out, LINE)
    expected = [
        float(function(np, np.float64(p), np.float64(y))) for p, y in zip(a, b, strict=True)
    ]
    np.testing.assert_allclose(out, expected, rtol=4 * np.finfo(dtype).eps)


def own(slope: Callable[[Any, Any, Any], Any], value: Any = FUNCTIONS["arithmetic"]) -> Loss:
    return Loss("mine-01234567", value, slope)


@pytest.mark.parametrize("features", [1, 3, 20])
def test_a_slope_that_only_numbers_compile_descends(features: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1009, features)).astype(np.float32)
    loss, w = own(SCALAR["branch"]), np.ones(features)
    assert "row by row" in catalogue.note(Name("numba", "parallel"), loss)
    sin = catalogue.note(Name("numba", "parallel"), own(SCALAR["sin"]))
    assert "No implementation of function sin found for signature: sin(Vector(" in sin
    assert not catalogue.note(Name("numba"), loss)  # this loop never uses vectors
    r = x.astype(np.float64).sum(axis=1) - x[:, 0]
    expected = np.where(r > 0, r, 0.25 * r) @ x
    for backend in ("numba", "numba:parallel"):
        placed = open_backend(backend).place(Problem(x, x[:, 0].copy(), loss=loss), 0.1)
        np.testing.assert_allclose(placed.gradient(w), expected, rtol=1e-5, atol=1e-3)


IMPOSSIBLE: dict[str, tuple[Any, str]] = {
    "unknown name": (lambda xp, p, y: xp.no_such_function(p), "no_such_function"),
    "unknown code": (lambda xp, p, y: min([p, y], key=str), ""),
    "two results": (lambda xp, p, y: (p, y), "it returns"),
    "object": (np.vectorize(lambda xp, p, y: p), ""),
}
"""Name → a slope that Numba cannot compile, and words of the error."""


@pytest.mark.parametrize(("slope", "says"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_a_slope_that_nothing_compiles_is_unavailable(slope: Any, says: str) -> None:
    """Check the error for a slope that Numba cannot compile, before and at placing."""
    loss = own(slope)
    for name in (Name("numba"), Name("numba", "parallel"), Name("dask", "numba")):
        reason = catalogue.reason_against(name, loss)
        assert "Numba cannot compile the slope of mine-01234567: " in reason
        assert says in reason
        assert "\n" not in reason
    x = np.ones(3, np.float32)
    with pytest.raises(BackendError, match="cannot compile the slope"):
        open_backend("numba").place(Problem(x, x, loss=loss), 0.1)


def test_a_value_that_does_not_compile_is_unavailable() -> None:
    loss = own(FUNCTIONS["exp"], lambda xp, p, y: xp.nothing(p))
    assert "cannot compile the value" in catalogue.reason_against(Name("numba"), loss)


def test_a_division_by_zero_gives_infinity_as_in_numpy() -> None:
    x, y = np.array([1.0, 2.0]), np.array([0.0, 1.0])
    loss = own(lambda xp, p, y: p / y)
    for backend in ("numba", "numba:parallel"):
        assert (
            open_backend(backend).place(Problem(x, y, loss=loss), 0.1).gradient([1.0]) == np.inf
        )


FILE = """
DELTA = 1.0

def rest(xp, p, y):
    return residual(p, y) / DELTA

def residual(p, y):
    return p - y

class mine:
    curvature = 3.0
    def value(xp, p, y):
        far = xp.abs(rest(xp, p, y))
        near, above = xp.minimum(far, 1.0), xp.maximum(p - y, 0.0)
        return far + xp.log1p(xp.exp(-2 * far)) + near * (far - 0.5 * near) + above**2 / 2
    def slope(xp, p, y):
        r = rest(xp, p, y)
        return xp.tanh(r) + xp.clip(r, -DELTA, DELTA) + xp.where(r > 0, r, 0.0)
"""


def test_a_users_file_runs_as_numpy_does(tmp_path: Path) -> None:
    """Check a user's loss whose functions use other functions and a constant of its file."""
    file = tmp_path / "mine.py"
    file.write_text(FILE)
    loss = find(f"{file}:mine")
    assert not catalogue.note(Name("numba", "parallel"), loss)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(501, 3)), rng.normal(size=501)
    expected = open_backend("numpy").place(Problem(x, y, loss=loss), 0.1)
    w = np.array([0.3, -0.5, 0.2])
    for backend in ("numba", "numba:parallel"):
        placed = open_backend(backend).place(Problem(x, y, loss=loss), 0.1)
        np.testing.assert_allclose(placed.run(w, 10), expected.run(w, 10), 1e-12)
        np.testing.assert_allclose(placed.loss(w), expected.loss(w), 1e-12)
