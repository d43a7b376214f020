"""The step that a CUDA graph records."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from backends import catalogue, generate, names
from backends.reference import relative_error


@pytest.mark.parametrize("features", [1, 3])
def test_what_a_cuda_graph_records_is_a_step(features: int) -> None:
    """Recording needs CUDA; what is recorded does not."""
    pytest.importorskip("torch")
    if reason := catalogue.devices(names.libraries()["torch"], "compile")["cpu"]:
        pytest.skip(reason)
    from backends.torch.graph import Graph

    data = generate(200, features, np.float32)
    descent: Any = Graph(data, 0.001, "cpu")
    for _ in range(7):
        descent._step()
    expected = data.reference.iterate(7, 0.001, np.zeros(features))
    assert relative_error(descent.weights.numpy(), expected) <= 1e-5
