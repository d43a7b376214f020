"""Test the advice for a fit that is far from its minimum."""

from __future__ import annotations

import numpy as np
import pytest

from backends.losses import LOSSES
from backends.problem import make_problem
from backends.rows.made import InMemory
from bench.fit.advice import after
from bench.fit.descend import Fit
from bench.fit.excess import Excess
from bench.fit.scaled import prepare


@pytest.mark.parametrize(
    ("loss", "remedy"),
    [
        ("squared_error", "a gram backend takes these steps fastest: --steps 40001"),
        ("log_loss", "add --steps 40000"),
    ],
)
def test_a_gram_backend_is_advised_for_squared_error_only(loss: str, remedy: str) -> None:
    x, y = np.arange(6.0).reshape(-1, 1), np.array([0.0, 1, 0, 1, 0, 1])
    source = InMemory.of(make_problem(x, y, np.float64, loss=LOSSES[loss]))
    ready = prepare(source, "float64", intercept=False, standardize=False)
    far = Excess(1.0, 0.5, 2.0, 1e6, False, 40_000, 30_000, None, 1.0, "newton")
    fit = Fit("numpy", (0.0,), 1.5, 20, 0.1, "steps", (), ())
    assert after(far, fit, ready).endswith(remedy)
