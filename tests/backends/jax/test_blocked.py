"""Test JAX's blocks of rows: every row is used once, and zeros fill up the last block."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("jax", reason="jax is not installed")

from backends.jax import blocked, gram, layout
from backends.problem import TOLERANCE, Problem

WHERE_JAX_LENDS = 64
"""Alignment in bytes of arrays that jax.device_put uses without a copy."""


def beginning_at(items: int, values: np.ndarray) -> np.ndarray:
    """Return a copy of `values` that begins `items` items after an aligned address."""
    room = np.empty(len(values) + 16 + items, values.dtype)
    first = -room.ctypes.data % WHERE_JAX_LENDS // values.itemsize + items
    copy = room[first : first + len(values)]
    copy[:] = values
    return copy


@given(
    rows=st.integers(1, 5000),
    features=st.sampled_from([1, 2, 3, 63, 64, 65, 200]),
    threads=st.integers(1, 5),
    dtype=st.sampled_from(list(TOLERANCE)),
)
def test_shares_hold_every_row_once(rows: int, features: int, threads: int, dtype: str) -> None:
    y = np.arange(1, rows + 1, dtype=dtype)
    x = np.multiply.outer(y, np.arange(1, features + 1, dtype=dtype))
    shares = blocked.in_shares(Problem(x, y), threads)
    assert len(shares) == threads
    found = []
    for xs, ys in shares:
        if isinstance(xs, tuple):
            (column,) = xs
            xs = column[:, None]
        assert xs.ctypes.data % WHERE_JAX_LENDS == ys.ctypes.data % WHERE_JAX_LENDS == 0
        if features <= blocked.MOST_TRANSPOSED:
            xs = xs.swapaxes(1, 2)
        found.append((xs.reshape(-1, features), ys.reshape(-1)))
    all_x, all_y = (np.concatenate(parts) for parts in zip(*found, strict=True))
    assert np.array_equal(all_x[:rows], x)
    assert np.array_equal(all_y[:rows], y)
    assert not all_x[rows:].any()
    assert not all_y[rows:].any()


@given(
    rows=st.integers(1, 5000),
    of_x=st.integers(0, 15),
    of_y=st.integers(0, 15),
    dtype=st.sampled_from(list(TOLERANCE)),
)
def test_blocks_of_one_feature_hold_every_row_once(
    rows: int, of_x: int, of_y: int, dtype: str
) -> None:
    y = beginning_at(of_y, np.arange(1, rows + 1, dtype=dtype))
    x = beginning_at(of_x, 2 * y)[:, None]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gram, "LANES", 16)
        patch.setattr(gram, "LINE_ROWS", 256)
        blocks = gram.line_blocks(x, y)
    (length,) = {len(ys) for _, ys in blocks}
    assert length in (16, 32, 64, 128, 256)  # only these shapes are compiled
    assert length < max(17, 2 * rows)
    all_x, all_y = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    assert np.array_equal(np.sort(all_y[all_y > 0]), y)
    assert np.array_equal(all_x[:, 0], 2 * all_y)
    if (x.ctypes.data - y.ctypes.data) % WHERE_JAX_LENDS == 0:
        within = [block for block in blocks if np.shares_memory(block[0], x)]
        assert len(blocks) - len(within) <= 2
        assert all(v.ctypes.data % WHERE_JAX_LENDS == 0 for block in within for v in block)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_a_place_that_jax_takes_without_a_copy(dtype: str) -> None:
    import jax

    array = layout.aligned((3, 5), np.dtype(dtype))
    assert array.shape == (3, 5)
    assert jax.device_put(array).unsafe_buffer_pointer() == array.ctypes.data


def test_shares_that_jax_takes_without_a_copy_are_not_copied() -> None:
    x = layout.aligned((1024, 200), np.dtype("float32"))
    y = layout.aligned((1024,), x.dtype)
    x[:], y[:] = 1, 1
    for xs, ys in blocked.in_shares(Problem(x, y), 2, transposed=False):
        assert np.shares_memory(xs, x)
        assert np.shares_memory(ys, y)
