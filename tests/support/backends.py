"""Test parameters for the backends of the catalogue."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from backends import catalogue
from backends.losses import Loss
from backends.names import BUILT_IN, GRAM, Name

NUMPY_LOOPS = [
    str(Name(library.name, technique))
    for library in BUILT_IN
    if library.name == "numpy"
    for technique in library.techniques
    if technique != GRAM
]
"""NumPy's backends that work for every loss with a slope: all but `gram`."""


def parameters(wanted: Callable[[Name], bool] = lambda name: True) -> list[object]:
    """Return pytest parameters with the names of the backends for which `wanted` returns True.

    A backend that cannot run on this machine is skipped with the reason. Distributed backends
    are left out; tests/backends/dask/ tests them with several workers.
    """
    params = []
    for entry in catalogue.entries():
        if entry.name.distributed or not wanted(entry.name):
            continue
        marks = [pytest.mark.gpu] if entry.name.device.startswith("cuda") else []
        if not entry.available:
            marks.append(pytest.mark.skip(reason=f"{entry.name}: {entry.reason}"))
        params.append(pytest.param(str(entry.name), id=str(entry.name), marks=marks))
    return params


def for_loss(loss: Loss) -> list[object]:
    """Return pytest parameters with the names of the backends that work for the loss."""
    return parameters(lambda name: not catalogue.reason_against(name, loss))
