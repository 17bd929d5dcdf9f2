"""A cell inside a kernel: its key as a type, and its program and gradient written out as instructions on vectors."""

import functools
from collections import Counter
from typing import Any

from numba import types
from numba.core.datamodel import models
from numba.core.imputils import lower_constant
from numba.extending import NativeValue, register_model, typeof_impl, unbox

from spikescan.ops._compile import intrinsic
from spikescan.ops._simd import Vector, choose, from_llvm, to_llvm
from spikescan.ops.fire.cpu import exp_of, through
from spikescan.ops.fire.cpu import spikes as fire
from spikescan.ops.sigmoid.cpu import logistic
from spikescan.ops.sweep.cell import Cell, Node, Program, cell_of

__all__ = ["advance", "retreat"]

# --- a cell as a type ------------------------------------------------------------------------------------------------


class CellType(types.Type):
    """The type of a cell: its key, so that a kept kernel is found again, and never for a cell that has changed."""

    def __init__(self, cell_key: str) -> None:
        self.cell_key = cell_key
        super().__init__(name=f"Cell({cell_key})")


register_model(CellType)(models.OpaqueModel)


@typeof_impl.register(Cell)
def _type_of_cell(cell: Cell, _: Any) -> CellType:
    return _cell_type(cell.key)


@functools.cache
def _cell_type(cell_key: str) -> CellType:
    """The same object each time: Numba asks at every call of a kernel, and making one takes longer than a step."""
    return CellType(cell_key)


@lower_constant(CellType)
def _constant_cell(context: Any, builder: Any, kind: CellType, cell: Cell) -> Any:
    return context.get_dummy_value()


@unbox(CellType)
def _unbox_cell(kind: CellType, cell: Any, c: Any) -> Any:
    return NativeValue(c.context.get_dummy_value())


# --- a program as instructions ---------------------------------------------------------------------------------------


_OPERATIONS: dict[str, Any] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: a * -1.0,
    "ge": lambda a, b: a >= b,
    "gt": lambda a, b: a > b,
    "le": lambda a, b: a <= b,
    "lt": lambda a, b: a < b,
    "where": choose,
    "exp": exp_of,
    "sigmoid": logistic.traced,
    "relu": lambda a: choose(a > 0.0, a, 0.0),
    "floor": lambda a: a.llvm("floor"),
    "detach": lambda a: a,
    "constant": lambda a: a,
}


def _fused(program: Program) -> set[Node]:
    """The products that are computed in one with the sum or difference that alone uses them."""
    inputs = [each for node in program.nodes for each in node.inputs if isinstance(each, Node)]
    uses = Counter([*inputs, *program.outputs])
    fused = set()
    for node in program.nodes:
        if node.op in ("add", "sub"):
            product = next((e for e in node.inputs if isinstance(e, Node) and e.op == "mul" and uses[e] == 1), None)
            if product is not None:
                fused.add(product)
    return fused


def _run(program: Program, given: dict[tuple[Any, ...], Vector], like: Vector, firing: tuple[Any, ...]) -> list[Vector]:
    """The outputs of a program on vectors; a sum of a product that nothing else uses is one fma."""
    kind, level, *shape = firing
    fused = _fused(program)
    values: dict[Node, Vector] = {}

    def value(each: Any) -> Vector:
        return values[each] if isinstance(each, Node) else like.full(each)

    for node in program.nodes:
        if node in fused:
            continue
        key = (node.op, *node.inputs)
        if node.op in ("x", "state", "parameter", "grad", "total", "unit"):
            values[node] = given[key]
        elif node.op == "fire":
            values[node] = fire.traced(value(node.inputs[0]), kind, level)
        elif node.op == "through":
            values[node] = through.traced(value(node.inputs[0]), value(node.inputs[1]), kind, level, *shape)
        elif any(each in fused for each in node.inputs):
            values[node] = _fma(node, fused, value)
        else:
            values[node] = _OPERATIONS[node.op](*map(value, node.inputs))
    return [values[node] for node in program.outputs]


def _fma(node: Node, fused: set[Node], value: Any) -> Any:
    """A sum or difference of which one side is a product, rounded once."""
    first, second = node.inputs
    if first in fused:
        a, b = map(value, first.inputs)
        c = value(second)
        c = c if node.op == "add" else c * -1.0
        return a.llvm("fma", b, c)
    a, b = map(value, second.inputs)
    return (a if node.op == "add" else a * -1.0).llvm("fma", b, value(first))


def _given(**values: Any) -> dict[tuple[Any, ...], Vector]:
    """Vectors by the inputs of a program that they stand for."""
    return {
        (name, i): vector
        for name, vectors in values.items()
        if isinstance(vectors, tuple)
        for i, vector in enumerate(vectors)
    } | {(name,): vector for name, vector in values.items() if not isinstance(vector, tuple)}


@intrinsic
def advance(context, cell, x, states, parameters, unit, kind, level):
    """(spikes, states after the step)"""
    result = types.Tuple([x, states])

    def generate(context, builder, signature, args):
        _, x, states, parameters, unit, kind, level = (
            from_llvm(builder, each, arg) for each, arg in zip(signature.args, args, strict=True)
        )
        given = _given(x=x, state=states, parameter=parameters, unit=x.full(unit))
        spikes, *after = _run(cell_of(cell.cell_key).program, given, x, (kind, level))
        return to_llvm(context, builder, result, (spikes, tuple(after)))

    return result(cell, x, states, parameters, unit, kind, level), generate


@intrinsic
def retreat(context, cell, x, states, parameters, grad_spikes, grad_states, totals, unit, kind, level, a, b, c, all_of):
    """(gradient of x, of the states before the step, of the parameters so far); `all_of` is static, False for x alone"""
    result = types.Tuple([x, states, parameters])

    def generate(context, builder, signature, args):
        _, x, states, parameters, grad_spikes, grad_states, totals, unit, *firing, wanted = (
            from_llvm(builder, each, arg) for each, arg in zip(signature.args, args, strict=True)
        )
        given = _given(
            x=x, state=states, parameter=parameters, grad=(grad_spikes, *grad_states), total=totals, unit=x.full(unit)
        )  # fmt: skip
        found = cell_of(cell.cell_key)
        of_x, *rest = _run(found.gradient if len(wanted) else found.input_gradient, given, x, tuple(firing))
        return to_llvm(
            context, builder, result, (of_x, tuple(rest[: len(states)]), tuple(rest[len(states) :]))
        )  # fmt: skip

    arguments = (cell, x, states, parameters, grad_spikes, grad_states, totals, unit, kind, level, a, b, c, all_of)
    return result(*arguments), generate
