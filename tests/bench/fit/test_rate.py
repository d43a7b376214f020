"""Test that a learning rate above the largest stable rate is noticed before the loss grows."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends import generate
from backends.problem import make_problem
from bench.fit.rate import DivergenceError, affordable, check_rate
from tests.support.command import descentbench


def steep_and_flat() -> tuple[np.ndarray, np.ndarray]:
    """Return data with a large feature that hardly influences y, and a small feature that does.

    The largest stable learning rate, 2/L, is 0.01.
    """
    signs = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]] * 25, dtype=float)
    return signs * [10, 1], signs @ [1e-6 * 10, 5]


def test_what_grows_slowly_is_noticed_at_once(tmp_path: Path) -> None:
    """Fixed bug: ``fit`` ended with exit code 0 although the first weight grew.

    With this learning rate, the loss falls for 60 steps and then grows.
    """
    x, y = steep_and_flat()
    np.save(tmp_path / "data.npy", np.column_stack([x, y]))
    arguments = ("fit", "--data", tmp_path / "data.npy", "--steps", 20, "--lr")
    done = descentbench(tmp_path, *arguments, 0.012)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "2/L = 0.01" in line
    assert descentbench(tmp_path, *arguments, 0.0099).returncode == 0
    assert descentbench(tmp_path, *arguments, 0.012, "--steps", 0).returncode == 0


@given(
    features=st.integers(1, 4),
    ratio=st.floats(0.01, 100).filter(lambda r: abs(r - 1) > 1e-6),
    w0=st.floats(-10, 10),
)
def test_a_rate_is_refused_exactly_beyond_the_largest_stable_one(
    features: int, ratio: float, w0: float
) -> None:
    reference = generate(50, features).reference
    rate = ratio * reference.largest_stable_rate
    if ratio < 1:
        return check_rate(reference, rate, [w0] * features)
    with pytest.raises(DivergenceError, match="2/L"):
        check_rate(reference, rate, [w0] * features)
    return None


def test_the_minimum_holds_at_any_rate() -> None:
    check_rate(make_problem([1, 2, 3], [2, 4, 6]).reference, 100.0, [2.0])
    check_rate(make_problem([0, 0], [1, 2]).reference, 100.0, [2.0])


def test_a_reference_that_takes_long_is_not_made_unasked() -> None:
    assert affordable(generate(1000, 10))
    assert not affordable(generate(1000, 10), memory_bytes=1000)

    class Wide:
        rows, features, bytes_per_step = 10**8, 1000, 4 * 10**11

    assert not affordable(Wide(), math.inf)  # type: ignore[arg-type]
