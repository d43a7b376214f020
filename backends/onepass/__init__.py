"""A Triton kernel for PyTorch and JAX that reads the rows once per step on a GPU."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

from backends.errors import BackendError
from backends.losses import Loss
from backends.onepass.formula import source_of

FEWEST_FEATURES = 3
"""Smallest number of features for which JAX uses the kernel. With one or two features, JAX
without the kernel also reads X once per step."""

MOST_FEATURES = 8192
"""Largest number of features for which the kernel is used. A longer row would not fit in the
registers of a Triton program."""


@cache
def reason_against(loss: Loss, module: str = "triton") -> str:
    """Return why the kernel cannot compute a loss's gradient on a GPU ("" if it can).

    `module` is the import name of a library that is needed to call the kernel.
    """
    for needed in ("triton", module):
        if find_spec(needed) is None:
            package = needed.replace("_", "-")
            return f"{package} is not installed: pip install {package}"
    try:
        source_of(loss)
    except BackendError as error:
        return str(error)
    return ""
