"""A cell as Triton kernels: one program walks through all steps, for what a step does cannot be cut.

Triton compiles the source of a function, so that of a cell's kernels is written from its program.
"""

import functools
import linecache
import textwrap
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from spikescan.ops import _triton
from spikescan.ops._firing import FiringSpec, Kind
from spikescan.ops._triton import Launch, Tile, channel_sum, configure
from spikescan.ops.sweep.cell import Cell, Node, Program, cell_of

__all__ = ["KEEP_EVERY", "backward", "forward"]

KEEP_EVERY = 1
"""Steps from one kept state to the next."""

_OPERATIONS = {
    "add": "{} + {}",
    "sub": "{} - {}",
    "mul": "{} * {}",
    "div": "{} / {}",
    "neg": "-{}",
    "ge": "{} >= {}",
    "gt": "{} > {}",
    "le": "{} <= {}",
    "lt": "{} < {}",
    "where": "tl.where({}, {}, {})",
    "exp": "tl.exp({})",
    "sigmoid": "sigmoid({})",
    "relu": "tl.maximum({}, 0.0, tl.PropagateNan.ALL)",
    "floor": "tl.floor({})",
    "detach": "{}",
    "constant": "tl.zeros((ROWS, COLUMNS), D) + {}",
    "fire": "fire({}, level, KIND)",
    "through": "{} * derivative({}, level, a, b, c, KIND)",
    # What a step is given.
    "x": "inputs",
    "unit": "unit",
    "state": "state_{}",
    "parameter": "parameter_{}",
    "grad": "grad_{}",
    "total": "total_{}",
}

_HEAD = """
D: tl.constexpr = parameters.dtype.element_ty
unit = tl.full((), unit, D)
row, column = position(rows, columns, ROWS, COLUMNS)
inside = (row < rows) & (column < columns)
place = row * columns + column
last = valid_steps(lengths, row, rows, T, ROWS)
"""

_ARGUMENTS = """
x, parameters, initial, lengths, {tensors}, T, rows, columns, channels, space, stride, unit, level, a, b, c,
KIND: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr"""


@triton.jit
def sigmoid(a: tl.tensor) -> tl.tensor:
    """1 / (1 + e^-a), whose exponential never overflows."""
    e = tl.exp(-tl.abs(a))
    larger = 1.0 / (1.0 + e)
    return tl.where(a >= 0.0, larger, e * larger)


def _statements(program: Program, results: list[str]) -> str:
    """The program, a line an operation, and the names that its outputs are given."""
    names: dict[Node, str] = {}

    def text(each: Any) -> str:
        return names[each] if isinstance(each, Node) else repr(each)

    lines = []
    for node in program.nodes:
        names[node] = f"v{len(names)}"
        lines.append(f"{names[node]} = {_OPERATIONS[node.op].format(*map(text, node.inputs))}")
    lines += [f"{result} = {text(output)}" for result, output in zip(results, program.outputs, strict=True)]
    return "\n".join(lines)


def _each(count: int, line: str) -> str:
    """A line for each of `count` numbers."""
    return "\n".join(line.replace("#", str(i)) for i in range(count))


def _compiled(name: str, arguments: str, body: str) -> Any:
    """The Triton kernel of this source."""
    source = f"def {name}({textwrap.indent(arguments, '    ')}\n):\n{textwrap.indent(body, '    ')}\n"
    file = f"<{name} of a cell>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)  # Triton asks for the source
    namespace = vars(_triton) | {"__name__": __name__, "sigmoid": sigmoid}
    exec(compile(source, file, "exec"), namespace)
    return triton.jit(namespace[name])


def _load_parameters(cell: Cell) -> str:
    place = "column // space, mask=column < columns, other=0.0"
    return _each(len(cell.parameters), f"parameter_# = tl.load(parameters + # * channels + {place})")


@functools.cache
def _forward_kernel(key: str) -> Any:
    cell = cell_of(key)
    step = _statements(cell.program, ["fired", *[f"after_{i}" for i in range(len(cell.states))]])
    loop = f"""
valid = inside & (t < last)
inputs = tl.load(x + t * stride + place, mask=valid, other=0.0).to(D)
{step}
{_each(len(cell.states), "state_# = tl.where(valid, after_#, state_#)")}
tl.store(spikes + t * stride + place, tl.where(valid, fired, 0.0), mask=inside)
if kept is not None:
{textwrap.indent(_each(len(cell.states), "tl.store(kept + (t + # * T) * stride + place, state_#, mask=inside)"), "    ")}
"""
    body = f"""{_HEAD}
{_load_parameters(cell)}
{_each(len(cell.states), "state_# = tl.load(initial + # * stride + place, mask=inside, other=0.0)")}
for t in range(T):
{textwrap.indent(loop, "    ")}
{_each(len(cell.states), "tl.store(final + # * stride + place, state_#, mask=inside)")}
"""
    return _compiled(f"sweep_{key}", _ARGUMENTS.format(tensors="spikes, kept, final"), body)


@functools.cache
def _backward_kernel(key: str, input_only: bool) -> Any:
    cell = cell_of(key)
    results = [
        "of_x",
        *[f"before_{i}" for i in range(len(cell.states))],
        *[f"sum_{i}" for i in range(len(cell.parameters))],
    ]
    # The gradient of output 0 is that of the spikes, of output i + 1 that of state i.
    grads = "\n".join(
        f"grad_{i + 1} = tl.load(grad_final + {i} * stride + place, mask=inside, other=0.0)"
        for i in range(len(cell.states))
    )
    later = "\n".join(f"grad_{i + 1} = tl.where(valid, before_{i}, grad_{i + 1})" for i in range(len(cell.states)))
    kept = "kept + (t - 1 + # * T) * stride + place, mask=inside & (t > 0), other=0.0"
    start = "initial + # * stride + place, mask=inside & (t == 0), other=0.0"
    loop = f"""
t = T - 1 - step
valid = inside & (t < last)
inputs = tl.load(x + t * stride + place, mask=valid, other=0.0).to(D)
grad_0 = tl.load(grad_spikes + t * stride + place, mask=valid, other=0.0).to(D)
{_each(len(cell.states), f"state_# = tl.load({kept}) + tl.load({start})")}
{_statements(cell.input_gradient if input_only else cell.gradient, results)}
{later}
{_each(len(cell.parameters), "total_# = tl.where(valid, sum_#, total_#)")}
tl.store(grad_x + t * stride + place, tl.where(valid, of_x, 0.0), mask=inside)
"""
    stores = "\n".join(
        f"tl.store(grad_initial + {i} * stride + place, grad_{i + 1}, mask=inside)" for i in range(len(cell.states))
    )
    sums = f"""
program = strip(rows, columns, ROWS, COLUMNS) * {len(cell.parameters)}
{_each(len(cell.parameters), "store_sum(partials, total_#, program + #, column, columns)")}"""
    body = f"""{_HEAD}
{_load_parameters(cell)}
{grads}
{_each(len(cell.parameters), "total_# = tl.zeros((ROWS, COLUMNS), D)")}
for step in range(T):
{textwrap.indent(loop, "    ")}
{"" if input_only else stores + sums}
"""
    tensors = "kept, grad_spikes, grad_final, grad_x, grad_initial, partials"
    return _compiled(
        f"sweep_backward_{key}_{'of_x' if input_only else 'of_all'}", _ARGUMENTS.format(tensors=tensors), body
    )


def forward(
    x: Tensor,
    initial: Tensor,
    parameters: Tensor,
    lengths: Tensor | None,
    cell: str,
    kind: int,
    numbers: list[float],
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.forward`."""
    tile, shared = _plan(x, initial, parameters, lengths, kind, numbers)
    spikes, final = torch.empty_like(x), torch.empty_like(initial)
    kept = x.new_empty((len(initial), *x.shape) if keep else (0,), dtype=initial.dtype)
    outputs = {"spikes": spikes, "kept": kept if keep else None, "final": final}
    Launch(_forward_kernel(cell), tile.grid, tile.warps, shared | outputs).run()
    return spikes, final, kept


def backward(
    grad_spikes: Tensor,
    grad_final: Tensor | None,
    x: Tensor,
    initial: Tensor,
    parameters: Tensor,
    kept: Tensor,
    lengths: Tensor | None,
    cell: str,
    kind: int,
    numbers: list[float],
    input_only: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, initial and parameters; the last two empty where `input_only`."""
    tile, shared = _plan(x, initial, parameters, lengths, kind, numbers)
    grad_x, none = torch.empty_like(x), initial.new_empty(0)
    grad_initial = none if input_only else torch.empty_like(initial)
    partials = none if input_only else initial.new_empty(tile.row_tiles, len(parameters), shared["columns"])
    arguments = shared | {
        "kept": kept,
        "grad_spikes": grad_spikes,
        "grad_final": torch.zeros_like(initial) if grad_final is None else grad_final.contiguous(),
        "grad_x": grad_x,
        "grad_initial": grad_initial,
        "partials": partials,
    }
    Launch(_backward_kernel(cell, input_only), tile.grid, tile.warps, arguments).run()
    return grad_x, grad_initial, none if input_only else channel_sum(partials, parameters.shape[1])


def _plan(
    x: Tensor, initial: Tensor, parameters: Tensor, lengths: Tensor | None, kind: int, numbers: list[float]
) -> tuple[Tile, dict[str, Any]]:
    """The layout, and what forward and backward kernels are both called with."""
    T, B, C, S = x.shape
    tile = configure(1, B, C * S)  # uncut
    return tile, {
        "x": x,
        "parameters": parameters,
        "initial": initial,
        "lengths": lengths,
        "T": T,
        "rows": B,
        "columns": C * S,
        "channels": C,
        "space": S,
        "stride": B * C * S,
        "unit": FiringSpec(Kind(kind), *numbers).unit,
        **dict(zip(("level", "a", "b", "c"), numbers, strict=True)),
        "KIND": kind,
        "ROWS": tile.rows,
        "COLUMNS": tile.columns,
    }
