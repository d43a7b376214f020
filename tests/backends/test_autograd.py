"""Test which techniques compute gradients by their library's autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from backends import generate, open_backend
from backends.problem import TOLERANCE
from backends.reference import relative_error
from tests.support.fresh import fresh

RATE = 0.001


def doubled(derive: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that differentiates twice the function, as a wrong library would."""
    return lambda function: derive(lambda *arguments: 2 * function(*arguments))


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        ("torch", 2),
        ("torch:compile", 2),
        ("torch:analytic", 1),
        ("jax", 2),
        ("jax:loop", 2),
        ("jax:blocked", 2),
    ],
)
@pytest.mark.parametrize("features", [1, 3])
def test_the_gradient_is_the_librarys(
    monkeypatch: pytest.MonkeyPatch, backend: str, expected: int, features: int
) -> None:
    """Replace the library's autograd by one whose gradients are twice as large.

    Only techniques with autograd must then take steps that are twice as large.
    """
    library = backend.partition(":")[0]
    pytest.importorskip(library)
    if library == "torch":
        import torch

        backward = torch.Tensor.backward
        monkeypatch.setattr(torch.Tensor, "backward", lambda loss: backward(2 * loss))
        monkeypatch.setattr(torch.func, "grad", doubled(torch.func.grad))
    else:
        import jax

        monkeypatch.setattr(jax, "grad", doubled(jax.grad))
    problem, w0 = generate(100, features, "float64"), np.ones(features)
    with fresh(library):
        w = open_backend(backend).place(problem, RATE).run(w0, 5)
    reference = problem.reference.iterate(5, expected * RATE, w0)
    assert relative_error(w, reference) <= TOLERANCE["float64"]
