"""Test the Triton code that is generated from a loss's slope."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from backends.errors import BackendError
from backends.losses import FUNCTIONS, LOSSES, Loss
from backends.onepass import reason_against
from backends.onepass.formula import source_of
from tests.support import interpreted
from tests.support.functions import functions_in
from tests.support.losses import QUANTILE

SCALE = 0.1 + 0.2


def own(slope: Any) -> Loss:
    return Loss("own-01234567", lambda xp, p, y: p, slope)


class Numbers(np.ndarray):
    """A NumPy array with the method ``to`` of Triton's tensors."""

    def to(self, dtype: Any) -> Any:
        return self.astype(dtype)


def evaluate(loss: Loss, p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Run the generated Triton code with NumPy in place of Triton."""
    language = SimpleNamespace(
        **{name: getattr(np, name) for name in ("exp", "log", "sqrt", "abs")},
        where=lambda *of: np.where(*of).view(Numbers),
        full=lambda shape, value, dtype: np.full(shape, value, dtype),
        minimum=lambda a, b, propagate_nan: np.minimum(a, b),
        maximum=lambda a, b, propagate_nan: np.maximum(a, b),
        PropagateNan=SimpleNamespace(ALL=True),
    )
    names: dict[str, Any] = {"tl": language, "log1p": np.log1p, "tanh": np.tanh}
    exec(source_of(loss), names)  # noqa: S102
    return np.asarray(names["slope"](p.view(Numbers), y.view(Numbers)))


def everything(xp: Any, p: Any, y: Any) -> Any:
    """Return a slope that uses every operation that a loss may use.

    Its constants have many digits.
    """
    r = SCALE * (p - y)
    mask = (p > 0) | (y <= -0.5) & ~(p != y) ^ (p >= 0.7)
    a = xp.where(mask, xp.exp(-abs(r)), 1 / 3) + (p < y) * 0.1 - (p == y)
    b = 2 - xp.log1p(xp.abs(p)) / (1.5 + xp.tanh(y)) + xp.log(1 + p**2) - xp.sqrt(1 + y * y)
    return xp.clip(a, -0.9, SCALE) + xp.minimum(b, math.inf) - xp.maximum(-math.inf, +y)


@pytest.mark.parametrize("slope", [everything, interpreted.OWN.slope])
def test_the_tested_slopes_use_every_function_that_a_loss_may_use(slope: Any) -> None:
    """Check that the slopes in the tests together call every function that a loss may use."""
    assert functions_in(slope) == set(FUNCTIONS)


@pytest.mark.parametrize(
    "loss", [*LOSSES.values(), own(everything), QUANTILE], ids=lambda loss: loss.name
)
def test_a_written_slope_is_the_slope_to_the_last_bit(loss: Loss) -> None:
    rng = np.random.default_rng(0)
    p, y = 3 * rng.standard_normal(1000), rng.integers(0, 2, 1000).astype(np.float64)
    p[:3] = y[:3]
    expected = loss.slope(np, p, y)  # type: ignore[misc]
    np.testing.assert_array_equal(evaluate(loss, p, y), expected)


@pytest.mark.parametrize(
    ("slope", "says"),
    [
        (lambda xp, p, y: p if p > 0 else y, "branches on a row's value; write xp.where"),
        (lambda xp, p, y: np.sqrt(p), "calls numpy.sqrt; use the functions of xp"),
        (lambda xp, p, y: xp.sin(p), "sin"),
        (lambda xp, p, y: p**0.5, "a whole exponent from 1 to 8"),
        (lambda xp, p, y: xp.where(p, p, y), "where needs a condition"),
        (lambda xp, p, y: (p > 0) & y, "& needs two conditions"),
        (lambda xp, p, y: None, "float"),
        (None, "defines no slope"),
    ],
)
def test_a_slope_that_cannot_be_written_is_explained_in_a_line(slope: Any, says: str) -> None:
    with pytest.raises(BackendError, match=r"^the slope of own-01|^own-01") as caught:
        source_of(own(slope))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_library_costs_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.onepass.find_spec", lambda module: module == "triton" or None)
    reason = "jax-triton is not installed: pip install jax-triton"
    assert reason_against(own(lambda xp, p, y: p), "jax_triton") == reason
    assert reason_against(own(lambda xp, p, y: p - y), "triton") == ""
    assert "write xp.where" in reason_against(own(lambda xp, p, y: p or y))
