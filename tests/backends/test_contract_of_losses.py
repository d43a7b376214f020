"""Test that every backend works with every loss it supports, and refuses other losses."""

from __future__ import annotations

import pytest

from backends import catalogue
from backends.catalogue import reason_against
from backends.losses import LOG_LOSS, LOSSES
from backends.names import BUILT_IN, GRAM, Name
from backends.problem import DTYPES
from tests.support import losses as check
from tests.support.backends import NUMPY_LOOPS, for_loss, parameters

FEATURES = (1, 2, 7, 32, 500)


for_any_slope = pytest.mark.parametrize("backend", for_loss(LOG_LOSS))


@for_any_slope
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", check.NAMES)
def test_iterates_gradient_and_loss_equal_float64(backend: str, loss: str, dtype: str) -> None:
    for features in FEATURES:
        check.check_loss(backend, LOSSES[loss], dtype, features)


@for_any_slope
@pytest.mark.parametrize("features", [1, 3, 9])
def test_many_rows_in_blocks_and_by_threads(backend: str, features: int) -> None:
    check.check_loss(backend, LOG_LOSS, "float32", features, rows=300_007)


@for_any_slope
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", [n for n in check.NAMES if LOSSES[n].curvature is not None])
def test_far_predictions_are_finite(backend: str, loss: str, dtype: str) -> None:
    for features in (1, 7):
        check.check_far_predictions(backend, LOSSES[loss], dtype, features)


@pytest.mark.parametrize("backend", for_loss(check.VALUE_ONLY))
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_users_value_is_differentiated(backend: str, dtype: str) -> None:
    check.check_value_only(backend, dtype)


@for_any_slope
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("features", [1, 3])
def test_a_users_slope_may_be_one_of_two_numbers(
    backend: str, dtype: str, features: int
) -> None:
    """Fixed bug: PyTorch's ``where`` rounded 0.1 and −0.9 to float32 for float64 rows."""
    check.check_quantile(backend, dtype, features)


@pytest.mark.parametrize(
    "backend", parameters(lambda name: bool(reason_against(name, check.VALUE_ONLY)))
)
def test_without_a_slope_the_reason_is_one_line(backend: str) -> None:
    if reason_against(Name.parse(backend), LOG_LOSS):
        check.check_refusal(backend, check.VALUE_ONLY, r"squared_error only, not for pseudo")
    else:
        says = r"needs a slope, which pseudo_huber.* does not define; .*: torch, .*jax"
        check.check_refusal(backend, check.VALUE_ONLY, says)


def test_every_technique_but_gram_works_for_every_loss_with_a_slope() -> None:
    without = {
        str(name)
        for library in BUILT_IN
        if not library.distributed
        for name in (Name(library.name, technique) for technique in library.techniques)
        if reason_against(name, LOG_LOSS)
    }
    with_gram = (library.name for library in BUILT_IN if GRAM in library.techniques)
    assert without == {f"{name}:gram" for name in with_gram}
    assert list(map(str, catalogue.select(["numpy*"], loss=LOG_LOSS))) == NUMPY_LOOPS
