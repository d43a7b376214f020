"""Read data as fast as possible. The speed of a step is compared with this plain read."""

# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

from typing import Any

from numba import njit
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from backends.numba.cache import Known
from backends.numba.emit import LINE_BYTES, call, each_item, item_of
from backends.numba.vectors import lanes_of, load, plus, prefetch, repeat, spaced, zero_vector

VECTOR_BYTES = 256
"""Size in bytes of the SIMD vectors that are read. A vector is larger than a register, so that
the compiler unrolls the loop."""

AHEAD_LINES = 32
"""Default prefetch distance in cache lines, as in the loops for one feature."""


@intrinsic
def add_integers(_, a, b):
    """Return the sums of two integer vectors, or of two tuples of vectors."""
    return each_item([a, b], item_of(b), lambda _, builder, x, y: builder.add(x, y))


@intrinsic
def sum_integers(_, vectors):
    """Return the sum of all lanes of all vectors in a tuple of integer vectors."""

    def generate(context, builder, signature, arguments):
        total, *others = cgutils.unpack_tuple(builder, arguments[0])
        for vector in others:
            total = builder.add(total, vector)
        name = f"llvm.vector.reduce.add.v{total.type.count}{total.type.element.intrinsic_name}"
        return call(builder, name, [total], total.type.element)

    return vectors.dtype.dtype(vectors), generate


@njit(cache=True, nogil=True)
def _sum_of(way, values, passes, ahead):
    """Do the work of `sum_of` in compiled code."""
    none = zero_vector(values, VECTOR_BYTES)
    lanes, sums = lanes_of(none), repeat(none, way.places)
    ahead *= LINE_BYTES // values.itemsize
    apart = len(values) // (way.places * lanes) * lanes
    for _ in range(passes):
        for i in range(0, apart, lanes):
            at = spaced(i, apart, way.places, 1)
            if ahead:
                prefetch(values, plus(at, ahead), none, False)
            sums = add_integers(sums, load(values, at, none, None))
    return sum_integers(sums)


_WAYS = {places: Known(f"read {places}", places=places) for places in (1, 2, 4)}

PLACES = tuple(_WAYS)
"""Allowed values for the parameter `places` of `sum_of`."""


def sum_of(values: NDArray[Any], places: int, passes: int, ahead: int = AHEAD_LINES) -> int:
    """Read an array of int32 values `passes` times, and return the sum of the values read.

    The array is divided into `places` ranges, which are read at the same time. `ahead` is the
    prefetch distance in cache lines. With 0, nothing is prefetched, which can be faster for
    data in a cache. The function `values_read` returns how many values are read. The
    interpreter's lock is released.
    """
    return int(_sum_of(_WAYS[places], values, passes, ahead))


def values_read(count: int, places: int) -> int:
    """Return how many values `sum_of` reads in one pass over an array of `count` values.

    `sum_of` divides the array into `places` ranges of whole SIMD vectors. The values that are
    left over at the end of the array are not read.
    """
    together = places * VECTOR_BYTES // 4
    return count // together * together
