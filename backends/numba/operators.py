"""Operators and functions of SIMD vectors, so that a loss can be computed on vectors.

A comparison of vectors returns a mask. The function `numpy.where` and the operators ``& | ~``
accept masks. In ``vector + 2``, the number is converted to the vector's dtype.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, allow-subclassing-any

from __future__ import annotations

import operator
from itertools import product

import numpy as np
from numba import types
from numba.core.typing.templates import AbstractTemplate, infer_global
from numba.extending import lower_builtin

from backends.numba import elementary
from backends.numba.emit import Vector, call, constant, spread_value, suffix

CONTRACT = ("contract", "nsz")
"""Optimisations that LLVM is allowed to use in the arithmetic of a loss. LLVM can compute a
product and a sum in one instruction, and can ignore the sign of a zero."""

MOST_POWER = 8
"""Largest exponent in ``vector ** exponent``. With larger exponents, a power computed as a
product would lose digits."""


def _common(kinds):
    """Return the vector type among `kinds`, the types of the operands.

    Return None if there is not exactly one vector type, or if an operand is neither a vector
    nor a number.
    """
    vectors = {kind for kind in kinds if isinstance(kind, Vector)}
    others = [kind for kind in kinds if not isinstance(kind, (Vector, types.Number))]
    return vectors.pop() if len(vectors) == 1 and not others else None


def _lanes(context, builder, value, kind, vector):
    """Return a vector unchanged; turn a number into a vector with the number in every lane."""
    if isinstance(kind, Vector):
        return value
    number = context.cast(builder, value, kind, vector.dtype)
    return spread_value(builder, number, context.get_value_type(vector))


def _register(function, result, emit, *formal):
    """Let compiled code call `function` with vectors; `emit` generates its LLVM code.

    ``result(kinds)`` returns the type of the result, or None if the function does not accept
    operands of these types. Numba's `overload` is not used, because it takes longer to compile.
    """

    class Template(AbstractTemplate):
        key = function

        def generic(self, kinds, keywords):
            found = None if keywords else result(kinds)
            return None if found is None else found(*kinds)

    infer_global(function, types.Function(Template))
    for kinds in product(*formal):
        if Vector in kinds:
            lower_builtin(function, *kinds)(emit)


def _define(function, emit, operands, *, mask=False, masks=False):
    """Define ``function(operands…)`` for vectors, lane by lane.

    If `mask` is true, the result is a mask. If `masks` is true, the operands are masks.
    """

    def result(kinds):
        vector = _common(kinds) if len(kinds) == operands else None
        if vector is None or vector.mask != masks:
            return None
        return vector.as_mask() if mask else vector

    def generate(context, builder, signature, arguments):
        vector, pairs = _common(signature.args), zip(arguments, signature.args, strict=True)
        return emit(builder, *(_lanes(context, builder, v, kind, vector) for v, kind in pairs))

    _register(function, result, generate, *[(Vector, types.Number)] * operands)


def _smaller(builder, a, b):
    """Return the smaller of two numbers, or NaN if one of them is NaN."""
    return _ordered(builder, "<", a, b)


def _larger(builder, a, b):
    return _ordered(builder, ">", a, b)


def _ordered(builder, order, a, b):
    keep = builder.or_(builder.fcmp_ordered(order, a, b), builder.fcmp_unordered("uno", a, a))
    return builder.select(keep, a, b)


def _clip(builder, x, lowest, highest):
    return _smaller(builder, _larger(builder, x, lowest), highest)


def _sign(builder, x):
    zero, one, less = (constant(x.type, value) for value in (0, 1, -1))
    other = builder.select(builder.fcmp_ordered("<", x, zero), less, x)  # 0 or NaN
    return builder.select(builder.fcmp_ordered(">", x, zero), one, other)


def _named(name):
    """Return a function that emits a call of an LLVM intrinsic for one vector."""
    return lambda builder, x: call(builder, f"llvm.{name}.{suffix(x.type)}", [x])


_define(operator.add, lambda b, x, y: b.fadd(x, y, flags=CONTRACT), 2)
_define(operator.sub, lambda b, x, y: b.fsub(x, y, flags=CONTRACT), 2)
_define(operator.mul, lambda b, x, y: b.fmul(x, y, flags=CONTRACT), 2)
_define(operator.truediv, lambda b, x, y: b.fdiv(x, y, flags=CONTRACT), 2)
_define(operator.neg, lambda b, x: b.fneg(x), 1)
_define(operator.lt, lambda b, x, y: b.fcmp_ordered("<", x, y), 2, mask=True)
_define(operator.le, lambda b, x, y: b.fcmp_ordered("<=", x, y), 2, mask=True)
_define(operator.gt, lambda b, x, y: b.fcmp_ordered(">", x, y), 2, mask=True)
_define(operator.ge, lambda b, x, y: b.fcmp_ordered(">=", x, y), 2, mask=True)
_define(operator.eq, lambda b, x, y: b.fcmp_ordered("==", x, y), 2, mask=True)
_define(operator.ne, lambda b, x, y: b.fcmp_unordered("!=", x, y), 2, mask=True)
_define(operator.and_, lambda b, x, y: b.and_(x, y), 2, mask=True, masks=True)
_define(operator.or_, lambda b, x, y: b.or_(x, y), 2, mask=True, masks=True)
_define(operator.invert, lambda b, x: b.not_(x), 1, mask=True, masks=True)
_define(np.minimum, _smaller, 2)
_define(np.maximum, _larger, 2)
_define(np.clip, _clip, 3)
_define(np.sign, _sign, 1)
_define(np.sqrt, _named("sqrt"), 1)
_define(np.abs, _named("fabs"), 1)
_define(abs, _named("fabs"), 1)
_define(np.exp, elementary.exp, 1)
_define(np.log, elementary.log, 1)
_define(np.log1p, elementary.log1p, 1)
_define(np.tanh, elementary.tanh, 1)


def _where_result(kinds):
    """Return the type of ``where(mask, a, b)``, a vector with as many lanes as the mask."""
    if len(kinds) != 3 or not isinstance(kinds[0], Vector) or not kinds[0].mask:
        return None
    vector = kinds[0].as_mask(False)
    return vector if _common([vector, *kinds[1:]]) == vector else None


def _where(context, builder, signature, arguments):
    chosen = [
        _lanes(context, builder, value, kind, signature.return_type)
        for value, kind in zip(arguments[1:], signature.args[1:], strict=True)
    ]
    return builder.select(arguments[0], *chosen)


_register(np.where, _where_result, _where, (Vector,), *[(Vector, types.Number)] * 2)


def _power_result(kinds):
    """Return the type of ``vector ** n``; None if n is not a literal from 1 to `MOST_POWER`."""
    vector, exponent = kinds
    known = isinstance(vector, Vector) and isinstance(exponent, types.IntegerLiteral)
    return vector if known and 1 <= exponent.literal_value <= MOST_POWER else None


def _power(context, builder, signature, arguments):
    square, left = arguments[0], signature.args[1].literal_value
    value = None
    while left:
        if left % 2:
            value = builder.fmul(value, square, flags=CONTRACT) if value else square
        square, left = builder.fmul(square, square, flags=CONTRACT), left // 2
    return value


_register(operator.pow, _power_result, _power, (Vector,), (types.IntegerLiteral,))
