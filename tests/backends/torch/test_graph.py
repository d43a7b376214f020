"""Test the step that is recorded as a CUDA graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backends import catalogue, generate, names
from backends.losses import LOSSES
from backends.reference import relative_error
from tests.support import losses


@pytest.mark.parametrize(
    ("features", "name"), [(1, "squared_error"), (3, "squared_error"), (3, "log_loss")]
)
def test_what_a_cuda_graph_records_is_a_step(features: int, name: str) -> None:
    """Check the step that a CUDA graph would record; recording itself needs a GPU."""
    pytest.importorskip("torch")
    if reason := catalogue.devices(names.libraries()["torch"], "compile")["cpu"]:
        pytest.skip(reason)
    from backends.torch.graph import Graph

    loss = LOSSES[name]
    data = generate(200, features, np.float32, loss=loss)
    descent: Any = Graph(data, losses.RATE, "cpu")
    for _ in range(7):
        descent._step()
    if name == "squared_error":
        expected = data.reference.iterate(7, losses.RATE, np.zeros(features))
    else:
        expected = losses.descended(loss, data, np.zeros(features), 7)
    assert relative_error(descent.weights.numpy(), expected) <= 1e-5
