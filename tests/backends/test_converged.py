"""Test that converged weights agree with the minimum that SciPy finds, for every loss."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backends.losses import HUBER, LOG_LOSS, LOSSES, Loss
from tests.support import converged as check
from tests.support.backends import for_loss


@pytest.mark.parametrize("backend", for_loss(LOG_LOSS))
@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_converged_weights_are_scipys(backend: str, loss: Loss) -> None:
    check.check_converged(backend, loss)


@pytest.mark.parametrize("backend", for_loss(LOG_LOSS))
@pytest.mark.parametrize("loss", [LOG_LOSS, HUBER], ids=lambda loss: loss.name)
def test_a_curvature_that_is_too_small_is_noticed(backend: str, loss: Loss) -> None:
    """Check that a wrong curvature is noticed: the automatic rate is too large to converge."""
    assert loss.curvature is not None
    with pytest.raises(AssertionError):
        check.check_converged(backend, replace(loss, curvature=loss.curvature / 40))
