"""Test which layouts of long rows a trial compares, and how much data a trial uses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends import generate, longrows, tuning
from backends.numpy.blocked import Blocked
from backends.problem import Problem

MIB = 1 << 20


def shaped(rows: int, features: int, dtype: str = "float32") -> Problem:
    """Return a problem with this shape, which needs almost no memory."""
    x = np.broadcast_to(np.zeros(1, dtype), (rows, features))
    return Problem(x, np.broadcast_to(np.zeros(1, dtype), rows), known_finite=True)


@given(st.integers(1, 10**9), st.integers(1, 5000), st.sampled_from(["float32", "float64"]))
def test_a_trials_copies_are_never_larger_than_the_data(
    rows: int, features: int, dtype: str
) -> None:
    problem = shaped(rows, features, dtype)
    nbytes = longrows.trial_rows(problem) * problem.bytes_per_step / rows
    a_row = problem.bytes_per_step / rows
    assert nbytes <= problem.bytes_per_step
    assert nbytes <= max(tuning.TRIAL_BYTES, longrows.TRIAL_BYTES) + a_row
    if nbytes > tuning.TRIAL_BYTES + a_row:
        assert longrows.are_far(problem)
        assert 4 * nbytes <= problem.bytes_per_step + 4 * a_row


@pytest.mark.parametrize(
    ("rows", "features", "dtype", "columns"),
    [
        (10**6, 63, "float32", False),
        (10**6, 64, "float32", True),
        (10**6, 32, "float64", True),
        (10**5, 64, "float32", False),
        (10**5, 512, "float32", True),
        (10**5, 513, "float32", False),
    ],
)
def test_long_rows_in_memory_are_stored_by_column_up_to_2_kb(
    rows: int, features: int, dtype: str, columns: bool
) -> None:
    assert longrows.usually_by_column(shaped(rows, features, dtype)) is columns


def ranges(technique: Any, problem: Problem) -> tuning.Ranges:
    """Return the values that a technique compares in trials for this problem."""
    return technique._ranges(technique.__new__(technique), problem)  # type: ignore[no-any-return]


@pytest.mark.parametrize("features", [64, 500, 3000])
def test_numpy_tries_both_layouts_of_long_rows(
    features: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that trials compare the layouts by row and by column.

    The wrong layout takes 1.2 to 1.3 times as long with 64 to 500 features.
    """
    monkeypatch.setattr(Blocked, "squared", True, raising=False)
    found = ranges(Blocked, shaped(MIB, features))
    assert sorted(found["by_column"]) == [0, 1]
    assert found["by_column"][0] == (features <= 512)


@pytest.mark.parametrize("features", [64, 500, 3000])
def test_pytorch_tries_three_layouts_of_long_rows(features: int) -> None:
    """Check that trials compare three layouts; the right one depends on the processor."""
    pytest.importorskip("torch")
    from backends.torch.analytic import BY_COLUMN, BY_ROW, COPIED, Analytic

    descent = Analytic(generate(10, features), 0.001, "cpu")
    found = descent._ranges(shaped(MIB, features))
    assert set(found["layout"]) == {BY_ROW, BY_COLUMN, COPIED}
    assert found["layout"][0] == (BY_COLUMN if features <= 512 else COPIED)
