"""Test NumPy's blocks and its Gram matrix: block sizes, threads, and that no row is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from backends import generate
from backends.losses import LOSSES, Loss
from backends.numpy import slopes

RATE = 0.001


@pytest.mark.parametrize("features", [1, 2, 16, 17])
def test_numpys_blocks_stay_in_cache_and_hold_every_row_once(features: int) -> None:
    from backends.numpy import Blocked

    problem = generate(300_007, features)
    descent = Blocked(problem, RATE, "cpu").blocks
    blocks = [block for share, _ in descent.shares for block in share]
    rows = np.concatenate([np.arange(problem.rows)[block] for block in blocks])
    np.testing.assert_array_equal(np.sort(rows), np.arange(problem.rows))
    largest = max(problem.x[block].nbytes for block in blocks)
    assert (1 << 20) - 4 * features < largest <= 1 << 20
    assert descent.by_column is (2 <= features <= 16)


def test_numpys_blocks_of_little_data_are_one_threads() -> None:
    """Check that one thread computes data below 6 MB; waking others would take longer."""
    from backends.numpy import Blocked
    from backends.numpy.threads import most_threads

    for rows, threads in ((786_431, 1), (786_432, most_threads())):
        assert len(Blocked(generate(rows), RATE, "cpu").blocks.shares) == threads


def test_large_numpy_blocks_leave_a_block_for_every_thread() -> None:
    from backends.numpy import Blocked

    problem = generate(1_000_003)
    choice = {"by_column": 0, "block_bytes": 1 << 22, "threads": 2}
    shares = Blocked(problem, RATE, "cpu")._blocks(problem.rows, choice).shares
    (first,), (second,) = (blocks for blocks, _ in shares)
    assert (first.start, first.stop) == (0, second.start)
    assert second.stop >= problem.rows
    assert 0 <= second.start - (problem.rows - second.start) < 200


def test_numpys_blas_has_one_thread_while_the_blocks_have_them_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from backends.numpy import blocked, gram
    from backends.numpy.threads import most_threads

    seen: list[int] = []

    def spied(of: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: (seen.append(most_threads()), of(*arguments))[1]

    before, problem = most_threads(), generate(600_007, 3)
    monkeypatch.setattr(blocked.Blocks, "sums", spied(blocked.Blocks.sums))
    blocked.Blocked(problem, RATE, "cpu").run(np.zeros(3), 2)
    assert len(seen) == 2 * before
    monkeypatch.setattr(gram, "gram_of", spied(gram.gram_of))
    gram.Gram(problem, RATE, "cpu")
    assert len(seen) > 2 * before
    assert {*seen} == {1}
    assert most_threads() == before


def test_numpys_gram_converts_blocks_of_a_mebibyte_or_less_than_a_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Check how many bytes are converted to float64 at a time.

    For one feature and many rows, only the rows after the last full piece are converted.
    """
    from backends.numpy import gram as module

    gram_of, converted = module.gram_of, list[int]()

    def spy(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        converted.append(8 * x.size)
        return gram_of(x, y)

    monkeypatch.setattr(module, "gram_of", spy)
    module.Gram(generate(300_007, 3), RATE, "cpu")
    assert (1 << 20) - 3 * 8 < max(converted) <= 1 << 20
    converted.clear()
    line = generate(1000)
    module.line_gram_of(line.x, line.y)
    assert converted == [8 * (1000 % 256)]
    for rows, all_of_it in ((1 << 18) - 1, True), (1 << 18, False):
        converted.clear()
        module.Gram(generate(rows), RATE, "cpu")
        assert (sum(converted) == 8 * rows) is all_of_it


# slopes of a block of rows

FAR = np.concatenate([np.linspace(-30, 30, 241), [-1e4, -200, -90, 0, 90, 200, 1e4]])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.name)
def test_a_slope_in_place_is_the_losses_and_takes_no_other_memory(
    loss: Loss, dtype: str
) -> None:
    assert loss.slope is not None
    p = FAR.astype(dtype)
    p = p[p < 80] if loss.name == "poisson" else p
    y = (np.arange(len(p)) % 2).astype(dtype)
    expected = loss.slope(np, p.astype(np.float64), y.astype(np.float64))
    kept = p.copy()
    with np.errstate(all="raise", under="ignore"):
        found = slopes.in_place(loss)(kept, y)
    assert found is kept
    accuracy = 1e-6 if dtype == "float32" else 1e-14
    np.testing.assert_allclose(found, expected, accuracy, accuracy)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [100, slopes.BRANCHING_SIZE + 1])
def test_where_selects_as_numpys_does(count: int, dtype: str) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, count)).astype(dtype)
    a[:4], b[:4] = (np.nan, np.inf, -0.0, 1.0), (1.0, -np.inf, 0.0, np.nan)
    condition = rng.random(count) < 0.5
    for yes, no in ((a, b), (a, 1.5), (-2.0, b), (a, 0)):
        found, expected = slopes.where(condition, yes, no), np.where(condition, yes, no)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    assert slopes.where(True, 1.0, 2.0) == 1.0


def test_a_loss_of_ones_own_may_use_where() -> None:
    hinge = Loss(
        "hinge",
        lambda xp, p, y: xp.maximum(1.0 - y * p, 0.0),
        lambda xp, p, y: xp.where(y * p < 1.0, -y, 0.0),
    )
    assert hinge.slope is not None
    p, y = np.random.default_rng(0).normal(size=(2, 10_000)).astype(np.float32)
    expected = hinge.slope(np, p, y)
    found = slopes.in_place(hinge)(p.copy(), y)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
