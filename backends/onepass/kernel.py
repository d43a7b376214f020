"""A Triton kernel that reads X once per step.

A library's products read X twice: first for ``x·w``, then for ``xᵀ·slope``. Many instances of
the kernel run at the same time; Triton calls an instance a program. A program loads some rows
(a tile) into registers, and uses the tile for both products. At the end, the program writes one
float64 sum for each feature. The caller adds up the sums of all programs.
"""

from __future__ import annotations

import linecache
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import triton
import triton.language as tl

from backends.losses import Loss
from backends.onepass.formula import source_of

TILE_BYTES, WARPS = 1 << 14, 4
"""Size in bytes of a tile of x, and number of warps per program (instance of the kernel). The
registers of a program have to hold a tile and an array of sums of the same size."""

STAGES = 3
"""Number of tiles that a program (instance of the kernel) has in progress: it sums one tile and
already loads the next two tiles. This is Triton's option `num_stages`."""

PROGRAMS = 2
"""Largest number of programs (instances of the kernel) per multiprocessor."""

MOST_COLUMNS = 16
"""Largest number of features for which X is stored by column."""

UNIT = 16
"""Each column begins at a multiple of this number of elements, so that Triton can load several
elements with one instruction."""


@triton.jit  # type: ignore[untyped-decorator]
def add_tiles(  # type: ignore[no-untyped-def]
    x,
    y,
    w,
    rows,
    column_units,
    sums,
    SLOPE: tl.constexpr,
    FEATURES: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROW_STRIDE: tl.constexpr,
    UNIT: tl.constexpr,
    ROWS: tl.constexpr,
    STAGES: tl.constexpr,
):
    """Write this program's part of ``xᵀ·slope`` as one row of `sums`.

    A program is an instance of this kernel. With 8 programs, program 0 sums the tiles (groups
    of rows) 0, 8, 16 and so on. The columns of x are ``column_units · UNIT`` elements apart.
    jax-triton requires this order of the arguments: inputs, outputs, constants.
    """
    column = tl.arange(0, COLUMNS)
    w = tl.load(w + column, mask=column < FEATURES, other=0.0).to(x.dtype.element_ty)
    row = tl.arange(0, ROWS).to(tl.int64)
    across = column.to(tl.int64)[None, :] * column_units * UNIT
    tile = x + row[:, None] * ROW_STRIDE + across
    real = (column < FEATURES)[None, :]
    total = tl.zeros((ROWS, COLUMNS), x.dtype.element_ty)
    whole = rows // ROWS
    first = tl.program_id(0).to(tl.int64)
    for k in tl.range(first, whole, tl.num_programs(0), num_stages=STAGES):
        if FEATURES == COLUMNS:  # a mask costs time even if it hides nothing
            values = tl.load(tile + k * ROWS * ROW_STRIDE)
        else:
            values = tl.load(tile + k * ROWS * ROW_STRIDE, mask=real, other=0.0)
        prediction = tl.sum(values * w[None, :], axis=1)
        slope = SLOPE(prediction, tl.load(y + k * ROWS + row))
        total += values * slope[:, None]
    if first == whole % tl.num_programs(0):  # the next program in order adds the remaining rows
        row += whole * ROWS
        tile = x + row[:, None] * ROW_STRIDE + across
        there = row < rows
        values = tl.load(tile, mask=real & there[:, None], other=0.0)
        prediction = tl.sum(values * w[None, :], axis=1)
        slope = SLOPE(prediction, tl.load(y + row, mask=there, other=0.0))
        slope = tl.where(there, slope, 0.0)  # a slope may be infinite where there is no row
        total += values * slope[:, None]
    mine = sums + tl.program_id(0) * FEATURES + column
    tl.store(mine, tl.sum(total.to(tl.float64), axis=0), mask=column < FEATURES)


class Plan(NamedTuple):
    """The launch parameters of the kernel `add_tiles` for given data."""

    programs: int
    """Number of programs (instances of the kernel). Each program writes one row of `sums`."""
    column_units: int
    """Distance in elements between neighbouring columns of x, divided by the constant
    ``UNIT``."""
    constants: dict[str, Any]
    """The constants of `add_tiles` by name."""


def plan(
    loss: Loss,
    shape: Sequence[int],
    strides: Sequence[int],
    itemsize: int,
    processors: int,
) -> Plan:
    """Return the launch parameters of the kernel `add_tiles` for an array x on a GPU.

    `shape` and `strides` (in elements) describe x. `processors` is the GPU's number of
    multiprocessors.
    """
    (rows, features), (row_stride, column_stride) = shape, strides
    columns = triton.next_power_of_2(features)
    tile = max(1, TILE_BYTES // (itemsize * columns))
    programs = min(-(-rows // tile), PROGRAMS * processors)
    unit = UNIT if column_stride % UNIT == 0 else 1
    constants = {
        "SLOPE": slope_of(loss),
        "FEATURES": features,
        "COLUMNS": columns,
        "ROW_STRIDE": row_stride,
        "UNIT": unit,
        "ROWS": tile,
        "STAGES": STAGES,
    }
    return Plan(programs, column_stride // unit, constants)


@triton.jit
def log1p(x):  # type: ignore[no-untyped-def]
    """Return log(1 + x), accurate also for a small x (Kahan's formula)."""
    above = 1.0 + x
    rounded = above - 1.0  # the part of x that is left in the sum
    exact = tl.where(rounded == 0.0, 1.0, rounded)
    quotient = tl.log(above) * (x / exact)
    return tl.where(rounded == 0.0, x, tl.where(above == float("inf"), above, quotient))


@triton.jit
def tanh(x):  # type: ignore[no-untyped-def]
    """Return the hyperbolic tangent, accurate also for a small x.

    The formula contains ``exp(z) − 1``, which loses digits for a small z. Kahan's correction
    restores these digits.
    """
    z = -2.0 * tl.minimum(tl.abs(x), 20.0, propagate_nan=tl.PropagateNan.ALL)
    power = tl.exp(z)
    logarithm = tl.log(power)
    below = tl.where(logarithm == 0.0, z, (power - 1.0) * (z / logarithm))
    size = -below / (2.0 + below)
    return tl.where(x < 0.0, -size, size)


@cache
def slope_of(loss: Loss) -> Any:
    """Return the Triton function that computes the slope of a loss."""
    source = source_of(loss)
    file = f"<slope of {loss.name}>"
    # Triton reads the source of a function, and Python looks for it in this cache.
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    names = {"__name__": __name__, "tl": tl, "log1p": log1p, "tanh": tanh}
    exec(compile(source, file, "exec"), names)  # noqa: S102 the text was written here
    return triton.jit(names["slope"])
