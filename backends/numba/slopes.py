"""Slopes of losses, ∂loss/∂prediction, as arguments of compiled loops."""

# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import hashlib
from collections.abc import Callable
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
from numba.extending import overload, register_jitable

from backends.numba.cache import Known, KnownType


class Slope(Known):
    """A function ``slope(xp, p, y)`` for compiled loops; `xp` is NumPy.

    The function is plain Python that runs on NumPy arrays, on numbers and on vectors. The
    type's key holds a hash of the function and all values that it uses, so that the cache on
    disk never returns the code of another slope.
    """

    def __init__(self, function: Callable[[Any, Any, Any], Any]) -> None:
        self.function = function
        digest = hashlib.sha256(repr(fingerprint(function)).encode()).hexdigest()[:16]
        super().__init__(f"slope {digest}")


def fingerprint(value: object) -> object:
    """Return the dependencies of a function's result: its code and every value that it uses.

    The values are closure variables, defaults, and globals, including other functions.
    """
    if isinstance(value, FunctionType):
        used = (value.__globals__.get(name, name) for name in value.__code__.co_names)
        cells = (cell.cell_contents for cell in value.__closure__ or ())
        parts = *cells, *(value.__defaults__ or ()), *used, value.__kwdefaults__
        return fingerprint(value.__code__), [
            part is not value and fingerprint(part) for part in parts
        ]
    if isinstance(value, CodeType):
        return value.co_code, value.co_names, [fingerprint(part) for part in value.co_consts]
    return value.__name__ if isinstance(value, ModuleType) else repr(value)


def slope_of(slope: Slope, p: Any, y: Any) -> Any:
    """Return the loss's slope at predictions `p` for targets `y`."""
    return slope.function(np, p, y)


@overload(slope_of, jit_options={"forceinline": True, "fastmath": {"contract", "nsz"}})
def _slope_of(slope, p, y):
    if not isinstance(slope, KnownType):
        return None
    function = register_jitable(forceinline=True)(slope.value.function)  # type: ignore[attr-defined]
    return lambda slope, p, y: function(np, p, y)


def squared_error(xp: Any, p: Any, y: Any) -> Any:
    """Return half the derivative of ``(p − y)²``: the factor 2 is part of the step's rate."""
    return p - y


SQUARED_ERROR = Slope(squared_error)
