"""Arithmetic of SIMD vectors: sums of products, and sums of the lanes of a vector."""

# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from backends.numba.emit import (
    PLACE,
    Vector,
    address_of,
    call,
    each_item,
    fma,
    item_of,
    shuffle,
    suffix,
)


@intrinsic
def multiply_add(_, a, b, c):
    """Return ``a·b + c`` for each lane, in one instruction if the processor has one (FMA)."""
    return each_item([a, b, c], item_of(c), lambda _, builder, *values: fma(builder, *values))


@intrinsic
def multiply(_, a, b):
    """Return ``a·b`` for each lane; the compiler is allowed to fuse it with an addition."""
    return each_item(
        [a, b], item_of(a), lambda _, builder, x, y: builder.fmul(x, y, flags=("contract",))
    )


@intrinsic
def sum_products(_, xs, ws, start):
    """Return ``start + Σ xₖ·wₖ``. Four or more products are added in two independent sums."""

    def generate(context, builder, signature, arguments):
        unpacked = [cgutils.unpack_tuple(builder, a) for a in arguments[:2]]
        pairs = list(zip(*unpacked, strict=True))
        first = arguments[2]
        for x, w in pairs[::2] if len(pairs) > 3 else pairs:
            first = fma(builder, x, w, first)
        if len(pairs) < 4:
            return first
        second = builder.fmul(*pairs[1], flags=("contract",))
        for x, w in pairs[3::2]:
            second = fma(builder, x, w, second)
        return builder.fadd(first, second)

    return start(xs, ws, start), generate


def _sum_lanes(builder, value):
    """Return the sum of the lanes, added up in pairs."""
    name, element = f"llvm.vector.reduce.fadd.{suffix(value.type)}", value.type.element
    return call(builder, name, [element(-0.0), value], element, fastmath=("reassoc",))


@intrinsic
def sum_lanes(_, vectors):
    """Return a vector whose lane k is the sum of all lanes of vector k in the tuple `vectors`.

    First, the upper half of each vector is added to its lower half until few lanes are left.
    Then two vectors at a time are combined to one, until a single vector is left.
    """
    count = vectors.count
    made = Vector(vectors.dtype.dtype, count)

    def generate(context, builder, signature, arguments):
        # Each item: a vector and the sums that it holds, in the order of its lanes.
        items = [(v, [k]) for k, v in enumerate(cgutils.unpack_tuple(builder, arguments[0]))]
        least = max(1, 128 // vectors.dtype.dtype.bitwidth)  # shorter vectors are no faster
        items = [(_folded(builder, v, least), held) for v, held in items]
        while len(items) > 1:
            middle = len(items) // 2
            pairs = zip(items[:middle], items[middle:], strict=True)
            items = [_paired(builder, *pair) for pair in pairs]
        value, held = items[0]
        share = value.type.count // count  # number of lanes per sum
        for _ in range(share.bit_length() - 1):
            even, odd = (range(i, value.type.count, 2) for i in (0, 1))
            value = builder.fadd(shuffle(builder, value, even), shuffle(builder, value, odd))
        return shuffle(builder, value, [held.index(k) for k in range(count)])

    return made(vectors), generate


def _folded(builder, value, least):
    """Add the upper half of a vector to its lower half until only `least` lanes are left."""
    while value.type.count > least:
        lanes = value.type.count
        low, high = range(lanes // 2), range(lanes // 2, lanes)
        halves = shuffle(builder, value, low), shuffle(builder, value, high)
        value = builder.fadd(*halves, flags=("contract",))
    return value


def _paired(builder, first, second):
    """Combine two vectors, each with one or more sums, to one vector.

    The parameters and the result are pairs: a vector, and the indices of the sums that it
    holds. Neighbouring lanes of the same sum are added. If each lane is a separate sum, the
    second vector is appended to the first vector.
    """
    (a, held_a), (b, held_b) = first, second
    lanes = a.type.count
    if len(held_a) == lanes:  # every lane is a finished sum
        return shuffle(builder, a, range(2 * lanes), b), held_a + held_b
    pairs = range(0, 2 * lanes, 2)  # even lanes of `a`, then of `b`
    even, odd = (shuffle(builder, a, [k + i for k in pairs], b) for i in (0, 1))
    return builder.fadd(even, odd), held_a + held_b


@intrinsic
def add_sums(_, totals, vectors):
    """Add all lanes of vector k to ``totals[k]``, a float64 number; return the new totals."""
    number = vectors.dtype.dtype

    def emit(context, builder, total, vector):
        value = context.cast(builder, _sum_lanes(builder, vector), number, types.float64)
        return builder.fadd(total, value)

    return each_item([totals, vectors], types.float64, emit)


@intrinsic
def add_to_array(_, array, values):
    """Add item k of the tuple `values` to ``array[k]``; the array is float64."""

    def generate(context, builder, signature, arguments):
        number = context.get_value_type(types.float64)
        for k, value in enumerate(cgutils.unpack_tuple(builder, arguments[1])):
            address = address_of(context, builder, array, arguments[0], PLACE(k), number)
            builder.store(builder.fadd(builder.load(address), value), address)
        return context.get_dummy_value()

    return types.void(array, values), generate
