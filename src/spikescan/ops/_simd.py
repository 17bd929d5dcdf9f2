"""A vector of neurons for Numba kernels: `Lanes`, 128 bytes of them, and the arithmetic on it.

A kernel written on `Lanes` reads like the equation of one neuron and runs on 32 of them (16 in float64). LLVM cuts the
vector to the registers of the processor, so the same kernel serves AVX2, AVX-512 and NEON, and several registers in
flight hide the latency of a chain of dependent operations (measured: 32 lanes ran 1.4 times as fast as 16 on AVX-512).

Bits: every operation here is either exactly rounded by IEEE 754 (+, -, *, /, fma, comparisons) or a fixed sequence of such
operations (`exp2` and its relatives). Nothing is contracted, reassociated or taken from a vector library, so the result
for a neuron does not depend on its lane, on the width of the registers or on what stands beside it. Neurons left over at
the end run through the same operations, in a group whose loads and stores are masked.

Compile time: a function marked `traced` is plain Python that runs while a kernel is compiled and writes LLVM instructions
through `Vector`; Numba sees one call. The same functions as Numba overloads took ten times as long to compile.
"""

import inspect
import math
import operator
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, overload, register_model

from spikescan.ops._compile import inline, intrinsic

BYTES = 128
AHEAD = 256
LOG2_E = 1.4426950408889634

_ELEMENT = {types.float32: ir.FloatType(), types.float64: ir.DoubleType(), types.boolean: ir.IntType(1)}


class Lanes(types.Type):
    """The type of a vector: of float32, float64, or of booleans (a mask)."""

    def __init__(self, dtype: types.Type, count: int) -> None:
        self.dtype = dtype
        self.count = count
        super().__init__(name=f"Lanes({dtype}, {count})")


class Group(types.Type):
    """The type of the place where a vector is loaded and stored: WIDTH neurons, or the first few of them (`partial`)."""

    def __init__(self, dtype: types.Type, partial: bool) -> None:
        self.lanes = Lanes(dtype, BYTES // (dtype.bitwidth // 8))
        self.partial = partial
        super().__init__(name=f"Group({dtype}, {partial})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, lanes: Lanes) -> None:
        super().__init__(manager, lanes, ir.VectorType(_ELEMENT[lanes.dtype], lanes.count))


@register_model(Group)
class _GroupModel(models.PrimitiveModel):
    def __init__(self, manager: Any, group: Group) -> None:
        super().__init__(manager, group, ir.VectorType(ir.IntType(1), group.lanes.count))


# --- what a traced function computes with -----------------------------------------------------------------------------


def _constant(vector: ir.VectorType, value: float) -> ir.Constant:
    return ir.Constant(vector, [ir.Constant(vector.element, value)] * vector.count)


def _broadcast(builder: Any, scalar: Any, count: int) -> Any:
    vector = ir.VectorType(scalar.type, count)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    zeros = _constant(ir.VectorType(ir.IntType(32), count), 0)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)


def _call(builder: Any, name: str, result: Any, args: list[Any]) -> Any:
    kind = ir.FunctionType(result, [arg.type for arg in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)


class Scalar:
    """A number known when the kernel runs, the same for every lane."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder = builder
        self.value = value

    def over(self, vector: ir.VectorType) -> Any:
        """The number in every lane, in the precision of the vector."""
        value = self.value
        if isinstance(value.type, ir.IntType):
            value = self.builder.sitofp(value, vector.element)
        elif value.type != vector.element:
            narrow = isinstance(vector.element, ir.FloatType)
            value = (self.builder.fptrunc if narrow else self.builder.fpext)(value, vector.element)
        return _broadcast(self.builder, value, vector.count)

    def __neg__(self) -> "Scalar":
        return Scalar(self.builder, self.builder.fneg(self.value))


class Vector:
    """A vector while a kernel is compiled: each operation writes one instruction."""

    def __init__(self, builder: Any, value: Any) -> None:
        self.builder = builder
        self.value = value

    def like(self, other: Any) -> Any:
        """`other`, a vector or a number, as an operand for this vector."""
        if isinstance(other, Vector):
            return other.value
        return other.over(self.value.type) if isinstance(other, Scalar) else _constant(self.value.type, float(other))

    def full(self, number: Any) -> "Vector":
        """A number in every lane."""
        return Vector(self.builder, self.like(number))

    def _with(self, emit: str, other: Any, swap: bool = False) -> "Vector":
        a, b = self.value, self.like(other)
        return Vector(self.builder, getattr(self.builder, emit)(*((b, a) if swap else (a, b))))

    def _compare(self, sign: str, other: Any) -> "Vector":
        return Vector(self.builder, self.builder.fcmp_ordered(sign, self.value, self.like(other)))

    def __add__(self, other: Any) -> "Vector":
        return self._with("fadd", other)

    def __sub__(self, other: Any) -> "Vector":
        return self._with("fsub", other)

    def __rsub__(self, other: Any) -> "Vector":
        return self._with("fsub", other, swap=True)

    def __mul__(self, other: Any) -> "Vector":
        return self._with("fmul", other)

    def __truediv__(self, other: Any) -> "Vector":
        return self._with("fdiv", other)

    def __rtruediv__(self, other: Any) -> "Vector":
        return self._with("fdiv", other, swap=True)

    __radd__ = __add__
    __rmul__ = __mul__

    def __and__(self, other: Any) -> "Vector":
        return self._with("and_", other)

    def __lt__(self, other: Any) -> "Vector":
        return self._compare("<", other)

    def __le__(self, other: Any) -> "Vector":
        return self._compare("<=", other)

    def __gt__(self, other: Any) -> "Vector":
        return self._compare(">", other)

    def __ge__(self, other: Any) -> "Vector":
        return self._compare(">=", other)

    def llvm(self, name: str, *others: Any) -> "Vector":
        """The result of LLVM's elementwise intrinsic `name`."""
        kind = self.value.type
        suffix = f"v{kind.count}f{32 if isinstance(kind.element, ir.FloatType) else 64}"
        args = [self.value, *(self.like(other) for other in others)]
        return Vector(self.builder, _call(self.builder, f"llvm.{name}.{suffix}", kind, args))


def _from_llvm(builder: Any, kind: Any, value: Any) -> Any:
    """What a traced function is given for an argument of the Numba type `kind`."""
    if isinstance(kind, Lanes):
        return Vector(builder, value)
    if isinstance(kind, types.BaseTuple):
        parts = [builder.extract_value(value, i) for i in range(len(kind))]
        return tuple(_from_llvm(builder, part, each) for part, each in zip(kind, parts, strict=True))
    return None if isinstance(kind, types.NoneType) else Scalar(builder, value)


def _type_of(result: Any) -> Any:
    """The Numba type of what a traced function returned."""
    if isinstance(result, tuple):
        return types.Tuple([_type_of(part) for part in result])
    kind = result.value.type
    dtype = next(name for name, element in _ELEMENT.items() if element == kind.element)
    return Lanes(dtype, kind.count)


def _to_llvm(context: Any, builder: Any, kind: Any, result: Any) -> Any:
    if isinstance(result, tuple):
        parts = [_to_llvm(context, builder, part, each) for part, each in zip(kind, result, strict=True)]
        return context.make_tuple(builder, kind, parts)
    return result.value


def _llvm_type(kind: Any) -> Any:
    if isinstance(kind, Lanes):
        return ir.VectorType(_ELEMENT[kind.dtype], kind.count)
    if isinstance(kind, types.UniTuple):
        return ir.ArrayType(_llvm_type(kind.dtype), kind.count)
    if isinstance(kind, types.BaseTuple):
        return ir.LiteralStructType([_llvm_type(part) for part in kind])
    if isinstance(kind, types.NoneType):
        return ir.IntType(8).as_pointer()
    return (
        ir.DoubleType()
        if isinstance(kind, types.Float) and kind.bitwidth == 64
        else (ir.FloatType() if isinstance(kind, types.Float) else ir.IntType(64))
    )


def traced(function: Callable[..., Any]) -> Any:
    """Make a Python function on `Vector`, numbers and tuples of them callable in kernels, where it is written out in place."""

    def typing(context: Any, *kinds: Any) -> Any:
        # Once on nothing, to learn what it returns.
        scratch = ir.Function(
            ir.Module(), ir.FunctionType(ir.VoidType(), [_llvm_type(kind) for kind in kinds]), "scratch"
        )
        builder = ir.IRBuilder(scratch.append_basic_block())
        given = [_from_llvm(builder, kind, arg) for kind, arg in zip(kinds, scratch.args, strict=True)]
        result = _type_of(function(*given))

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            given = [_from_llvm(builder, kind, arg) for kind, arg in zip(signature.args, args, strict=True)]
            return _to_llvm(context, builder, signature.return_type, function(*given))

        return result(*kinds), generate

    # Numba counts the arguments of the function it is given.
    names = list(inspect.signature(function).parameters)
    namespace: dict[str, Any] = {"typing": typing}
    listed = ", ".join(names)
    exec(f"def {function.__name__}(context, {listed}):\n    return typing(context, {listed})", namespace)
    compiled = namespace[function.__name__]
    compiled.__doc__, compiled.__module__ = function.__doc__, function.__module__
    compiled.traced = function
    return intrinsic(compiled)


def _overload_operator(python: Callable[..., Any]) -> None:
    """Let kernels write a Python operator between two vectors, or a vector and a number."""

    @infer_global(python)
    class _Template(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            lanes = next((arg for arg in args if isinstance(arg, Lanes)), None)
            others = [arg for arg in args if not isinstance(arg, Lanes)]
            if lanes is None or len(args) != 2 or not all(isinstance(arg, types.Number) for arg in others):
                return None
            compares = python in (operator.lt, operator.le, operator.gt, operator.ge)
            return signature(Lanes(types.boolean, lanes.count) if compares else lanes, *args)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        a, b = (_from_llvm(builder, kind, arg) for kind, arg in zip(signature.args, args, strict=True))
        return python(a, b).value

    for kinds in ((Lanes, Lanes), (Lanes, types.Number), (types.Number, Lanes)):
        lower_builtin(python, *kinds)(generate)


for _operator in (
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.and_,
    operator.lt,
    operator.le,
    operator.gt,
    operator.ge,
):
    _overload_operator(_operator)


# --- memory -----------------------------------------------------------------------------------------------------------


@intrinsic
def _pointer(context: Any, address: Any) -> Any:
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


@intrinsic
def whole(context: Any, array: Any) -> Any:
    """A full group of neurons, for arrays of this dtype."""
    group = Group(array.dtype, False)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(context.get_value_type(group), ir.Undefined)

    return group(array), generate


@intrinsic
def part(context: Any, array: Any, count: Any) -> Any:
    """A group of which only the first `count` neurons exist."""
    group = Group(array.dtype, True)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = ir.VectorType(ir.IntType(64), group.lanes.count)
        index = ir.Constant(lanes, [ir.Constant(ir.IntType(64), i) for i in range(lanes.count)])
        return builder.icmp_signed("<", index, _broadcast(builder, args[1], lanes.count))

    return group(array, types.int64), generate


def _emit_load(context: Any, builder: Any, array_type: Any, array: Any, index: Any, group: Group, mask: Any) -> Any:
    vector = ir.VectorType(_ELEMENT[group.lanes.dtype], group.lanes.count)
    size = group.lanes.dtype.bitwidth // 8
    data = context.make_array(array_type)(context, builder, array).data
    pointer = builder.bitcast(builder.gep(data, [index]), vector.as_pointer())
    if group.partial:
        name = f"llvm.masked.load.v{vector.count}f{8 * size}.p0"
        return _call(builder, name, vector, [pointer, ir.Constant(ir.IntType(32), size), mask, _constant(vector, 0.0)])
    value = builder.load(pointer)
    value.align = size
    return value


def _emit_store(
    context: Any,
    builder: Any,
    array_type: Any,
    array: Any,
    index: Any,
    value: Any,
    group: Group,
    mask: Any,
    *,
    past_cache: bool = False,
) -> None:
    size = group.lanes.dtype.bitwidth // 8
    data = context.make_array(array_type)(context, builder, array).data
    pointer = builder.bitcast(builder.gep(data, [index]), value.type.as_pointer())
    if group.partial:
        name = f"llvm.masked.store.v{value.type.count}f{8 * size}.p0"
        _call(builder, name, ir.VoidType(), [value, pointer, ir.Constant(ir.IntType(32), size), mask])
    else:
        written = builder.store(value, pointer)
        written.align = 64 if past_cache else size
        if past_cache:
            written.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))


@intrinsic
def load(context: Any, array: Any, index: Any, group: Any) -> Any:
    """The vector at ``array[index : index + WIDTH]``; lanes that do not exist are zero."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _emit_load(context, builder, signature.args[0], args[0], args[1], group, args[2])

    return group.lanes(array, types.intp, group), generate


@intrinsic
def store(context: Any, array: Any, index: Any, value: Any, group: Any) -> Any:
    """Write the vector to ``array[index : index + WIDTH]``, where the lanes exist."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _emit_store(context, builder, signature.args[0], args[0], args[1], args[2], group, args[3])
        return context.get_dummy_value()

    return types.void(array, types.intp, group.lanes, group), generate


@intrinsic
def prefetch(context: Any, array: Any, index: Any, group: Any) -> Any:
    """Ask for the memory at ``array[index : index + WIDTH]`` ahead of its use; harmless beyond the ends of the array."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        for line in range(0, BYTES, 64):
            element = line // (group.lanes.dtype.bitwidth // 8)
            at = builder.bitcast(builder.gep(data, [builder.add(args[1], args[1].type(element))]), byte)
            _call(builder, "llvm.prefetch.p0", ir.VoidType(), [at, number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp, group), generate


@intrinsic
def _store_past_cache(context: Any, array: Any, index: Any, value: Any, group: Any) -> Any:
    """As `store`, past the cache: for memory aligned to 64 bytes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _emit_store(context, builder, signature.args[0], args[0], args[1], args[2], group, args[3], past_cache=True)
        return context.get_dummy_value()

    return types.void(array, types.intp, group.lanes, group), generate


@intrinsic
def load_rows(context: Any, array: Any, index: Any, stride: Any, rows: Any, group: Any) -> Any:
    """The tuple of vectors at index, index + stride, ...; as many as the tuple `rows` has items."""
    result = types.UniTuple(group.lanes, len(rows))

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors, at = [], args[1]
        for _ in range(len(rows)):
            vectors.append(_emit_load(context, builder, signature.args[0], args[0], at, group, args[4]))
            at = builder.add(at, args[2])
        return context.make_tuple(builder, result, vectors)

    return result(array, types.intp, types.intp, rows, group), generate


@intrinsic
def store_rows(context: Any, array: Any, index: Any, stride: Any, vectors: Any, group: Any) -> Any:
    """Write the vectors to index, index + stride, ..."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        at = args[1]
        for i in range(len(vectors)):
            value = builder.extract_value(args[3], i)
            _emit_store(context, builder, signature.args[0], args[0], at, value, group, args[4])
            at = builder.add(at, args[2])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, vectors, group), generate


@intrinsic
def full(context: Any, number: Any, lanes: Any) -> Any:
    """The number in every lane, of the type of the vector `lanes`, or of the vectors that the group `lanes` loads."""
    result = lanes.lanes if isinstance(lanes, Group) else lanes

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return Scalar(builder, args[0]).over(context.get_value_type(result))

    return result(number, lanes), generate


@inline
def further(slot, size, jump):
    """How far away lies what a sweep needs `AHEAD` neurons later, from neuron `slot` of a block of `size`.

    Within the block that many neurons on; at its end at the start of the next tile, which lies `jump` away. Asking there for
    the same neurons of the next tile, as one would first think, puts too many lines into the same sets of the cache where the
    size of a step is a multiple of a page.
    """
    return AHEAD if slot + AHEAD < size else jump + AHEAD - size


@inline
def upcoming(slot, size, tile, step, neurons, start):
    """Where to ask for the next tile, which begins at `start`, while vector `slot` of this one, of `size` neurons, is computed.

    In the order of memory, a row of the block after the other: each vector asks for `tile` vectors, one a time step. Asking
    for the same neurons of every row puts too many lines into the same sets of the cache where a step is a multiple of a page.
    """
    vectors = -(-size // step)
    asked = slot // step * tile
    return start + asked // vectors * neurons + asked % vectors * step


@inline
def put(array, index, value, past_cache, group):
    """Write the vector, past the cache if asked to: for aligned memory that nobody reads soon."""
    if past_cache:
        _store_past_cache(array, index, value, group)
    else:
        store(array, index, value, group)


@inline
def load_at(x, window, time, neurons, index, group):
    """The input at `time`; before 0 it stands in the window, which ends at time -1; before that it is zero."""
    if time >= 0:
        return load(x, time * neurons + index, group)
    start = window.size + time * neurons
    if start >= 0:
        return load(window, start + index, group)
    return full(0.0, group)


def static(number: int) -> tuple[int, ...]:
    """A small number that is part of a kernel's type, so that each value of it has a kernel of its own: `len` reads it.

    A tuple of that length is the one such value that Numba tells apart without calling back into Python.
    """
    return (0,) * number


# --- functions --------------------------------------------------------------------------------------------------------


@traced
def fma(a, b, c):
    """A * b + c, rounded once."""
    return a.llvm("fma", b, c)


def choose(mask: Vector, a: Vector, b: Any) -> Vector:
    """`a` where the mask holds, else `b`."""
    return Vector(mask.builder, mask.builder.select(mask.value, a.value, a.like(b)))


@traced
def select(mask, a, b):
    """`a` where the mask holds, else `b`."""
    return choose(mask, a, b)


@traced
def dot(taps, window, start):
    """Start + sum_i taps_i * window_i, in the order of i."""
    for tap, value in zip(taps, window, strict=True):
        start = tap.llvm("fma", value, start)
    return start


@traced
def axpy(factor, vectors, sums):
    """The tuple of factor * vectors_i + sums_i."""
    return tuple(factor.llvm("fma", vector, total) for vector, total in zip(vectors, sums, strict=True))


@traced
def plus(vectors, others):
    """The tuple of vectors_i + others_i."""
    return tuple(one + other for one, other in zip(vectors, others, strict=True))


@traced
def zeros(vectors):
    """As many vectors of zeros."""
    return tuple(vector.full(0.0) for vector in vectors)


@traced
def backwards(vectors):
    """The tuple in reverse order."""
    return vectors[::-1]


@traced
def pushed(vectors, newest):
    """The tuple without its first vector and with `newest` at its end."""
    return (*vectors, newest)[1:]


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
    exponent = builder.add(builder.fptosi(n.value, integers), _constant(integers, bias))
    power = builder.bitcast(builder.shl(exponent, _constant(integers, mantissa)), a.value.type)
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


@inline
def add_rows(table, index, stride, vectors, group):
    """Add the vectors to those at index, index + stride, ..."""
    store_rows(table, index, stride, plus(load_rows(table, index, stride, vectors, group), vectors), group)


@inline
def tabulate(table, first_row, values, rows, channels, space, period, scale):
    """Write parameters ``[channels, rows]``, times `scale`, to rows of a table over the columns of a period of neurons."""
    channel, used = 0, 0
    for column in range(period):
        for each in range(rows):
            table[(first_row + each) * period + column] = values[channel * rows + each] * scale
        used += 1
        if used == space:
            channel, used = (channel + 1) % channels, 0


@inline
def add_columns(totals, sums, rows, start, stop, period, block):
    """Add what a block of neurons summed (`rows` rows of `block`) to the table of parameters (`rows` rows of `period`)."""
    step = BYTES // sums.itemsize
    for each in range(rows):
        column = start % period
        for slot in range(0, stop - start, step):
            group = part(sums, min(step, stop - start - slot))
            at = each * period + column
            store(totals, at, load(totals, at, group) + load(sums, each * block + slot, group), group)
            column += step
            if column >= period:
                column = 0
