"""Check that a value read from JSON has the expected shape: names, lists and types.

A shape is written like the value:

- a type, such as ``str``, for a value of this type, and None for null;
- ``[shape]`` for a list whose items have this shape;
- ``{"name": shape}`` for an object with these names, and possibly with other names;
- ``{str: shape}`` for an object with arbitrary names, whose values have this shape;
- a tuple of shapes for a value with one of these shapes.
"""

from __future__ import annotations

import reprlib
import sys
from typing import Any


class Positive:
    """In a description of JSON data, `Positive` stands for any finite number above 0."""


class Optional:
    """Marks a name that a JSON object is allowed to lack, as in ``{Optional("name"): str}``."""

    def __init__(self, name: str) -> None:
        self.name = name


class ShapeError(ValueError):
    """A value read from JSON has a wrong type, or lacks an expected name."""


def check(value: Any, shape: Any, where: str = "") -> None:
    """Raise ShapeError if a value read from JSON has a wrong type, or lacks an expected name.

    Text with unprintable characters is an error, too. `where` is the value's place in the
    document, for the message; "" means the whole document.
    """
    if isinstance(shape, tuple):
        if not any(_has(value, one) for one in shape):
            raise _wrong(value, where)
    elif isinstance(shape, list):
        _need(isinstance(value, list), value, where)
        for i, item in enumerate(value):
            check(item, shape[0], f"{where}[{i}]")
    elif isinstance(shape, dict):
        _need(isinstance(value, dict), value, where)
        _check_object(value, shape, where)
    else:
        _need(_is(value, shape), value, where)


def _check_object(value: dict[str, Any], shape: dict[Any, Any], where: str) -> None:
    for name, inner in shape.items():
        if name is str:
            for key, item in value.items():
                check(key, str, f"a name in {where or 'it'}")
                check(item, inner, f"{where}.{key}".lstrip("."))
        elif isinstance(name, Optional):
            if name.name in value:
                check(value[name.name], inner, f"{where}.{name.name}".lstrip("."))
        elif name not in value:
            raise ShapeError(f"{where or 'it'} has no {name!r}")
        else:
            check(value[name], inner, f"{where}.{name}".lstrip("."))


def _has(value: Any, shape: Any) -> bool:
    try:
        check(value, shape)
    except ShapeError:
        return False
    return True


def _is(value: Any, shape: type | None) -> bool:
    if shape is None:
        return value is None
    if shape in (int, float, Positive):
        kinds = int if shape is int else (int, float)
        number = isinstance(value, kinds) and not isinstance(value, bool)
        # math.isfinite would raise an error for an integer beyond the range of float.
        finite = number and abs(value) <= sys.float_info.max
        return finite and (shape is not Positive or value > 0)
    if shape is str:
        return isinstance(value, str) and value.isprintable()
    return isinstance(value, shape)


def _need(right: bool, value: Any, where: str) -> None:
    if not right:
        raise _wrong(value, where)


def _wrong(value: Any, where: str) -> ShapeError:
    return ShapeError(f"{where or 'it'} cannot be {reprlib.repr(value)}")
