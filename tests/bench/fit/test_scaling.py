"""Test that weights from scaled columns, converted to original units, predict the same."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from backends.losses import LOSSES
from bench.fit.scaling import Columns, Scaling, may_shift_target

SIZES = st.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-6)


@st.composite
def rows(draw: Any) -> tuple[np.ndarray, np.ndarray]:
    """Draw 2 to 30 rows of 1 to 4 columns; the sizes of the columns differ by up to 10¹²."""
    n, d = draw(st.integers(2, 30)), draw(st.integers(1, 4))
    x = draw(arrays.arrays(np.float64, (n, d), elements=st.floats(-1, 1, width=32)))
    size = draw(st.lists(st.floats(1e-6, 1e6), min_size=d, max_size=d))
    shift = draw(st.lists(SIZES, min_size=d, max_size=d))
    y = draw(arrays.arrays(np.float64, n, elements=SIZES))
    return x * size + shift, y


def scaling_of(x: np.ndarray, y: np.ndarray, **how: bool) -> Scaling:
    return Scaling.of(Columns.of(x, y), **how)


HOW = st.fixed_dictionaries(
    {name: st.booleans() for name in ("intercept", "standardize", "shift_target")}
)


@given(data=rows(), how=HOW, seed=st.integers(0, 99))
def test_predictions_in_original_units_equal_those_of_the_descent(
    data: tuple[np.ndarray, np.ndarray], how: dict[str, bool], seed: int
) -> None:
    x, y = data
    scaling = scaling_of(x, y, **how)
    weights = np.random.default_rng(seed).standard_normal(scaling.weights)
    w, intercept = scaling.to_original(weights)
    scaled = scaling.transform(x)
    size = np.abs(scaled) @ np.abs(weights) + np.abs(x) @ np.abs(w) + abs(intercept)
    error = np.abs(x @ w + intercept - (scaled @ weights + scaling.target))
    assert (error <= 1e-13 * (1 + size)).all()
    assert how["intercept"] or intercept == 0


@given(data=rows(), how=HOW, seed=st.integers(0, 99))
def test_there_and_back(
    data: tuple[np.ndarray, np.ndarray], how: dict[str, bool], seed: int
) -> None:
    scaling = scaling_of(*data, **how)
    rng = np.random.default_rng(seed)
    w, intercept = rng.standard_normal(scaling.features), float(rng.standard_normal())
    found, back = scaling.to_original(scaling.to_scaled(w, intercept))
    assert found == pytest.approx(w, rel=1e-14)
    if scaling.intercept:
        size = 1 + abs(scaling.target) + np.abs(scaling.mean) @ np.abs(w)
        assert back == pytest.approx(intercept, abs=1e-14 * size)


@given(data=rows(), cuts=st.lists(st.integers(1, 29), max_size=3))
def test_blocks_give_the_statistics_of_all_rows(
    data: tuple[np.ndarray, np.ndarray], cuts: list[int]
) -> None:
    x, y = data
    edges = [0, *sorted({cut for cut in cuts if cut < len(y)}), len(y)]
    parts = [slice(*pair) for pair in itertools.pairwise(edges)]
    columns = Columns.of_blocks(Columns.of(x[part], y[part]) for part in parts)
    size = np.abs(x).max(axis=0)
    assert (np.abs(columns.mean - x.mean(axis=0)) <= 1e-14 * size).all()
    assert (
        np.abs(columns.deviation - x.std(axis=0)) <= 1e-12 * x.std(axis=0) + 1e-14 * size
    ).all()
    rms = np.sqrt((x**2).mean(axis=0))
    assert columns.root_mean_square == pytest.approx(rms, rel=1e-12)
    assert columns.target == pytest.approx(y.mean(), rel=1e-9, abs=1e-9)
    assert (columns.constant == (np.ptp(x, axis=0) <= 8e-16 * size)).all()


def test_standardised_columns_are_those_of_scikit_learn() -> None:
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((100, 3)) * [1e-3, 1, 1e5] + [5, 0, 1e6]
    x[:, 1] = 0.1
    scaled = scaling_of(
        x, x[:, 0], intercept=True, standardize=True, shift_target=True
    ).transform(x)
    expected = preprocessing.StandardScaler().fit_transform(x)
    assert scaled[:, :3] == pytest.approx(expected, abs=1e-9)
    assert (scaled[:, 3] == 1).all()


def test_without_an_intercept_columns_are_not_centred() -> None:
    x, y = np.array([[3.0, 0], [4.0, 0]]), np.array([1.0, 2.0])
    scaling = scaling_of(x, y, intercept=False, standardize=True, shift_target=True)
    assert scaling == Scaling(
        (0.0, 0.0), (np.sqrt(12.5), 1.0), intercept=False, standardized=True
    )


@pytest.mark.parametrize("value", [0.1, -1e-300, 1e300, 1 / 3])
@pytest.mark.parametrize("blocks", [1, 7])
def test_a_constant_column_has_scale_1_and_becomes_zeros(value: float, blocks: int) -> None:
    x, y = np.full((70, 1), value), np.arange(70.0)
    parts = zip(np.split(x, blocks), np.split(y, blocks), strict=True)
    columns = Columns.of_blocks(Columns.of(*part) for part in parts)
    scaling = Scaling.of(columns, intercept=True, standardize=True, shift_target=True)
    assert columns.constant.all()
    assert scaling.scale == (1.0,)
    assert (scaling.transform(x)[:, 0] == 0).all()


@pytest.mark.parametrize("size", [1e-250, 1e250, 1.5e308])
def test_squares_may_leave_float64(size: float) -> None:
    x = np.array([[-size], [size], [size / 2]])
    for intercept in (False, True):
        how = {"intercept": intercept, "standardize": True, "shift_target": False}
        scaled = scaling_of(x, np.zeros(3), **how).transform(x)[:, 0]
        assert 0.5 < np.abs(scaled).max() < 2


def test_some_columns_are_mapped_as_all_are() -> None:
    scaling = Scaling((1.7e9, 0.0, 2.0), (0.5, 1.0, 4.0), intercept=True)
    x = np.array([[1.7e9 + 1, 2, 6], [1.7e9, 3, 2]])
    assert scaling.transform(x).tolist() == [[2, 2, 1, 1], [0, 3, 0, 1]]
    assert scaling.mapped(x[:, 1:], 1).tolist() == [[2, 1], [3, 0]]
    assert scaling.mapped(x[:, 1:2], 1).base is x
    out = np.empty((2, 4), np.float32)
    assert scaling.transform(x, out) is out
    assert (out == scaling.transform(x)).all()


def test_only_losses_of_the_difference_allow_a_shift_of_y() -> None:
    y, p = np.array([0.0, 1.0, 1.0]), np.array([0.3, -2.0, 1.1])
    for loss in LOSSES.values():
        shifted = np.allclose(loss.value(np, p + 0.5, y + 0.5), loss.value(np, p, y))
        assert may_shift_target(loss) == shifted
