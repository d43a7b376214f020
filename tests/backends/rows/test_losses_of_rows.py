"""Test rows with a loss: generated targets, checks of targets, and incomplete blocks."""

from __future__ import annotations

import numpy as np
import pytest

from backends import Problem, ProblemError, generate
from backends.losses import LOG_LOSS, LOSSES, SQUARED_ERROR, Loss
from backends.rows.datafile import open_source
from backends.rows.made import Generated, InMemory
from backends.rows.streamed import Streamed
from tests.support.any_loss import BySlope

ROWS = 20_011

POSITIVE = Loss(
    "positive",
    lambda xp, p, y: p + xp.exp(-p) * y + xp.log(y),  # infinite at a target of 0
    lambda xp, p, y: 1.0 - xp.exp(-p) * y,
    accepts=lambda y: y > 0,
    domain="targets above 0",
    targets=lambda z, u: 0.5 + u,
)

ALL = [*LOSSES.values(), POSITIVE]


@pytest.mark.parametrize("loss", ALL, ids=lambda loss: loss.name)
@pytest.mark.parametrize("features", [1, 3])
def test_blocks_come_to_the_whole_gradient_and_loss(loss: Loss, features: int) -> None:
    """Compare a descent over blocks with one over all rows; the last block is incomplete."""
    source = Generated(ROWS, features, "float64", loss=loss)
    descent = Streamed(BySlope, source, 0.001, source.bytes_per_step // 5)
    whole = BySlope.place(generate(ROWS, features, "float64", loss=loss), 0.001)
    w = np.full(features, 0.1)
    np.testing.assert_allclose(descent.gradient(w), whole.gradient(w), 1e-12)
    np.testing.assert_allclose(descent.loss(w), whole.loss(w), 1e-12)
    np.testing.assert_allclose(descent.run(w, 3), whole.run(w, 3), 1e-12)


@pytest.mark.parametrize("loss", ALL, ids=lambda loss: loss.name)
def test_ranges_of_generated_rows_are_those_of_the_whole(loss: Loss) -> None:
    source = Generated(ROWS, 3, loss=loss)
    part, whole = source.load(100, 9000), source.load()
    assert whole.loss is part.loss is loss
    np.testing.assert_array_equal(part.y, whole.y[100:9000])
    assert source.sample(50).loss is loss


def test_another_loss_of_generated_rows_has_other_targets() -> None:
    source = Generated(1000)
    assert source.reference.moment[0] > 1.5 * Generated(1000, loss=LOG_LOSS).reference.moment[0]
    other = source.with_loss(LOG_LOSS)
    assert set(other.load().y) == {0, 1}
    assert other.reference.moment[0] == Generated(1000, loss=LOG_LOSS).reference.moment[0]
    assert source.loss is SQUARED_ERROR


@pytest.mark.parametrize("kind", ["npy", "csv"])
def test_a_files_target_that_the_loss_does_not_accept_is_named_by_row(kind, tmp_path) -> None:
    """Check the error for a target that the loss does not accept, in memory and streamed.

    Without a check, this target would not be noticed, because all sums are finite.
    """
    rows = np.random.default_rng(0).random((ROWS, 2))
    rows[:, 1] = rows[:, 0] > 0.5
    rows[ROWS - 3, 1] = 2
    path = tmp_path / f"rows.{kind}"
    np.save(path, rows) if kind == "npy" else np.savetxt(path, rows, delimiter=",")
    source = open_source(path, dtype="float64")
    found = rf"y is 2 in row {ROWS - 2}; log_loss needs targets of 0 or 1"
    with pytest.raises(ProblemError, match=found):
        source.with_loss(LOG_LOSS).load()
    if kind == "npy":
        streamed = Streamed(BySlope, source.with_loss(LOG_LOSS), 0.1, 1 << 16)
        with pytest.raises(ProblemError, match=found):
            streamed.run([0.0], 1)


def test_a_loss_that_needs_targets_above_0_accepts_the_last_block(tmp_path) -> None:
    """Check that extra rows cause no error with a loss that needs targets above 0."""
    np.save(tmp_path / "rows.npy", np.random.default_rng(0).random((ROWS, 2)) + 0.5)
    source = open_source(tmp_path / "rows.npy").with_loss(POSITIVE)
    assert source.load().loss is POSITIVE
    assert np.isfinite(Streamed(BySlope, source, 0.1, 1 << 15).loss([0.1]))


def test_rows_in_memory_are_checked_when_they_get_a_loss() -> None:
    source = InMemory.of(Problem(np.arange(3.0), np.array([0.0, 1, 5])))
    with pytest.raises(ProblemError, match="y is 5 in row 3"):
        source.with_loss(LOG_LOSS)
    good = InMemory.of(Problem(np.arange(3.0), np.array([0.0, 1, 1]))).with_loss(LOG_LOSS)
    assert good.load().loss is good.problem.loss is LOG_LOSS
