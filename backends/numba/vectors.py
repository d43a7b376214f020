"""SIMD vectors for loops compiled by Numba: loads, stores, products, prefetches.

LLVM turns a plain loop into vector code by itself, but not one that also
prefetches, and not with a sum for each of several rows that share a load.
Where a loop must be just so, it is written with these. A `Vector` is 32 bytes
of one dtype; LLVM splits it where the processor's registers are shorter.

No function checks a bound. What `prefetch` is told may lie anywhere: the
processor ignores addresses that are not there.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, allow-subclassing-any

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

VECTOR_BYTES = 32
"""Of 64-byte vectors nearly every load touches two cache lines: rows are seldom aligned."""

LINE_BYTES = 64
"""What memory hands over at a time."""

INDEX, BYTE = ir.IntType(32), ir.IntType(8)


class Vector(types.Type):
    """The type of so many bytes of a dtype, float32 or float64."""

    def __init__(self, dtype: types.Type, size: int = VECTOR_BYTES) -> None:
        self.dtype, self.size = dtype, size
        super().__init__(name=f"Vector({dtype}, {size})")


@register_model(Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Any) -> None:
        element = manager.lookup(vector.dtype).get_value_type()
        lanes = vector.size * 8 // vector.dtype.bitwidth
        super().__init__(manager, vector, ir.VectorType(element, lanes))


@intrinsic
def lanes_of(_, array):
    """Return how many of an array's numbers a vector holds.

    The compiler knows it, as it does not know ``array.itemsize``: with steps that it knew
    nothing of, a loop kept its addresses on the stack.
    """
    count = VECTOR_BYTES * 8 // array.dtype.bitwidth

    def generate(context, builder, signature, arguments):
        return context.get_constant(types.intp, count)

    return types.intp(array), generate


def _address(context, builder, array, place, target):
    """Return where ``array[index]`` is, the two being the `place`, as a pointer to `target`."""
    value, index = place
    data = context.make_array(array)(context, builder, value).data
    return builder.bitcast(builder.gep(data, [index]), target.as_pointer())


def _load(array, vector):
    """Return what loads a vector of this type from the array, which is contiguous."""

    def generate(context, builder, signature, arguments):
        target = context.get_value_type(vector)
        address = _address(context, builder, array, arguments, target)
        return builder.load(address, align=array.dtype.bitwidth // 8)

    return vector(array, types.intp), generate


@intrinsic
def load(_, array, index):
    """Return the vector that begins at ``array[index]``; the array is contiguous."""
    return _load(array, Vector(array.dtype))


@intrinsic
def load_wide(_, array, index):
    """Return a vector of twice the length, for those that do not mind touching two lines."""
    return _load(array, Vector(array.dtype, 2 * VECTOR_BYTES))


@intrinsic(prefer_literal=True)
def load_every(_, array, index, step, first):
    """Return ``array[index + first :: step]``, as many as a vector holds; both are literals.

    All of them are loaded together and sorted in registers, once for every `first`.
    """
    stride, offset = step.literal_value, first.literal_value

    def generate(context, builder, signature, arguments):
        vector = context.get_value_type(signature.return_type)
        together = ir.VectorType(vector.element, vector.count * stride)
        address = _address(context, builder, array, arguments[:2], together)
        value = builder.load(address, align=array.dtype.bitwidth // 8)
        picked = [stride * lane + offset for lane in range(vector.count)]
        mask = ir.Constant(ir.VectorType(INDEX, vector.count), picked)
        return builder.shuffle_vector(value, ir.Constant(together, ir.Undefined), mask)

    return Vector(array.dtype)(array, types.intp, step, first), generate


@intrinsic
def store(_, array, index, vector):
    """Write the vector to the places from ``array[index]`` on; the array is contiguous."""

    def generate(context, builder, signature, arguments):
        *place, value = arguments
        address = _address(context, builder, array, place, value.type)
        builder.store(value, address, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


def _prefetch(array, level):
    """Return what asks for an array's line to come to this level of the cache."""

    def generate(context, builder, signature, arguments):
        address = _address(context, builder, array, arguments, BYTE)
        kind = ir.FunctionType(ir.VoidType(), [address.type, INDEX, INDEX, INDEX])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        to_read, locality, data = INDEX(0), INDEX(4 - level), INDEX(1)
        builder.call(function, [address, to_read, locality, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def prefetch(_, array, index):
    """Ask for the cache line that holds ``array[index]``, without waiting for it."""
    return _prefetch(array, 1)


@intrinsic
def prefetch_far(_, array, index):
    """Ask for it to come to the second-level cache only.

    In the first, long rows that are in use would make way for those to come.
    """
    return _prefetch(array, 2)


def _spread(value, vector):
    """Return what spreads a value over a vector of this type."""

    def generate(context, builder, signature, arguments):
        kind = context.get_value_type(vector)
        unset = ir.Constant(kind, ir.Undefined)
        first = builder.insert_element(unset, arguments[0], INDEX(0))
        everywhere = ir.Constant(ir.VectorType(INDEX, kind.count), None)
        return builder.shuffle_vector(first, unset, everywhere)

    return vector(value), generate


@intrinsic
def spread(_, value):
    """Return a vector of the same value in every lane."""
    return _spread(value, Vector(value))


@intrinsic
def spread_wide(_, value):
    """Return one of twice the length."""
    return _spread(value, Vector(value, 2 * VECTOR_BYTES))


@intrinsic
def multiply_add(_, a, b, c):
    """Return ``a·b + c``, lane by lane; rounded once where the processor can."""

    def generate(context, builder, signature, arguments):
        vector = arguments[0].type
        kind = ir.FunctionType(vector, [vector] * 3)
        name = f"llvm.fmuladd.v{vector.count}f{a.dtype.bitwidth}"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(function, arguments)

    return a(a, b, c), generate


@intrinsic
def sum_lanes(_, vector):
    """Return the sum of the lanes, added up in pairs."""

    def generate(context, builder, signature, arguments):
        (value,) = arguments
        element = value.type.element
        kind = ir.FunctionType(element, [element, value.type])
        name = f"llvm.vector.reduce.fadd.v{value.type.count}f{vector.dtype.bitwidth}"
        function = cgutils.get_or_insert_function(builder.module, kind, name)
        return builder.call(function, [element(0.0), value], fastmath=("reassoc",))

    return vector.dtype(vector), generate
