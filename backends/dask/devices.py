"""The devices of Dask's workers."""

from __future__ import annotations

import os
from collections.abc import Mapping

from backends import catalogue
from backends.dask.cluster import SCHEDULER
from backends.errors import MissingLibraryError
from backends.losses import Loss
from backends.names import Name, libraries


def devices(technique: str) -> Mapping[str, str]:
    """Return the devices of a technique: the workers' CPUs and, for PyTorch, a GPU per worker.

    Workers on another machine may have a GPU even if this machine has none.
    """
    kernel = libraries()[technique or "numpy"]
    try:
        if technique != "torch":
            catalogue.check_installed(kernel)  # without an import, which takes seconds
            return {"cpu": ""}
        gpus = any(device.startswith("cuda") for device in catalogue.devices(kernel))
    except MissingLibraryError as error:
        return {"cpu": str(error)}
    return {"cpu": ""} | ({"cuda:0": ""} if gpus or SCHEDULER in os.environ else {})


def refusal(technique: str, loss: Loss) -> str:
    """Return the reason why Numba's kernel cannot run a user's loss ("" if it can)."""
    kernel = Name("numba", "parallel")
    return catalogue.reason_against(kernel, loss) if technique == "numba" else ""
