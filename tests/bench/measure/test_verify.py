"""Test which w is accepted as correct."""

from __future__ import annotations

import numpy as np
import pytest

from backends import generate
from bench.measure.verify import LEARNING_RATE, WrongResultError, verify

PROBLEM = generate(100, 2)
START = np.array([0.5, -0.5])
RIGHT = PROBLEM.reference.iterate(7, LEARNING_RATE, START)


def test_the_reference_itself_is_right() -> None:
    assert verify(PROBLEM, START, 7, RIGHT) == 0.0
    assert 0 < verify(PROBLEM, START, 7, RIGHT * (1 + 1e-6)) < 1e-5


@pytest.mark.parametrize(
    ("w", "words"),
    [
        (RIGHT * (1 + 1e-4), r"after 7 steps w\[0\] = .* but the reference is .*1\.0e-04"),
        (RIGHT * np.nan, r"w\[0\] = nan"),
        (RIGHT * np.inf, r"w\[0\] = inf"),
        (RIGHT.astype(np.float32), r"w is float32 of shape \(2,\), not float64 of shape"),
        (RIGHT.reshape(2, 1), r"w is float64 of shape \(2, 1\)"),
        (RIGHT[:1], r"w is float64 of shape \(1,\)"),
        (RIGHT[:0], r"w is float64 of shape \(0,\)"),
        (RIGHT.astype(object), r"w is object"),
        (RIGHT.tolist(), "w is of type list, not a NumPy array"),
        (None, "w is of type NoneType"),
    ],
    ids=repr,
)
def test_another_w_is_wrong(w: object, words: str) -> None:
    with pytest.raises(WrongResultError, match=words) as caught:
        verify(PROBLEM, START, 7, w)
    assert "\n" not in str(caught.value)
