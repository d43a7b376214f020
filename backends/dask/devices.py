"""The devices of Dask's workers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.util import find_spec

from backends.dask.cluster import (
    SCHEDULER,
)
from backends.names import libraries


def devices(technique: str) -> Mapping[str, str]:
    """The workers' CPUs; with PyTorch, a GPU a worker."""
    kernel = libraries()[technique or "numpy"]
    if find_spec(kernel.imports) is None:
        return {"cpu": f"{kernel.name} is not installed: {kernel.install}"}
    if technique != "torch":
        return {"cpu": ""}
    import torch

    gpus = torch.cuda.is_available() or SCHEDULER in os.environ
    return {"cpu": ""} | ({"cuda:0": ""} if gpus else {})


def peak_device_bytes(device: str) -> int | None:
    """The workers' memory is not this process's."""
    return None
