"""Test JAX's compiled loop with few features, which computes many rows at once in lanes."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("jax", reason="jax is not installed")

from backends import generate, open_backend
from backends.jax import layout
from backends.jax.loop import compiler_options
from backends.losses import LOG_LOSS, SQUARED_ERROR, Loss
from backends.problem import DTYPES, TOLERANCE, Problem
from backends.reference import relative_error

RATE = 0.001


@given(rows=st.integers(1, 100_000), features=st.integers(1, 3), dtype=st.sampled_from(DTYPES))
def test_lanes_hold_every_row_once(rows: int, features: int, dtype: str) -> None:
    y = np.arange(1, rows + 1, dtype=dtype)
    x = np.multiply.outer(y, np.arange(1, features + 1, dtype=dtype))
    columns, targets = layout.in_lanes(Problem(x, y))
    lanes = targets.shape[1]
    while lanes > layout.FEW_LANES:
        assert lanes % 2**layout.HALVINGS == 0
        lanes //= 2**layout.HALVINGS
    assert targets.size < max(rows * 1.3, rows + layout.ROWS_PER_LANE)
    for factor, column in enumerate(columns, start=1):
        assert column.shape == targets.shape
        assert np.array_equal(column.ravel()[:rows], factor * y)
        assert not column.ravel()[rows:].any()
    assert np.array_equal(targets.ravel()[:rows], y)
    assert not targets.ravel()[rows:].any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("features", [1, 2])
def test_the_sums_of_lanes_stay_in_a_cache(
    features: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check the limit for storing rows in lanes: the sums of all lanes must fit into a cache.

    Beyond the limit, a step would take 1.45 times as long at 10⁸ rows.
    """
    data = generate(4001, features, dtype)
    size = 1001 * features * data.x.itemsize
    for most, shape in ((size, (4, 1008)), (size - 1, (4001,))):
        monkeypatch.setattr(layout, "LANES_BYTES", most)
        descent = open_backend("jax:loop@cpu").place(data, RATE)
        assert descent.y.shape == shape  # type: ignore[attr-defined]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", [SQUARED_ERROR, LOG_LOSS], ids=lambda loss: loss.name)
@pytest.mark.parametrize("features", [1, 2])
@pytest.mark.parametrize("rows", [1, 3, 4000, 4001, 64_001, 1_024_001])
def test_every_lane_is_summed(rows: int, features: int, loss: Loss, dtype: str) -> None:
    data = generate(rows, features, dtype, loss=loss)
    in_float64 = Problem(data.x.astype(np.float64), data.y.astype(np.float64), loss=loss)
    expected = open_backend("numpy").place(in_float64, RATE)
    descent = open_backend("jax:loop@cpu").place(data, RATE)
    w = np.random.default_rng(1).uniform(-0.1, 0.1, features)
    tolerance = TOLERANCE[dtype]
    assert relative_error(descent.gradient(w), expected.gradient(w)) <= tolerance
    assert relative_error(descent.run(w, 3), expected.run(w, 3)) <= tolerance
    assert descent.loss(w) == pytest.approx(expected.loss(w), rel=10 * tolerance)


@pytest.mark.parametrize(
    ("features", "loss"), [(1, SQUARED_ERROR), (1, LOG_LOSS), (2, SQUARED_ERROR)]
)
def test_xla_sums_few_values(features: int, loss: Loss) -> None:
    """Check that XLA sums only few values.

    Reason: a sum over all rows would take longer than the rest of a step.
    """
    descent = open_backend("jax:loop@cpu").place(generate(100_000, features, loss=loss), RATE)
    w = np.zeros(features)
    step = descent.compiled.step.lower(w, descent.x, descent.y, descent.rows, RATE)
    summed = re.findall(r"stablehlo\.reduce.*: \(tensor<([\dx]+)xf\d+>", step.as_text())
    sizes = [math.prod(map(int, shape.split("x"))) for shape in summed]
    assert 1 <= max(sizes) <= features * layout.FEW_LANES


@pytest.mark.parametrize(
    ("loss", "platform", "version", "options"),
    [
        (SQUARED_ERROR, "cpu", (0, 10, 2), 1),
        (SQUARED_ERROR, "cpu", (0, 11, 0), 0),
        (SQUARED_ERROR, "gpu", (0, 10, 2), 0),
        (LOG_LOSS, "cpu", (0, 10, 2), 0),
    ],
)
def test_xla_gets_no_option_that_it_may_not_have(
    loss: Loss,
    platform: str,
    version: tuple[int, int, int],
    options: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jax.__version_info__", version)
    assert len(compiler_options(loss, platform)) == options
