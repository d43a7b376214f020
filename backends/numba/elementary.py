"""Elementary functions of SIMD vectors: exp, log, log1p and tanh, in a few instructions.

Each function maps its argument to a small range and evaluates a polynomial there. The code
consists of vector instructions only; it calls no library. The largest errors, in units in the
last place, are 1.0 for exp, 0.9 for log, 1.5 for log1p and 2.7 for tanh.
"""

# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import math
from dataclasses import dataclass

from llvmlite import ir

from backends.numba.emit import call, constant, fma, suffix


@dataclass(frozen=True)
class _Format:
    """A floating-point format, and the constants that exp and log need for this format.

    Attributes
    ----------
    bits, mantissa : int
        Number of bits of a number, and number of bits of its fraction.
    lowest, highest : float
        Arguments below which exp is 0, and above which exp is infinite.
    ln2 : (float, float)
        Two parts whose sum is ln 2. Products of the first part with an exponent are exact.
    exp : tuple of float
        Coefficients of ``(eʳ − 1 − r)/r²`` for |r| ≤ ½ ln 2, highest power first.
    log : tuple of float
        Coefficients of ``log((1 + s)/(1 − s))/s − 2`` in powers of s², highest power first,
        without a constant term, as in Sun's fdlibm.
    """

    bits: int
    mantissa: int
    lowest: float
    highest: float
    ln2: tuple[float, float]
    exp: tuple[float, ...]
    log: tuple[float, ...]

    @property
    def bias(self) -> int:
        """Return the exponent bias: 127 for float32, 1023 for float64."""
        return (1 << (self.bits - self.mantissa - 2)) - 1

    @property
    def least(self) -> float:
        """Return the smallest normal number."""
        return 2.0 ** (1 - self.bias)


SINGLE = _Format(
    bits=32,
    mantissa=23,
    lowest=-104.0,
    highest=89.0,
    ln2=(0.693359375, -2.12194440054690583e-4),
    exp=(
        *(0.0013814389239996672, 0.008368787355720997, 0.041668396443128586),
        *(0.1666651964187622, 0.4999999403953552),
    ),
    log=(0.24279078841, 0.28498786688, 0.40000972152, 0.66666662693),
)
DOUBLE = _Format(
    bits=64,
    mantissa=52,
    lowest=-746.0,
    highest=710.0,
    ln2=(6.93147180369123816490e-01, 1.90821492927058770002e-10),
    exp=(
        *(2.5001294815397045e-08, 2.7630425296578514e-07, 2.755758315406329e-06),
        *(2.4801492618755672e-05, 0.00019841269509421062, 0.0013888888944078499),
        *(0.008333333333493505, 0.041666666666528504, 0.16666666666666413),
        0.5000000000000011,
    ),
    log=(
        *(0.14798198605116586, 0.15313837699209373, 0.18183572162161805),
        *(0.22222198432149784, 0.2857142874366239, 0.3999999999940942),
        0.6666666666666735,
    ),
)


def _format(kind):
    return SINGLE if kind.element == ir.FloatType() else DOUBLE


def _polynomial(builder, x, coefficients):
    """Return a polynomial of x; the first coefficient belongs to the highest power."""
    first, *others = (constant(x.type, c) for c in coefficients)
    for coefficient in others:
        first = fma(builder, first, x, coefficient)
    return first


def _integers(kind):
    return ir.VectorType(ir.IntType(_format(kind).bits), kind.count)


def _bound(builder, x, lowest, highest):
    """Return x, limited to the range from `lowest` to `highest`; NaN stays NaN."""
    lowest, highest = constant(x.type, lowest), constant(x.type, highest)
    x = builder.select(builder.fcmp_ordered(">", lowest, x), lowest, x)
    return builder.select(builder.fcmp_ordered("<", highest, x), highest, x)


def _reduced(builder, x, offset):
    """Split x into ``n·ln 2 + r`` with an integer n and |r| ≤ ½ ln 2.

    Returns three values: r, the value of ``(eʳ − 1 − r)/r²``, and an integer whose low bits
    hold n plus the parameter `offset`. To round x/ln 2 to n, ``1.5·2**m`` is added, where m is
    the number of fraction bits.
    """
    form, kind = _format(x.type), x.type
    high, low = form.ln2
    rounder = constant(kind, 1.5 * 2.0**form.mantissa + offset)
    rounded = fma(builder, x, constant(kind, 1 / math.log(2)), rounder)
    n = builder.fsub(rounded, rounder)
    r = fma(builder, n, constant(kind, -high), x)
    r = fma(builder, n, constant(kind, -low), r)
    series = _polynomial(builder, r, form.exp)
    return r, series, builder.bitcast(rounded, _integers(kind))


def _power_of_two(builder, exponent, kind):
    """Return the number 2ⁿ, given an integer whose low bits hold n plus the exponent's bias."""
    mantissa = constant(exponent.type, _format(kind).mantissa)
    return builder.bitcast(builder.shl(exponent, mantissa), kind)


def exp(builder, x):
    """Return eˣ; results below the smallest normal number are correct, too.

    With ``x = n·ln 2 + r``, the result is eʳ·2ⁿ. Because 2ⁿ can be too large or too small for
    the format, eʳ is multiplied by 2ᵏ and then by 2ⁿ⁻ᵏ, with k near n/2.
    """
    form = _format(x.type)
    x = _bound(builder, x, form.lowest, form.highest)
    r, value, n = _reduced(builder, x, 2 * form.bias)
    half, one = builder.lshr(n, constant(n.type, 1)), constant(x.type, 1)
    value = fma(builder, fma(builder, value, r, one), r, one)
    for exponent in (half, builder.sub(n, half)):
        value = builder.fmul(value, _power_of_two(builder, exponent, x.type))
    return value


def tanh(builder, x):
    """Return tanh x: ``t/(t + 2)`` with ``t = exp(2·|x|) − 1``, and with the sign of x."""
    one, kind = constant(x.type, 1), x.type
    double = call(builder, f"llvm.fabs.{suffix(kind)}", [builder.fadd(x, x)])
    # From 40 on, tanh is 1.
    double = _bound(builder, double, 0, 40)
    r, series, n = _reduced(builder, double, _format(kind).bias)
    power = _power_of_two(builder, n, kind)
    less_one = fma(builder, builder.fmul(r, r), series, r)
    t = fma(builder, power, less_one, builder.fsub(power, one))
    value = builder.fdiv(t, builder.fadd(t, constant(kind, 2)))
    return call(builder, f"llvm.copysign.{suffix(kind)}", [value, x])


def log(builder, x):
    """Return log x: −∞ for x = 0, and NaN for x < 0.

    x is written as the product 2ⁿ·(1 + f), with 1 + f between √½ and √2. The logarithm of 1 + f
    is f − ½f² + s·(½f² + R(s²)), with s = f/(2 + f) and a polynomial R.
    """
    form, kind, integers = _format(x.type), x.type, _integers(x.type)
    shift = constant(integers, form.mantissa)
    # Subnormal numbers are scaled to normal ones.
    subnormal = builder.fcmp_ordered("<", x, constant(kind, form.least))
    scaled = builder.fmul(x, constant(kind, 2.0**form.mantissa))
    bits = builder.bitcast(builder.select(subnormal, scaled, x), integers)
    # Adding this integer makes the exponent change at √½ instead of 1.
    one, root = (_bits(form, value) for value in (1.0, math.sqrt(0.5)))
    bits = builder.add(bits, constant(integers, one - root))
    exponent = builder.lshr(bits, shift)
    fraction = builder.and_(bits, constant(integers, (1 << form.mantissa) - 1))
    m = builder.bitcast(builder.add(fraction, constant(integers, root)), kind)
    f = builder.fsub(m, constant(kind, 1))
    # An exponent in the last bits of 2^mantissa gives the number 2^mantissa + exponent.
    large = 2.0**form.mantissa
    number = builder.or_(exponent, constant(integers, _bits(form, large)))
    number = builder.bitcast(number, kind)
    bias = [constant(kind, large + form.bias + extra) for extra in (form.mantissa, 0)]
    n = builder.fsub(number, builder.select(subnormal, *bias))
    s = builder.fdiv(f, builder.fadd(f, constant(kind, 2)))
    z = builder.fmul(s, s)
    series = builder.fmul(z, _polynomial(builder, z, form.log))
    half = builder.fmul(builder.fmul(f, constant(kind, 0.5)), f)
    high, low = (constant(kind, part) for part in form.ln2)
    small = fma(builder, s, builder.fadd(half, series), builder.fmul(n, low))
    value = fma(builder, n, high, builder.fsub(f, builder.fsub(half, small)))
    return _edges(builder, x, value)


def _bits(form, value):
    """Return the bits of a positive number in the floating-point format `form`."""
    fraction, exponent = math.frexp(value)
    significand = int(fraction * 2 ** (form.mantissa + 1))
    return ((exponent - 2 + form.bias) << form.mantissa) + significand


def _edges(builder, x, value):
    """Return `value`, the logarithm of x, if x is positive and finite.

    Otherwise return ∞ if x is ∞, −∞ if x is 0, and NaN if x is negative or NaN.
    """
    kind = x.type
    infinity, zero = constant(kind, math.inf), constant(kind, 0)
    value = builder.select(builder.fcmp_ordered("==", x, infinity), infinity, value)
    at_zero = builder.fcmp_ordered("==", x, zero)
    edge = builder.select(at_zero, constant(kind, -math.inf), constant(kind, math.nan))
    return builder.select(builder.fcmp_ordered(">", x, zero), value, edge)


def log1p(builder, x):
    """Return log(1 + x), with a correction for the rounding error of 1 + x."""
    kind, one = x.type, constant(x.type, 1)
    u = builder.fadd(x, one)
    missing = builder.fsub(x, builder.fsub(u, one))
    inside = builder.and_(
        builder.fcmp_ordered(">", u, constant(kind, 0)),
        builder.fcmp_ordered("<", u, constant(kind, math.inf)),
    )
    missing = builder.select(inside, builder.fdiv(missing, u), constant(kind, 0))
    return builder.fadd(log(builder, u), missing)
