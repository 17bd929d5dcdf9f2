"""A vector of neurons for Numba kernels: `Lanes`, 128 bytes of them, and the arithmetic on it.

A kernel written on `Lanes` reads like the equation of one neuron and runs on 32 of them (16 in float64). LLVM cuts the vector
to the registers of the processor, so the same kernel serves AVX2, AVX-512 and NEON, and several registers in flight hide
the latency of a chain of dependent operations (measured: 32 lanes ran 1.4 times as fast as 16 on AVX-512).

Bits: every operation here is either exactly rounded by IEEE 754 (+, -, *, /, fma, comparisons) or a fixed sequence of such
operations (`exp2` and its relatives). Nothing is contracted, reassociated or taken from a vector library, so the result
for a neuron does not depend on its lane, on the width of the registers or on what stands beside it. Neurons left over at
the end run through the same operations, in a group whose loads and stores are masked.
"""

import math
import operator
from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import intrinsic, overload, register_model

from spikescan.ops._compile import inline

BYTES = 128
LOG2_E = 1.4426950408889634


class Lanes(types.Type):  # type: ignore[misc]
    """The type of a vector: of float32, float64, or of booleans (a mask)."""

    def __init__(self, dtype: types.Type, count: int) -> None:
        self.dtype = dtype
        self.count = count
        super().__init__(name=f"Lanes({dtype}, {count})")


class Group(types.Type):  # type: ignore[misc]
    """The type of the place where a vector is loaded and stored: WIDTH neurons, or the first few of them (`partial`)."""

    def __init__(self, dtype: types.Type, partial: bool) -> None:
        self.lanes = Lanes(dtype, BYTES // (dtype.bitwidth // 8))
        self.partial = partial
        super().__init__(name=f"Group({dtype}, {partial})")


_ELEMENT = {types.float32: ir.FloatType(), types.float64: ir.DoubleType(), types.boolean: ir.IntType(1)}


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, lanes: Lanes) -> None:
        super().__init__(manager, lanes, ir.VectorType(_ELEMENT[lanes.dtype], lanes.count))


@register_model(Group)
class _GroupModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, group: Group) -> None:
        super().__init__(manager, group, ir.VectorType(ir.IntType(1), group.lanes.count))


def _mask_of(lanes: Lanes) -> Lanes:
    return Lanes(types.boolean, lanes.count)


def _constant(llvm_type: ir.VectorType, value: float) -> ir.Constant:
    return ir.Constant(llvm_type, [ir.Constant(llvm_type.element, value)] * llvm_type.count)


def _broadcast(builder: Any, scalar: Any, count: int) -> Any:
    vector = ir.VectorType(scalar.type, count)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(
        first, ir.Constant(vector, ir.Undefined), _constant(ir.VectorType(ir.IntType(32), count), 0)
    )


def _llvm(builder: Any, name: str, result: Any, args: list[Any]) -> Any:
    signature = ir.FunctionType(result, [arg.type for arg in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, name), args)


# --- memory of tensors ------------------------------------------------------------------------------------------------


@intrinsic
def _pointer(typing: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), generate


def row(address: Any, size: Any, like: Any) -> Any:
    """The `size` numbers at `address` (`Tensor.data_ptr`), of the type of the number `like`.

    A kernel is given addresses: making an array of each tensor would cost more than a single time step does.
    """
    raise AssertionError("only inside a kernel")


@overload(row)
def _row(address, size, like):
    dtype = numba.np.numpy_support.as_dtype(like)
    return lambda address, size, like: numba.carray(_pointer(address), (size,), dtype)


# --- groups, loads and stores -----------------------------------------------------------------------------------------


@intrinsic
def whole(typing: Any, array: Any) -> Any:
    """A full group of neurons, for arrays of this dtype."""
    group = Group(array.dtype, False)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(context.get_value_type(group), ir.Undefined)

    return group(array), generate


@intrinsic
def part(typing: Any, array: Any, count: Any) -> Any:
    """A group of which only the first `count` neurons exist."""
    group = Group(array.dtype, True)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = ir.VectorType(ir.IntType(64), group.lanes.count)
        index = ir.Constant(lanes, [ir.Constant(ir.IntType(64), i) for i in range(lanes.count)])
        return builder.icmp_signed("<", index, _broadcast(builder, args[1], lanes.count))

    return group(array, types.int64), generate


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any, vector: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())


@intrinsic
def load(typing: Any, array: Any, index: Any, group: Any) -> Any:
    """The vector at ``array[index : index + WIDTH]``; lanes that do not exist are zero."""
    lanes = group.lanes
    size = lanes.dtype.bitwidth // 8

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = context.get_value_type(lanes)
        pointer = _address(context, builder, signature.args[0], args[0], args[1], vector)
        if group.partial:
            name = f"llvm.masked.load.v{lanes.count}f{lanes.dtype.bitwidth}.p0"
            zero = _constant(vector, 0.0)
            return _llvm(builder, name, vector, [pointer, ir.Constant(ir.IntType(32), size), args[2], zero])
        value = builder.load(pointer)
        value.align = size
        return value

    return lanes(array, types.intp, group), generate


@intrinsic
def store(typing: Any, array: Any, index: Any, value: Any, group: Any) -> Any:
    """Write the vector to ``array[index : index + WIDTH]``, where the lanes exist."""
    lanes = group.lanes
    size = lanes.dtype.bitwidth // 8

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = context.get_value_type(lanes)
        pointer = _address(context, builder, signature.args[0], args[0], args[1], vector)
        if group.partial:
            name = f"llvm.masked.store.v{lanes.count}f{lanes.dtype.bitwidth}.p0"
            _llvm(builder, name, ir.VoidType(), [args[2], pointer, ir.Constant(ir.IntType(32), size), args[3]])
        else:
            builder.store(args[2], pointer).align = size
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes, group), generate


@intrinsic
def splat(typing: Any, value: Any, group: Any) -> Any:
    """The number `value` in every lane."""
    lanes = group.lanes

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _broadcast(builder, context.cast(builder, args[0], signature.args[0], lanes.dtype), lanes.count)

    return lanes(value, group), generate


@intrinsic
def full(typing: Any, value: Any, lanes: Any) -> Any:
    """The number `value` in every lane, of the type of the vector `lanes`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _broadcast(builder, context.cast(builder, args[0], signature.args[0], lanes.dtype), lanes.count)

    return lanes(value, lanes), generate


# --- arithmetic -------------------------------------------------------------------------------------------------------


def _is_number(value: Any) -> bool:
    return isinstance(value, types.Float | types.Integer)


def _binary(python: Callable[..., Any], emit: Callable[[Any, Any, Any], Any], *, mask: bool) -> None:
    """Overload a Python operator for two vectors, or a vector and a number."""

    @intrinsic
    def vectors(typing: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return emit(builder, args[0], args[1])

        return (_mask_of(a) if mask else a)(a, b), generate

    def implement(a, b):
        if isinstance(a, Lanes) and isinstance(b, Lanes):
            return lambda a, b: vectors(a, b)
        if isinstance(a, Lanes) and _is_number(b):
            return lambda a, b: vectors(a, full(b, a))
        if isinstance(b, Lanes) and _is_number(a):
            return lambda a, b: vectors(full(a, b), b)
        return None

    overload(python)(implement)


_binary(operator.add, lambda builder, a, b: builder.fadd(a, b), mask=False)
_binary(operator.sub, lambda builder, a, b: builder.fsub(a, b), mask=False)
_binary(operator.mul, lambda builder, a, b: builder.fmul(a, b), mask=False)
_binary(operator.truediv, lambda builder, a, b: builder.fdiv(a, b), mask=False)
_binary(operator.and_, lambda builder, a, b: builder.and_(a, b), mask=False)
_binary(operator.ge, lambda builder, a, b: builder.fcmp_ordered(">=", a, b), mask=True)
_binary(operator.gt, lambda builder, a, b: builder.fcmp_ordered(">", a, b), mask=True)
_binary(operator.le, lambda builder, a, b: builder.fcmp_ordered("<=", a, b), mask=True)
_binary(operator.lt, lambda builder, a, b: builder.fcmp_ordered("<", a, b), mask=True)


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """A * b + c, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _llvm(builder, f"llvm.fma.v{a.count}f{a.dtype.bitwidth}", args[0].type, list(args))

    return a(a, a, a), generate


@intrinsic
def rint(typing: Any, a: Any) -> Any:
    """The nearest integer, half to even."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _llvm(builder, f"llvm.rint.v{a.count}f{a.dtype.bitwidth}", args[0].type, list(args))

    return a(a), generate


@intrinsic
def absolute(typing: Any, a: Any) -> Any:
    """Without the sign."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _llvm(builder, f"llvm.fabs.v{a.count}f{a.dtype.bitwidth}", args[0].type, list(args))

    return a(a), generate


@intrinsic
def select(typing: Any, mask: Any, a: Any, b: Any) -> Any:
    """`a` where the mask holds, else `b`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(*args)

    return a(mask, a, a), generate


@inline
def clamp(a, low, high):
    """Within `low` and `high`; NaN stays NaN."""
    a = select(a < low, full(low, a), a)
    return select(a > high, full(high, a), a)


@intrinsic
def _power_of_two(typing: Any, n: Any) -> Any:
    """2^n for integral n within the normal exponents, by writing the exponent bits."""
    bits = n.dtype.bitwidth
    mantissa, bias = (23, 127) if bits == 32 else (52, 1023)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integers = ir.VectorType(ir.IntType(bits), n.count)
        exponent = builder.add(builder.fptosi(args[0], integers), _constant(integers, bias))
        return builder.bitcast(builder.shl(exponent, _constant(integers, mantissa)), args[0].type)

    return n(n), generate


# --- tuples of vectors ------------------------------------------------------------------------------------------------
#
# The length of a tuple is part of its type, so these recursions unroll while they compile and the vectors stay in registers.


def dot(taps: Any, window: Any, start: Any) -> Any:
    """Start + sum_i taps_i * window_i, in the order of i."""
    raise AssertionError("only inside a kernel")


@overload(dot)
def _dot(taps, window, start):
    if len(taps) == 0:
        return lambda taps, window, start: start
    return lambda taps, window, start: dot(taps[1:], window[1:], fma(taps[0], window[0], start))


def axpy(factor: Any, vectors: Any, sums: Any) -> Any:
    """The tuple of factor * vectors_i + sums_i."""
    raise AssertionError("only inside a kernel")


@overload(axpy)
def _axpy(factor, vectors, sums):
    if len(vectors) == 0:
        return lambda factor, vectors, sums: ()
    return lambda factor, vectors, sums: (fma(factor, vectors[0], sums[0]), *axpy(factor, vectors[1:], sums[1:]))


def backwards(vectors: Any) -> Any:
    """The tuple in reverse order."""
    raise AssertionError("only inside a kernel")


@overload(backwards)
def _backwards(vectors):
    if len(vectors) == 0:
        return lambda vectors: ()
    return lambda vectors: (*backwards(vectors[1:]), vectors[0])


def load_rows(array: Any, index: Any, stride: Any, rows: Any, group: Any) -> Any:
    """The tuple of vectors at index, index + stride, ...; as many as the tuple `rows` has items."""
    raise AssertionError("only inside a kernel")


@overload(load_rows)
def _load_rows(array, index, stride, rows, group):
    if len(rows) == 0:
        return lambda array, index, stride, rows, group: ()
    return lambda array, index, stride, rows, group: (
        load(array, index, group),
        *load_rows(array, index + stride, stride, rows[1:], group),
    )


def store_rows(array: Any, index: Any, stride: Any, vectors: Any, group: Any) -> Any:
    """Write the vectors to index, index + stride, ..."""
    raise AssertionError("only inside a kernel")


@overload(store_rows)
def _store_rows(array, index, stride, vectors, group):
    if len(vectors) == 0:
        return lambda array, index, stride, vectors, group: None

    def implementation(array, index, stride, vectors, group):
        store(array, index, vectors[0], group)
        store_rows(array, index + stride, stride, vectors[1:], group)

    return implementation


def load_past(x: Any, window: Any, time: Any, neurons: Any, index: Any, rows: Any, group: Any) -> Any:
    """The inputs of len(rows) steps from `time` on, from `window` (which ends at time -1) where time is negative, else zero."""
    raise AssertionError("only inside a kernel")


@overload(load_past)
def _load_past(x, window, time, neurons, index, rows, group):
    if len(rows) == 0:
        return lambda x, window, time, neurons, index, rows, group: ()

    def implementation(x, window, time, neurons, index, rows, group):
        before = window.size + time * neurons
        if time >= 0:
            first = load(x, time * neurons + index, group)
        elif before >= 0:
            first = load(window, before + index, group)
        else:
            first = splat(0.0, group)
        return (first, *load_past(x, window, time + 1, neurons, index, rows[1:], group))

    return implementation


# --- functions --------------------------------------------------------------------------------------------------------

# Taylor coefficients of 2^f - 1 = f P(f): log(2)^n / n!. On |f| <= 1/2 the first left out bounds the error.
_LN2 = 0.6931471805599453
_EXP2 = tuple(_LN2**n / math.factorial(n) for n in range(1, 15))
_EXP2_SINGLE = _EXP2[:8]  # next term: 2e-10
_EXP2_DOUBLE = _EXP2[:14]  # next term: 7e-17


def _exp2_fraction(f: Any) -> Any:
    """2^f - 1 for |f| <= 1/2."""
    raise AssertionError("only inside a kernel")


@overload(_exp2_fraction)
def _exp2_fraction_of(f):
    coefficients = _EXP2_SINGLE if f.dtype == types.float32 else _EXP2_DOUBLE
    highest = len(coefficients) - 1

    def horner(f):
        p = full(coefficients[highest], f)
        for i in range(highest - 1, -1, -1):
            p = fma(p, f, full(coefficients[i], f))
        return p * f

    return horner


@inline
def split_exp2(a):
    """(2^n, 2^f - 1) with a = n + f and |f| <= 1/2; a is held within -126 and 126."""
    a = clamp(a, -126.0, 126.0)
    n = rint(a)
    return _power_of_two(n), _exp2_fraction(a - n)


@inline
def exp2(a):
    """2^a to within 2 units in the last place; a is held within -126 and 126."""
    power, fraction = split_exp2(a)
    return fma(power, fraction, power)


@inline
def exp(a):
    """e^a; the relative error grows to |a| units in the last place, from the rounding of a / log(2)."""
    return exp2(a * LOG2_E)


@inline
def expm1(a):
    """e^a - 1 without cancellation."""
    power, fraction = split_exp2(a * LOG2_E)
    return fma(power, fraction, power - 1.0)


@inline
def log1p_unit(u):
    """log(1 + u) for u within 0 and 1: 2 atanh(u / (2 + u)) by its series, whose 17 terms reach float64."""
    z = u / (u + 2.0)
    square = z * z
    series = full(1.0 / 33.0, u)
    for i in range(15, -1, -1):
        series = fma(series, square, full(1.0 / (2 * i + 1), u))
    return 2.0 * z * series


@inline
def sigmoid(a):
    """1 / (1 + e^-a)."""
    return 1.0 / (exp(a * -1.0) + 1.0)


@inline
def add_columns(totals, sums, rows, start, stop, period, block):
    """Add what a block of neurons summed (`rows` rows of `block`) to the table of parameters (`rows` rows of `period`)."""
    for row in range(rows):
        column = start % period
        for slot in range(stop - start):
            totals[row * period + column] += sums[row * block + slot]
            column += 1
            if column == period:
                column = 0
