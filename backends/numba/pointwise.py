"""Pass the value and the slope of a loss to compiled loops as arguments."""

# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, overload, register_jitable

from backends.losses import Loss
from backends.losses import Pointwise as Function
from backends.numba import operators, scalars
from backends.numba.cache import Known, KnownType
from backends.numba.emit import PLACE, Vector
from backends.numba.vectors import spread


class Pointwise(Known):
    """The function `value` or `slope` of a loss, as an argument of compiled loops.

    The function is plain Python with three parameters: a module such as NumPy, the predictions
    and the targets. Numba's disk cache finds compiled code by a key, which contains a hash of
    the function and of all values that the function uses.
    """

    def __init__(self, function: Function) -> None:
        self.function = function
        digest = hashlib.sha256(repr(fingerprint(function)).encode()).hexdigest()[:16]
        super().__init__(f"function {digest}")


def fingerprint(value: object) -> object:
    """Return a description of a function: its code and every value that the code uses.

    The values are closure variables, defaults, and globals, including other functions. A module
    is described by its name and the text of its file. A function that Numba compiled is treated
    like its Python function.
    """
    value = getattr(value, "py_func", value)
    if isinstance(value, FunctionType):
        parts = *_used(value), *(value.__defaults__ or ()), value.__kwdefaults__
        return fingerprint(value.__code__), [
            part is not value and fingerprint(part) for part in parts
        ]
    if isinstance(value, CodeType):
        return value.co_code, value.co_names, [fingerprint(part) for part in value.co_consts]
    if isinstance(value, ModuleType):
        file = Path(getattr(value, "__file__", None) or "")
        return value.__name__, file.read_bytes() if file.suffix == ".py" else b""
    return value.tobytes() if isinstance(value, np.ndarray) else repr(value)


def _used(function: FunctionType) -> list[object]:
    """Return the values that a function uses: closure variables, and globals in its code."""
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    return cells + [function.__globals__.get(name, name) for name in function.__code__.co_names]


def slope_of(loss: Loss) -> Function:
    """Return the slope of a loss; `catalogue` has already refused losses without a slope."""
    assert loss.slope is not None  # noqa: S101
    return loss.slope


def evaluate(function: Pointwise, p: Any, y: Any) -> Any:
    """Return the results of a loss's function for predictions `p` and targets `y`.

    p and y are numbers or NumPy arrays. In compiled code, they can also be SIMD vectors.
    """
    return function.function(np, p, y)


@overload(evaluate, jit_options={"forceinline": True})
def _evaluate(function, p, y):
    if not isinstance(function, KnownType):
        return None
    python = function.value.function  # type: ignore[attr-defined]
    if isinstance(p, Vector) and not failure(python, p):
        on_vectors = compiled(python)
        return lambda function, p, y: spread(on_vectors(np, p, y), p)
    on_numbers = compiled(python)
    if isinstance(p, Vector):
        return lambda function, p, y: each_lane(on_numbers, p, y)
    return lambda function, p, y: on_numbers(scalars, p, y)


OPTIONS = {"forceinline": True, "fastmath": {"contract", "nsz"}, "error_model": "numpy"}
"""Options for compiling the functions of a loss. With them, 1/0 is infinity, as in NumPy."""

_compiled: dict[Function, Any] = {}


def compiled(function: Function) -> Any:
    """Return the function as a Numba function; Numba compiles it for each type of arguments."""
    if function not in _compiled:
        _compiled[function] = njit(**OPTIONS)(function)
        _register_helpers(function)
    return _compiled[function]


def _register_helpers(function: Any) -> None:
    """Let compiled code call those functions of the loss's module that the loss uses."""
    for helper in _used(function):
        if not isinstance(helper, FunctionType) or helper in _compiled:
            continue
        if helper is not function and helper.__module__ == function.__module__:
            _compiled[helper] = register_jitable(**OPTIONS)(helper)
            _register_helpers(helper)


def failure(function: Function, kind: types.Type = types.float64) -> str:
    """Return one line with the reason why a function cannot be compiled; "" if it can be.

    `kind` is the type of the function's arguments p (predictions) and y (targets). The default
    is the type of a single float64 number.
    """
    vector = isinstance(kind, Vector)
    arguments = types.Module(np if vector else scalars), kind, kind
    try:
        found = compiled(function)
        found.get_call_template(arguments, {})
        result = found.overloads[arguments].signature.return_type
    except Exception as error:  # a compiler may raise anything for code it does not support
        return _one_line(error)
    if isinstance(result, (types.Number, types.Boolean)) or result == kind:
        return ""
    return f"it returns {result}"


def _one_line(error: Exception) -> str:
    """Shorten a compiler's error message to the line that tells the cause of the error."""
    text = re.sub(r"\x1b\[\d*m", "", str(error))
    text = re.sub(r"Function\(<(?:ufunc|(?:built-in )?function) '?(\w+)[^)]*\)", r"\1", text)
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("Failed in nopython mode")]
    first, second, *_ = *lines, type(error).__name__, ""
    return f"{first} {second.removeprefix('>>> ')}" if first.endswith(":") else first


@intrinsic
def each_lane(typing, function, p, y):
    """Call a function for each lane of vectors p and y; return the results as a vector.

    `function` itself accepts only float64 numbers, not vectors.
    """
    number = types.float64
    inner = function.get_call_type(typing, (types.Module(scalars), number, number), {})

    def generate(context, builder, _, arguments):
        call = context.get_function(function, inner)
        element = context.get_value_type(p.dtype).as_pointer()
        places = [cgutils.alloca_once_value(builder, value) for value in arguments[1:]]
        places = [builder.bitcast(place, element) for place in places]
        with cgutils.for_range(builder, PLACE(p.lanes)) as loop:
            at = [builder.gep(place, [loop.index]) for place in places]
            values = [context.cast(builder, builder.load(a), p.dtype, number) for a in at]
            result = call(builder, [context.get_dummy_value(), *values])
            result = context.cast(builder, result, inner.return_type, p.dtype)
            builder.store(result, at[0])
        return builder.load(builder.bitcast(places[0], arguments[1].type.as_pointer()))

    return p(function, p, y), generate


VECTORS = operators
"""The imported module `operators`. Importing it makes operators such as ``+`` accept SIMD
vectors."""
