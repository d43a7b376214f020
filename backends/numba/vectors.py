"""SIMD vectors, and tuples of vectors, for loops that Numba compiles.

A `Vector` holds several numbers of one dtype. LLVM divides a long vector among several
registers, as in an unrolled loop.

Most functions also accept a tuple of vectors, or a tuple of places (indices into an array), and
emit code for each item. Numba compiles a function separately for each length of a tuple.

No function checks the bounds of an array. Only `prefetch` accepts indices beyond the end of an
array, because the processor ignores addresses that do not exist.
"""

# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from backends.numba.emit import (
    BYTE,
    INDEX,
    LINE_BYTES,
    PLACE,
    Vector,
    address_of,
    call,
    each_item,
    first_lanes,
    item_of,
    load_vector,
    shuffle,
    spread_value,
)

EXAMPLE = Vector(types.float32, 16)
"""Vector type for testing whether Numba can compile a function for SIMD vectors."""


@intrinsic
def load(_, array, index, like, keep):
    """Load the vector that begins at ``array[index]`` and has the same type as `like`.

    For a tuple of indices, return a tuple of vectors.

    `keep` is the number of lanes to load, or None for all lanes. Lanes that are not loaded are
    zeros.
    """
    vector, masked = item_of(like), not isinstance(keep, types.NoneType)

    def emit(context, builder, value, at, _like, count):
        kind = context.get_value_type(vector)
        return load_vector(context, builder, array, value, at, kind, count if masked else None)

    if isinstance(like, types.UniTuple):  # only the type of `like` is used
        signature, generate = each_item([array, index, vector, keep], vector, emit)
        return signature.return_type(array, index, like, keep), generate
    return each_item([array, index, like, keep], vector, emit)


@intrinsic
def load_features(_, array, row, like, keep):
    """Return a tuple of vectors; each vector holds one feature of several consecutive rows.

    `like` is a tuple with one vector for each feature, of the same type as the result. Each
    lane holds one row. If `keep` is a number, only the first `keep` lanes are loaded, and the
    other lanes are zeros.
    """
    count, masked = like.count, not isinstance(keep, types.NoneType)

    def generate(context, builder, signature, arguments):
        value, at, _, rows = arguments
        kind = context.get_value_type(like.dtype)
        together = ir.VectorType(kind.element, kind.count * count)
        at = builder.mul(at, PLACE(count))
        rows = builder.mul(rows, PLACE(count)) if masked else None
        whole = load_vector(context, builder, array, value, at, together, rows)
        picked = [range(first, together.count, count) for first in range(count)]
        return context.make_tuple(
            builder, like, [shuffle(builder, whole, lanes) for lanes in picked]
        )

    return like(array, row, like, keep), generate


@intrinsic
def load_places(_, array, places):
    """Return a vector of the numbers ``array[place]``, one for each index in `places`."""
    made = Vector(array.dtype, places.count)

    def generate(context, builder, signature, arguments):
        value = ir.Constant(context.get_value_type(made), ir.Undefined)
        for k, at in enumerate(cgutils.unpack_tuple(builder, arguments[1])):
            address = address_of(context, builder, array, arguments[0], at, value.type.element)
            value = builder.insert_element(value, builder.load(address), INDEX(k))
        return value

    return made(array, places), generate


@intrinsic
def store(_, array, index, vector):
    """Write a vector's lanes to consecutive items of an array, from ``array[index]`` on."""

    def generate(context, builder, signature, arguments):
        value, at, what = arguments
        address = address_of(context, builder, array, value, at, what.type)
        builder.store(what, address, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@intrinsic(prefer_literal=True)
def prefetch(_, array, places, like, far):
    """Prefetch the vectors that begin at the indices `places` and are as long as `like`.

    If the literal `far` is true, the vectors are loaded into the second-level cache only.
    """
    count = like.count if isinstance(like, types.UniTuple) else 1
    line = LINE_BYTES * 8 // array.dtype.bitwidth
    level, several = INDEX(2 if far.literal_value else 3), isinstance(places, types.UniTuple)

    def generate(context, builder, signature, arguments):
        value, at = arguments[:2]
        for start in cgutils.unpack_tuple(builder, at) if several else [at]:
            for k in range(0, count * item_of(like).lanes, line):
                place = builder.add(start, PLACE(k))
                address = address_of(context, builder, array, value, place, BYTE)
                settings = [INDEX(0), level, INDEX(1)]  # for reading, cache level, data cache
                call(builder, "llvm.prefetch.p0", [address, *settings], ir.VoidType())
        return context.get_dummy_value()

    return types.void(array, places, like, far), generate


# Places and values


@intrinsic(prefer_literal=True)
def spaced(_, first, apart, places, rows):
    """Return a tuple of indices, which has ``places · rows`` items.

    There are `places` ranges. They begin at the index `first`, at ``first + apart``, and so on.
    The tuple contains the first `rows` indices of each range.
    """
    made = types.UniTuple(types.intp, places.literal_value * rows.literal_value)

    def generate(context, builder, signature, arguments):
        items, start = [], arguments[0]
        for _ in range(places.literal_value):
            items += [builder.add(start, PLACE(i)) for i in range(rows.literal_value)]
            start = builder.add(start, arguments[1])
        return context.make_tuple(builder, made, items)

    return made(types.intp, types.intp, places, rows), generate


@intrinsic
def plus(_, places, offset):
    """Add `offset` to each index in `places`, and return the new indices."""
    return each_item([places, offset], types.intp, lambda _, builder, a, b: builder.add(a, b))


@intrinsic
def times(_, places, factor):
    """Multiply each index in `places` by `factor`, and return the new indices."""
    return each_item([places, factor], types.intp, lambda _, builder, a, b: builder.mul(a, b))


@intrinsic(prefer_literal=True)
def zero_vector(_, array, size):
    """Return a vector of zeros with the dtype of `array` and a length of `size` bytes."""
    vector = Vector(array.dtype, size.literal_value * 8 // array.dtype.bitwidth)
    return vector(array, size), lambda context, *_: ir.Constant(
        context.get_value_type(vector), None
    )


@intrinsic(prefer_literal=True)
def repeat(_, value, count):
    """Return a tuple that holds the value `count` times; `count` is a literal."""
    made = types.UniTuple(value, count.literal_value)
    return made(value, count), lambda context, builder, _, arguments: context.make_tuple(
        builder, made, arguments[:1] * made.count
    )


@intrinsic
def lanes_of(_, like):
    """Return the number of lanes of a vector."""
    return types.intp(like), lambda context, *_: context.get_constant(
        types.intp, item_of(like).lanes
    )


@intrinsic
def spread(_, value, like):
    """Return a vector of the type of `like` with the number `value` in every lane.

    If `value` is already a vector, it is returned unchanged.
    """
    if isinstance(value, Vector):
        return value(value, like), lambda _c, _b, _s, arguments: arguments[0]

    def generate(context, builder, signature, arguments):
        number = context.cast(builder, arguments[0], value, like.dtype)
        return spread_value(builder, number, context.get_value_type(like))

    return like(value, like), generate


@intrinsic
def spread_lanes(_, vector, like):
    """Return a tuple of vectors; all lanes of vector k hold the value of lane k of `vector`.

    The vectors of the tuple have the type of the parameter `like`.
    """
    made = types.UniTuple(like, vector.lanes)

    def generate(context, builder, signature, arguments):
        items = [shuffle(builder, arguments[0], [k] * like.lanes) for k in range(vector.lanes)]
        return context.make_tuple(builder, made, items)

    return made(vector, like), generate


@intrinsic
def spread_array(_, array, like):
    """Return a tuple of vectors; all lanes of vector k hold ``array[k]``.

    The tuple has the type of the parameter `like`.
    """

    def generate(context, builder, signature, arguments):
        kind, number = context.get_value_type(like.dtype), context.get_value_type(array.dtype)
        items = []
        for k in range(like.count):
            address = address_of(context, builder, array, arguments[0], PLACE(k), number)
            value = context.cast(builder, builder.load(address), array.dtype, like.dtype.dtype)
            items.append(spread_value(builder, value, kind))
        return context.make_tuple(builder, like, items)

    return like(array, like), generate


@intrinsic
def keep_first(_, vector, count):
    """Keep the first `count` lanes and set all others to 0; if `count` is None, keep all."""
    if isinstance(count, types.NoneType):
        return vector(vector, count), lambda _c, _b, _s, arguments: arguments[0]

    def generate(context, builder, signature, arguments):
        value, number = arguments
        mask = first_lanes(builder, value.type, number)
        return builder.select(mask, value, ir.Constant(value.type, None))

    return vector(vector, count), generate


@intrinsic
def first_lane(_, vector):
    """Return the number in the first lane."""
    return vector.dtype(vector), lambda _c, builder, _s, arguments: builder.extract_element(
        arguments[0], INDEX(0)
    )
