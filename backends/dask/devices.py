"""List the devices that Dask's workers can use."""

from __future__ import annotations

import os
from collections.abc import Mapping

from backends import catalogue
from backends.dask.cluster import SCHEDULER
from backends.errors import MissingLibraryError
from backends.losses import Loss
from backends.names import Name, libraries


def devices(technique: str) -> Mapping[str, str]:
    """Return a dictionary whose keys are the devices of a technique.

    The value is "" for a usable device, and otherwise the reason why the device is unusable.
    Only the technique `torch` can use GPUs. The device ``cuda:0`` is listed if this machine has
    a GPU, or if the workers can be on other machines.
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
    """Return why a technique cannot compute a loss, or "" if it can compute the loss.

    Only the technique `numba` compiles the loss, which is not possible for every loss. For all
    other techniques, the result is "".
    """
    kernel = Name("numba", "parallel")
    return catalogue.reason_against(kernel, loss) if technique == "numba" else ""
