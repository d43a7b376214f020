"""Load jax-triton, which calls a Triton kernel from a program that JAX compiles."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from functools import cache, partial
from typing import Any, cast

from backends.losses import Loss
from backends.names import first_line
from backends.onepass import reason_against


@cache
def reason_against_one_pass(loss: Loss) -> str:
    """Return why the Triton kernel cannot be used for a loss ("" if it can)."""
    if reason := reason_against(loss, "jax_triton"):
        return reason
    try:
        triton_call()
    except Exception as error:  # jax-triton uses internals of JAX and Triton, which may change
        return f"jax-triton does not start: {first_line(error)}"
    return ""


@cache
def triton_call() -> Callable[..., Any]:
    """Return ``jax_triton.triton_call``, which takes the output's type as `out_type`.

    Some versions of jax-triton call this argument `out_shape`. Importing jax-triton changes the
    environment variable of Triton's cache folder. The old value is restored, because PyTorch
    can depend on it.
    """
    folder = os.environ.get("TRITON_CACHE_DIR")
    try:
        from jax_triton import triton_call as call
    finally:
        os.environ.pop("TRITON_CACHE_DIR", None)
        if folder is not None:
            os.environ["TRITON_CACHE_DIR"] = folder
    parameters = inspect.signature(call).parameters
    if "backend_options" in parameters:  # Triton's default of this option changes in 3.10
        call = partial(call, backend_options={"enable_fp_fusion": True})
    if "out_type" in parameters:
        return cast(Callable[..., Any], call)
    return lambda *args, out_type, **options: call(*args, out_shape=out_type, **options)
