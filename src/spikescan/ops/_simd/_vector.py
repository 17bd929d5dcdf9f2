"""The vector type, and the tracer: Python functions on it that run while a kernel is compiled and write LLVM instructions."""

import inspect
import operator
from collections.abc import Callable
from typing import Any

import numba
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, register_model

from spikescan.ops._compile import intrinsic


def _bytes_for(features: str) -> int:
    """Two registers of AVX-512, which has 32 of them, or of AVX2, whose 16 could not hold the sums of a wider vector."""
    return 128 if "+avx512f" in features.split(",") else 64


# Numba compiles for the features that NUMBA_CPU_FEATURES names, where it is set.
BYTES = _bytes_for(numba.config.CPU_FEATURES or binding.get_host_cpu_features().flatten())

ELEMENT = {types.float32: ir.FloatType(), types.float64: ir.DoubleType(), types.boolean: ir.IntType(1)}


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
        super().__init__(manager, lanes, ir.VectorType(ELEMENT[lanes.dtype], lanes.count))


@register_model(Group)
class _GroupModel(models.PrimitiveModel):
    def __init__(self, manager: Any, group: Group) -> None:
        super().__init__(manager, group, ir.VectorType(ir.IntType(1), group.lanes.count))


def constant(vector: ir.VectorType, value: float) -> ir.Constant:
    return ir.Constant(vector, [ir.Constant(vector.element, value)] * vector.count)


def broadcast(builder: Any, scalar: Any, count: int) -> Any:
    vector = ir.VectorType(scalar.type, count)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    zeros = constant(ir.VectorType(ir.IntType(32), count), 0)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)


def call(builder: Any, name: str, result: Any, args: list[Any]) -> Any:
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
        return broadcast(self.builder, value, vector.count)

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
        return other.over(self.value.type) if isinstance(other, Scalar) else constant(self.value.type, float(other))

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

    def lanes(self, order: Callable[[int], int]) -> "Vector":
        """The vector that has lane ``order(i)`` of this one at lane i."""
        kind = self.value.type
        mask = ir.VectorType(ir.IntType(32), kind.count)
        chosen = ir.Constant(mask, [ir.Constant(mask.element, order(i)) for i in range(kind.count)])
        undefined = ir.Constant(kind, ir.Undefined)
        return Vector(self.builder, self.builder.shuffle_vector(self.value, undefined, chosen))

    def llvm(self, name: str, *others: Any) -> "Vector":
        """The result of LLVM's elementwise intrinsic `name`."""
        kind = self.value.type
        suffix = f"v{kind.count}f{32 if isinstance(kind.element, ir.FloatType) else 64}"
        args = [self.value, *(self.like(other) for other in others)]
        return Vector(self.builder, call(self.builder, f"llvm.{name}.{suffix}", kind, args))


def from_llvm(builder: Any, kind: Any, value: Any) -> Any:
    """What a traced function is given for an argument of the Numba type `kind`."""
    if isinstance(kind, Lanes):
        return Vector(builder, value)
    if isinstance(kind, types.BaseTuple):
        parts = [builder.extract_value(value, i) for i in range(len(kind))]
        return tuple(from_llvm(builder, part, each) for part, each in zip(kind, parts, strict=True))
    return None if isinstance(kind, types.NoneType) else Scalar(builder, value)


def _type_of(result: Any) -> Any:
    """The Numba type of what a traced function returned."""
    if isinstance(result, tuple):
        return types.Tuple([_type_of(part) for part in result])
    kind = result.value.type
    dtype = next(name for name, element in ELEMENT.items() if element == kind.element)
    return Lanes(dtype, kind.count)


def to_llvm(context: Any, builder: Any, kind: Any, result: Any) -> Any:
    if isinstance(result, tuple):
        parts = [to_llvm(context, builder, part, each) for part, each in zip(kind, result, strict=True)]
        return context.make_tuple(builder, kind, parts)
    return result.value


def _llvm_type(kind: Any) -> Any:
    if isinstance(kind, Lanes):
        return ir.VectorType(ELEMENT[kind.dtype], kind.count)
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
        given = [from_llvm(builder, kind, arg) for kind, arg in zip(kinds, scratch.args, strict=True)]
        result = _type_of(function(*given))

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            given = [from_llvm(builder, kind, arg) for kind, arg in zip(signature.args, args, strict=True)]
            return to_llvm(context, builder, signature.return_type, function(*given))

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
        a, b = (from_llvm(builder, kind, arg) for kind, arg in zip(signature.args, args, strict=True))
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


@intrinsic
def full(context: Any, number: Any, lanes: Any) -> Any:
    """The number in every lane, of the type of the vector `lanes`, or of the vectors that the group `lanes` loads."""
    result = lanes.lanes if isinstance(lanes, Group) else lanes

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return Scalar(builder, args[0]).over(context.get_value_type(result))

    return result(number, lanes), generate


def static(number: int) -> tuple[int, ...]:
    """A small number that is part of a kernel's type, so that each value of it has a kernel of its own: `len` reads it.

    A tuple of that length is the one such value that Numba tells apart without calling back into Python.
    """
    return (0,) * number
