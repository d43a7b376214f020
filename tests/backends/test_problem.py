"""Test the data: the tutorial's data for any number of rows, and errors for invalid data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends import Problem, ProblemError, generate
from backends.problem import make_problem


def test_the_classic_data() -> None:
    data = generate(100)
    np.testing.assert_allclose(data.x, np.arange(0, 10, 0.1), atol=1e-6)
    noise = data.y - 2 * data.x
    assert 0 <= noise.min() < 0.2
    assert 1.8 < noise.max() <= 2
    assert data.dtype == "float32"


@given(
    rows=st.integers(1, 3000),
    features=st.sampled_from([1, 2, 5, 70]),
    dtype=st.sampled_from(["float32", "float64"]),
    cut=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_a_range_of_rows_is_bit_equal_to_the_whole(
    rows: int, features: int, dtype: str, cut: tuple[float, float]
) -> None:
    whole = generate(rows, features, dtype, seed=3)
    start, stop = sorted(int(c * rows) for c in cut)
    if start == stop:
        stop, start = min(rows, stop + 1), min(start, rows - 1)
    part = generate(rows, features, dtype, seed=3, start=start, stop=stop)
    np.testing.assert_array_equal(part.x, whole.x[start:stop])
    np.testing.assert_array_equal(part.y, whole.y[start:stop])


def test_a_range_across_blocks() -> None:
    whole = generate(200_000, 2)
    part = generate(200_000, 2, start=32_000, stop=150_001)
    np.testing.assert_array_equal(part.x, whole.x[32_000:150_001])


@pytest.mark.parametrize("features", [1, 2, 32, 500])
def test_the_tutorials_rate_is_stable_at_every_size(features: int) -> None:
    reference = generate(1000, features).reference
    assert reference.largest_stable_rate > 0.001
    assert reference.gram.trace() == pytest.approx(100 / 3, rel=0.05)


def test_seeds_differ_and_repeat() -> None:
    np.testing.assert_array_equal(generate(50, 3, seed=1).y, generate(50, 3, seed=1).y)
    assert not np.array_equal(generate(50, 3, seed=1).y, generate(50, 3, seed=2).y)


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        (np.ones(3), np.ones(4), "x has 3 rows but y has 4"),
        (np.ones((0, 2)), np.ones(0), "no rows"),
        (np.ones((2, 0)), np.ones(2), "no"),
        (np.ones((2, 2, 2)), np.ones(2), "x must be"),
        (np.ones(2), np.ones(2, np.float32), "both be float32 or both float64"),
        (np.ones(2, int), np.ones(2, int), "both be float32 or both float64"),
        (np.array([1.0, np.nan]), np.ones(2), r"x holds nan in row 2 \("),
        (np.ones(2), np.array([np.inf, 1.0]), "y holds inf in row 1"),
        (np.array([[1.0, 2.0], [3.0, -np.inf]]), np.ones(2), "x holds -inf in row 2, column 2"),
    ],
)
def test_bad_data_stop_at_the_door(x: np.ndarray, y: np.ndarray, says: str) -> None:
    with pytest.raises(ProblemError, match=says):
        Problem(x, y)


def test_text_is_refused() -> None:
    with pytest.raises(ProblemError, match="not numbers"):
        make_problem(["one"], [1.0])


def test_a_problem_is_a_read_only_view() -> None:
    x = np.ones((4, 1))
    data = Problem(x, np.ones(4))
    assert data.x.shape == (4,)
    assert np.shares_memory(data.x, x)
    with pytest.raises(ValueError, match="read-only"):
        data.x[0] = 2
    x[0] = 2  # the caller may still change its array


@pytest.mark.parametrize(("rows", "features"), [(0, 1), (-1, 1), (1, 0)])
def test_sizes_below_one_are_refused(rows: int, features: int) -> None:
    with pytest.raises(ProblemError, match="at least 1"):
        generate(rows, features)
