"""The catalogue's backends as parameters of tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from backends import catalogue
from backends.losses import Loss
from backends.names import Name


def parameters(wanted: Callable[[Name], bool] = lambda name: True) -> list[object]:
    """Every backend that the catalogue knows; one that cannot run is a skip with its reason.

    Distributed ones are left out: tests/backends/dask/ asks the same of several workers.
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
    """Every backend that works for the loss, as `parameters` returns them."""
    return parameters(lambda name: not catalogue.reason_against(name, loss))
