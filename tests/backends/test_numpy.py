"""NumPy's blocks and its Gram matrix: sizes, threads, every row once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from backends import generate

RATE = 0.001


@pytest.mark.parametrize("features", [1, 2, 16, 17])
def test_numpys_blocks_stay_in_cache_and_hold_every_row_once(features: int) -> None:
    from backends.numpy import Blocked

    problem = generate(300_007, features)
    descent = Blocked(problem, RATE, "cpu")
    blocks = [block for share, _ in descent.shares for block in share]
    rows = np.concatenate([np.arange(problem.rows)[block] for block in blocks])
    np.testing.assert_array_equal(np.sort(rows), np.arange(problem.rows))
    largest = max(problem.x[block].nbytes for block in blocks)
    assert (1 << 20) - 4 * features < largest <= 1 << 20
    assert descent.by_column is (2 <= features <= 16)


def test_numpys_blocks_of_little_data_are_one_threads() -> None:
    """Below 8 MB a step, x and y, the others would take longer to wake up."""
    from backends.numpy import Blocked, most_threads

    for rows, threads in (((1 << 20) - 1, 1), (1 << 20, most_threads())):
        assert len(Blocked(generate(rows), RATE, "cpu").shares) == threads


def test_numpys_blas_has_one_thread_while_the_blocks_have_them_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from backends import numpy as module

    seen: list[int] = []

    def spied(of: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: (seen.append(module.most_threads()), of(*arguments))[1]

    before, problem = module.most_threads(), generate(600_007, 3)
    monkeypatch.setattr(module.Blocked, "_sums", spied(module.Blocked._sums))
    module.Blocked(problem, RATE, "cpu").run(np.zeros(3), 2)
    assert len(seen) == 2 * before
    monkeypatch.setattr(module, "gram_of", spied(module.gram_of))
    module.Gram(problem, RATE, "cpu")
    assert len(seen) > 2 * before
    assert {*seen} == {1}
    assert module.most_threads() == before


def test_numpys_gram_converts_blocks_of_a_mebibyte_or_less_than_a_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For one feature and many rows, only the rest after the last piece is converted."""
    from backends import numpy as module

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
