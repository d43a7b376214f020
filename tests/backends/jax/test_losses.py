"""Test losses with JAX's blocks: the rows that fill up the last block add nothing."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("jax", reason="jax is not installed")

from backends.jax import blocked, loop
from backends.losses import LOG_LOSS, SQUARED_ERROR, Loss
from tests.support import losses as check


@pytest.mark.parametrize("loss", [SQUARED_ERROR, LOG_LOSS], ids=lambda loss: loss.name)
@pytest.mark.parametrize("features", [1, 9, 65])
def test_filled_up_blocks_and_shares_add_nothing(
    loss: Loss, features: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that extra rows, which fill up short shares, add nothing to the sums."""
    monkeypatch.setattr(blocked, "processors", lambda: 3)
    monkeypatch.setattr(blocked.Blocked, "SERIAL_BYTES", 0)
    for rows in (1, 2, 1009, 20_011):
        data = check.problem(rows, features, "float64", loss)
        placed = blocked.Blocked(data, check.RATE, "cpu")
        assert len(placed.shares) == 3
        check.check(placed, loss, data, check.start(features), steps=2)
        if rows > 20_000:
            one = loop.PerStep(data, check.RATE, "cpu")
            check.check(one, loss, data, check.start(features), steps=2)


def test_an_infinite_loss_of_a_row_that_fills_up_a_block_does_not_count() -> None:
    """Check that extra rows, whose target is 0, add nothing even if their loss is infinite."""
    positive = Loss(
        "positive",
        lambda xp, p, y: p + xp.exp(-p) * y + xp.log(y),
        lambda xp, p, y: 1.0 - xp.exp(-p) * y,
        targets=lambda z, u: np.asarray(0.5 + u),
    )
    data = check.problem(20_011, 9, "float64", positive)
    for kind in (blocked.Blocked, loop.PerStep):
        check.check(kind(data, check.RATE, "cpu"), positive, data, check.start(9))
