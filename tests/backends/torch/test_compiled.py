"""Test the layout of data with few features for PyTorch's compiler."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")

import torch

from backends.losses import LOG_LOSS
from backends.torch.compiled import COLUMN_BYTES, in_columns, mean_loss
from backends.torch.namespace import values_of


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rows", [1, 5, 1024, 4099])
def test_columns_hold_all_values_and_are_no_multiple_of_a_page_apart(
    rows: int, dtype: torch.dtype
) -> None:
    x = torch.arange(3 * rows, dtype=dtype).reshape(rows, 3)
    columns = in_columns(x)
    np.testing.assert_array_equal(columns, x.T)
    apart = columns.stride(0) * columns.itemsize
    assert columns.stride(1) == 1
    assert apart % COLUMN_BYTES not in (0, COLUMN_BYTES // 2)


def test_the_mean_loss_of_columns_is_that_of_rows() -> None:
    rng = np.random.default_rng(0)
    x, w = torch.tensor(rng.normal(size=(100, 7))), torch.tensor(rng.normal(size=7))
    y, values = (torch.arange(100) % 2).double(), values_of(LOG_LOSS)

    def gradient(x: torch.Tensor, by_column: bool) -> torch.Tensor:
        def mean(w: torch.Tensor) -> torch.Tensor:
            return mean_loss(values, w, x, y, by_column)

        return torch.func.grad(mean)(w)

    np.testing.assert_allclose(gradient(in_columns(x), True), gradient(x, False), 1e-13)
