"""SIMD vectors as a Numba type, and functions that emit LLVM code for vectors."""

# mypy: allow-untyped-defs, allow-untyped-calls, allow-subclassing-any

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import models, register_model

LINE_BYTES = 64
"""Size of a cache line in bytes: the unit in which memory delivers data."""

INDEX, PLACE, BYTE = ir.IntType(32), ir.IntType(64), ir.IntType(8)


class Vector(types.Type):
    """The Numba type of a SIMD vector of numbers, or of a mask (true or false in each lane)."""

    def __init__(self, dtype: types.Type, lanes: int, mask: bool = False) -> None:
        self.dtype, self.lanes, self.mask = dtype, lanes, mask
        super().__init__(name=f"{'Mask' if mask else 'Vector'}({dtype}, {lanes})")

    def as_mask(self, mask: bool = True) -> Vector:
        """Return the type of a mask with as many lanes as this type.

        If `mask` is false, return the type of a vector of numbers with as many lanes.
        """
        return Vector(self.dtype, self.lanes, mask)


@register_model(Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Any) -> None:
        number = manager.lookup(vector.dtype).get_value_type()
        element = ir.IntType(1) if vector.mask else number
        super().__init__(manager, vector, ir.VectorType(element, vector.lanes))


def item_of(kind):
    """Return the type of a tuple's items; return any other type unchanged."""
    return kind.dtype if isinstance(kind, types.UniTuple) else kind


def each_item(kinds, result, emit):
    """Return the signature and the code generator of an intrinsic that accepts tuples.

    If some arguments are tuples, the function `emit` is called for each item, and the intrinsic
    returns the tuple of the results. Otherwise `emit` is called once. `kinds` are the types of
    the arguments, and `result` is the type of one result.
    """
    counts = {kind.count for kind in kinds if isinstance(kind, types.UniTuple)}
    if not counts:
        return result(*kinds), lambda context, builder, _, values: emit(
            context, builder, *values
        )
    (count,) = counts
    made = types.UniTuple(result, count)

    def generate(context, builder, _, arguments):
        items = [
            cgutils.unpack_tuple(builder, value)
            if isinstance(kind, types.UniTuple)
            else [value] * count
            for kind, value in zip(kinds, arguments, strict=True)
        ]
        values = [emit(context, builder, *group) for group in zip(*items, strict=True)]
        return context.make_tuple(builder, made, values)

    return made(*kinds), generate


def call(builder, name, arguments, result=None, **flags):
    """Emit a call of the LLVM intrinsic `name`.

    `result` is the type of the returned value. By default, it is the type of ``arguments[0]``.
    """
    kind = ir.FunctionType(result or arguments[0].type, [a.type for a in arguments])
    function = cgutils.get_or_insert_function(builder.module, kind, name)
    return builder.call(function, arguments, **flags)


def suffix(kind):
    """Return the last part of an LLVM intrinsic's name, such as ``v8f32`` for eight float32."""
    return f"v{kind.count}f{32 if kind.element == ir.FloatType() else 64}"


def fma(builder, a, b, c):
    """Return ``a·b + c``."""
    return call(builder, f"llvm.fmuladd.{suffix(a.type)}", [a, b, c])


def shuffle(builder, a, lanes, b=None):
    """Return a vector that consists of lanes of the vectors `a` and `b`.

    `lanes` is a list of lane numbers. The n lanes of `a` have the numbers 0 to n − 1, and the
    lanes of `b` have the numbers from n on.
    """
    mask = ir.Constant(ir.VectorType(INDEX, len(lanes)), list(lanes))
    return builder.shuffle_vector(a, b or ir.Constant(a.type, ir.Undefined), mask)


def constant(kind, value):
    """Return a compile-time constant: a vector with `value` in every lane."""
    return ir.Constant(kind, [value] * kind.count)


def spread_value(builder, value, kind):
    """Return a vector with `value`, which is known only at run time, in every lane."""
    unset = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(unset, value, INDEX(0))
    return shuffle(builder, first, [0] * kind.count)


def first_lanes(builder, kind, count):
    """Return the mask that is true in the first `count` lanes."""
    number = INDEX if kind.element == ir.FloatType() else PLACE  # integers of the lanes' width
    lanes = ir.VectorType(number, kind.count)
    numbers = ir.Constant(lanes, list(range(kind.count)))
    count = spread_value(
        builder, builder.trunc(count, number) if number is INDEX else count, lanes
    )
    return builder.icmp_signed("<", numbers, count)


def address_of(context, builder, array, value, index, target):
    """Return the address of ``array[index]`` as a pointer to a value of the type `target`."""
    data = context.make_array(array)(context, builder, value).data
    return builder.bitcast(builder.gep(data, [index]), target.as_pointer())


def load_vector(context, builder, array, value, index, kind, keep=None):
    """Load a vector; with `keep`, load the first `keep` lanes and set the other lanes to 0."""
    address = address_of(context, builder, array, value, index, kind)
    align = array.dtype.bitwidth // 8
    if keep is None:
        return builder.load(address, align=align)
    mask = first_lanes(builder, kind, keep)
    arguments = [address, INDEX(align), mask, ir.Constant(kind, None)]
    return call(builder, f"llvm.masked.load.{suffix(kind)}.p0", arguments, kind)
