"""Test PyTorch's technique that uses ``backward``."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backends import generate, open_backend

RATE = 0.001


def test_torch_calls_backward_once_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    backward, calls = torch.Tensor.backward, []

    def spy(loss: Any) -> None:
        calls.append(loss)
        backward(loss)

    monkeypatch.setattr(torch.Tensor, "backward", spy)
    open_backend("torch").place(generate(100), RATE).run(np.ones(1), 7)
    assert len(calls) == 7
