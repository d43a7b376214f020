"""A Triton kernel for PyTorch and JAX that reads the rows once per step on a GPU."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

from backends.errors import BackendError
from backends.losses import Loss
from backends.onepass.formula import source_of

FEWEST_FEATURES = 3
"""Smallest number of features for which JAX uses the Triton kernel. With one or two features,
JAX reads X only once per step even without the kernel."""

MOST_FEATURES = 8192
"""Largest number of features for which the Triton kernel is used. A longer row would not fit in
the registers of a program (instance of the kernel)."""


@cache
def reason_against(loss: Loss, module: str = "triton") -> str:
    """Return why the Triton kernel cannot compute a loss's gradient on a GPU ("" if it can).

    `module` is the import name of the library that calls the kernel, such as ``jax_triton``.
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
