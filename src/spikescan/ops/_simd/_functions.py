"""Functions of vectors, each a fixed sequence of operations that IEEE 754 rounds exactly."""

import math
from typing import Any

import numpy as np
from llvmlite import ir

from spikescan.ops._simd._vector import Vector, constant, traced

LOG2_E = 1.4426950408889634


@traced
def fma(a, b, c):
    """A * b + c, rounded once."""
    return a.llvm("fma", b, c)


@traced
def times(a, b, c, pairs):
    """A * b + c; of complex numbers, two lanes each, where the tuple `pairs` has an item."""
    if not pairs:
        return a.llvm("fma", b, c)
    return _imaginary(a).llvm("fma", _turned(b), _real(a).llvm("fma", b, c))


@traced
def times_conjugate(a, b, c, pairs):
    """As `times`, of the conjugate of a."""
    if not pairs:
        return a.llvm("fma", b, c)
    return (_imaginary(a) * -1.0).llvm("fma", _turned(b), _real(a).llvm("fma", b, c))


def _real(a: Vector) -> Vector:
    """The real part of each number in both of its lanes."""
    return a.lanes(lambda i: i - i % 2)


def _imaginary(a: Vector) -> Vector:
    """The imaginary part of each number in both of its lanes."""
    return a.lanes(lambda i: i - i % 2 + 1)


def _turned(a: Vector) -> Vector:
    """Each number times the imaginary unit: (-imaginary, real)."""
    signs = ir.Constant(
        a.value.type, [ir.Constant(a.value.type.element, (-1.0, 1.0)[i % 2]) for i in range(a.value.type.count)]
    )
    return a.lanes(lambda i: i + 1 - 2 * (i % 2)) * Vector(a.builder, signs)


def choose(mask: Vector, a: Vector, b: Any) -> Vector:
    """`a` where the mask holds, else `b`."""
    return Vector(mask.builder, mask.builder.select(mask.value, a.value, a.like(b)))


@traced
def select(mask, a, b):
    """`a` where the mask holds, else `b`."""
    return choose(mask, a, b)


@traced
def axpy(factor, vectors, sums):
    """The tuple of factor * vectors_i + sums_i."""
    return tuple(factor.llvm("fma", vector, total) for vector, total in zip(vectors, sums, strict=True))


@traced
def axpys(factors, vectors, sums):
    """The tuple of factors_i * vectors_i + sums_i."""
    each = zip(factors, vectors, sums, strict=True)
    return tuple(vector.llvm("fma", factor, total) for factor, vector, total in each)


@traced
def plus(vectors, others):
    """The tuple of vectors_i + others_i."""
    return tuple(one + other for one, other in zip(vectors, others, strict=True))


@traced
def pushed(vectors, newest):
    """The tuple without its first vector and with `newest` at its end."""
    return (*vectors, newest)[1:]


@traced
def summed(vector):
    """The sum of the lanes, in every lane: halves of it are added until one is left."""
    half = vector.value.type.count // 2
    while half:
        vector = vector + vector.lanes(lambda i, half=half: i ^ half)
        half //= 2
    return vector


def clamped(a: Vector, low: Any, high: Any) -> Vector:
    """Within `low` and `high`; NaN stays NaN."""
    a = choose(a < low, a.full(low), a)
    return choose(a > high, a.full(high), a)


def _interpolated(degree: int) -> list[float]:
    """Coefficients of P with 2^f - 1 = f P(f) on |f| <= 1/2, lowest first, by interpolation at Chebyshev's points."""
    exact = np.polynomial.Chebyshev.interpolate(lambda f: np.expm1(f * math.log(2.0)) / f, degree, domain=[-0.5, 0.5])
    return [float(c) for c in exact.convert(kind=np.polynomial.Polynomial).coef]


# Float64 takes Taylor's series instead: numpy's conversion to powers of f would lose the last two digits.
_EXP2 = {32: _interpolated(5), 64: [math.log(2.0) ** n / math.factorial(n) for n in range(1, 15)]}  # errors 4e-9, 7e-17
_EXPONENT = {32: (23, 127), 64: (52, 1023)}  # bits of the mantissa, bias


def split_exp2(a: Vector) -> tuple[Vector, Vector]:
    """(2^n, 2^f - 1) with a = n + f and |f| <= 1/2; a is held within -126 and 126."""
    builder = a.builder
    bits = 32 if isinstance(a.value.type.element, ir.FloatType) else 64
    a = clamped(a, -126.0, 126.0)
    n = a.llvm("rint")
    f = a - n
    *lower, highest = _EXP2[bits]
    p = a.full(highest)
    for coefficient in reversed(lower):
        p = p.llvm("fma", f, coefficient)
    # 2^n by writing n into the bits of the exponent.
    integers = ir.VectorType(ir.IntType(bits), a.value.type.count)
    mantissa, bias = _EXPONENT[bits]
    exponent = builder.add(builder.fptosi(n.value, integers), constant(integers, bias))
    power = builder.bitcast(builder.shl(exponent, constant(integers, mantissa)), a.value.type)
    return Vector(builder, power), p * f


def exp2_of(a: Vector) -> Vector:
    """2^a to within 2 units in the last place; a is held within -126 and 126."""
    power, fraction = split_exp2(a)
    return power.llvm("fma", fraction, power)


def log1p_unit(u: Vector) -> Vector:
    """log(1 + u) for u within 0 and 1: 2 atanh(u / (2 + u)) by its series, whose 17 terms reach float64."""
    z = u / (u + 2.0)
    square = z * z
    series = u.full(1.0 / 33.0)
    for i in range(15, -1, -1):
        series = series.llvm("fma", square, 1.0 / (2 * i + 1))
    return z * 2.0 * series
