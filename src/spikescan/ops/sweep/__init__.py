"""Any neuron as one fused sweep over time, forward and backward, from its step written once."""

from typing import Any

import torch
from torch import Tensor

from spikescan.errors import InputError
from spikescan.ops._checks import (
    check_floating,
    check_lengths,
    check_sequence,
    check_shape,
    check_state,
    compute_dtype,
    flatten_space,
)
from spikescan.ops._dispatch import choose, load, requested
from spikescan.ops._firing import FiringSpec
from spikescan.ops._register import is_plain, must_register, register
from spikescan.ops.sweep import reference
from spikescan.ops.sweep.cell import Cell, Fire, detach, exp, floor, relu, sigmoid, where

__all__ = [
    "Cell",
    "Fire",
    "detach",
    "exp",
    "floor",
    "relu",
    "sigmoid",
    "sweep",
    "sweep_membranes",
    "sweep_step",
    "where",
]


def sweep(
    cell: Cell,
    x: Tensor,
    parameters: tuple[Tensor, ...],
    *,
    firing: FiringSpec,
    state: tuple[Tensor | None, ...] | None = None,
    lengths: Tensor | None = None,
    recompute: bool = False,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    r"""Run a cell over time: ``S_t, state_t = step(x_t, state_{t-1}, parameters, fire)``.

    Args:
        cell: the step.
        x: input ``[T, B, C, *]``, float32, float64, bfloat16 or float16.
        parameters: as many as the cell has, each ``[C]``.
        firing: what `fire` does to a membrane in the step.
        state: as many as the cell has, each ``[B, C, *]``; None is zero.
        lengths: int64 ``[B]``, valid steps; None is all T. What lies beyond them counts for nothing, NaN included.
        recompute: keep only the input for the backward pass, and run forward again there. Little is gained on a CPU: it keeps
            the input and the states before every 16th step, and computes those between again in any case.

    Returns:
        Spikes ``[T, B, C, *]`` in the dtype of x, and the states after the last valid step in float32 (float64 for float64
        input). All inputs have gradients.

    Raises:
        InputError: a shape, dtype, device or range does not fit the input or the cell.
    """
    op = "sweep"
    _check(cell, x, parameters, state)
    check_lengths(op, lengths, x.shape[0], x.shape[1], x)
    flat = flatten_space(x)
    dtype = compute_dtype(x)
    rest = flat.shape[1:]
    if state is None or all(each is None for each in state):
        initial = flat.new_zeros((len(cell.states), *rest), dtype=dtype)
    else:
        initial = torch.stack([flat.new_zeros(rest, dtype=dtype) if s is None else s.reshape(rest) for s in state])
    tensors = (flat, initial, torch.stack([parameter.to(dtype) for parameter in parameters]))
    options = (lengths, cell.key, int(firing.kind), firing.numbers)
    chosen = choose(requested(), x.device).backend
    if chosen == "reference":
        call: Any = reference.forward
        spikes, final, _ = call(*tensors, *options, False)
    else:
        keep = torch.is_grad_enabled() and not recompute and any(t.requires_grad for t in tensors)
        spikes, final, _ = _kernel(*tensors, *options, keep, chosen)
    return spikes.view(x.shape), final.view(len(cell.states), *x.shape[1:]).unbind(0)


def sweep_step(
    cell: Cell,
    x_t: Tensor,
    parameters: tuple[Tensor | float, ...],
    *,
    firing: FiringSpec,
    state: tuple[Tensor, ...],
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """One time step of `sweep`, as fast as it can be called: the same kernel, so the same bits.

    Args:
        cell: the step.
        x_t: ``[B, C, *]``.
        parameters: as many as the cell has, each a constant, a scalar or ``[C]``.
        firing: what `fire` does to a membrane in the step.
        state: as many as the cell has, each ``[B, C, *]``.

    Returns:
        Spikes ``[B, C, *]``, and the states after the step.
    """
    if _is_plain_step(cell, x_t, parameters, state):
        return load("sweep", "cpu").step(x_t, state, parameters, cell.key, int(firing.kind), firing.numbers)  # type: ignore[no-any-return]
    C, dtype = x_t.shape[1] if x_t.ndim > 1 else 1, compute_dtype(x_t)
    whole = tuple(
        each.expand(C) if isinstance(each, Tensor) else x_t.new_full((C,), each, dtype=dtype) for each in parameters
    )
    spikes, after = sweep(cell, x_t.unsqueeze(0), whole, firing=firing, state=state)
    return spikes.squeeze(0), after


def _is_plain_step(cell: Cell, x_t: Tensor, parameters: tuple[Tensor | float, ...], state: tuple[Tensor, ...]) -> bool:
    """Whether the CPU kernel can read these tensors as they lie, and nobody differentiates or traces the call.

    Whatever is not plain takes the general way, which copies what it must and names what does not fit.
    """
    shape = x_t.shape
    if (
        len(shape) < 2
        or len(state) != len(cell.states)
        or len(parameters) != len(cell.parameters)
        or requested() not in ("auto", "cpu")
        or not is_plain(x_t, *state)
        or x_t.numel() == 0
        or must_register(parameters)
    ):
        return False
    for each in state:
        if each.shape != shape:
            return False
    for parameter in parameters:
        if isinstance(parameter, Tensor) and (
            not parameter.is_cpu
            or not parameter.is_floating_point()
            or (parameter.ndim > 0 and parameter.shape != shape[1:2])
        ):
            return False
    return True


def sweep_membranes(
    cell: Cell,
    x: Tensor,
    parameters: tuple[Tensor, ...],
    *,
    firing: FiringSpec,
    state: tuple[Tensor | None, ...] | None = None,
) -> Tensor:
    """What the cell gives to `fire` at each step, ``[T, B, C, *]``: for pictures and tests, one step after the other.

    Args and errors as in `sweep`.
    """
    _check(cell, x, parameters, state)
    dtype = compute_dtype(x)
    fire = _Recorder(firing)
    shape = (-1, *[1] * (x.ndim - 3))
    values = tuple(parameter.to(dtype).view(shape) for parameter in parameters)
    state = state or (None,) * len(cell.states)
    carried = tuple(x.new_zeros(x.shape[1:], dtype=dtype) if each is None else each for each in state)
    for inputs in x.to(dtype).unbind(0):
        _, carried = cell.step(inputs, carried, values, fire)
    return torch.stack(fire.membranes) if fire.membranes else torch.zeros_like(x, dtype=dtype)


class _Recorder(reference.TensorFire):
    """Also keeps the membranes that it is given."""

    def __init__(self, firing: FiringSpec) -> None:
        super().__init__(int(firing.kind), firing.numbers)
        self.membranes: list[Tensor] = []

    def __call__(self, membrane: Tensor, /) -> Tensor:
        self.membranes.append(membrane)
        return super().__call__(membrane)


def _check(cell: Cell, x: Tensor, parameters: tuple[Tensor, ...], state: tuple[Tensor | None, ...] | None) -> None:
    op = "sweep"
    check_sequence(op, x)
    given = {"parameters": (parameters, cell.parameters), "states": (state or cell.states, cell.states)}
    for what, (values, names) in given.items():
        if len(values) != len(names):
            raise InputError(
                f"{op}: {len(values)} {what} were given, but the cell has {len(names)}: {', '.join(names)}."
            )
    for name, parameter in zip(cell.parameters, parameters, strict=True):
        check_floating(op, name, parameter)
        check_shape(op, name, parameter, (x.shape[2],), x, "C")
    for name, each in zip(cell.states, state or (), strict=state is not None):
        check_state(op, name, each, tuple(x.shape[1:]), x)


def _fake(
    x: Tensor,
    initial: Tensor,
    parameters: Tensor,
    lengths: Tensor | None,
    cell: str,
    kind: int,
    numbers: list[float],
    keep: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    steps = -(-x.shape[0] // load("sweep", backend).KEEP_EVERY)
    kept = x.new_empty((len(initial), steps, *x.shape[1:]) if keep else (0,), dtype=initial.dtype)
    return torch.empty_like(x), torch.empty_like(initial), kept


@register("sweep", _fake)
def _kernel(
    x: Tensor,
    initial: Tensor,
    parameters: Tensor,
    lengths: Tensor | None,
    cell: str,
    kind: int,
    numbers: list[float],
    keep: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    return load("sweep", backend).forward(x, initial, parameters, lengths, cell, kind, numbers, keep)  # type: ignore[no-any-return]


def _fake_backward(
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
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    if input_only:
        return torch.empty_like(x), initial.new_empty(0), initial.new_empty(0)
    return torch.empty_like(x), torch.empty_like(initial), torch.empty_like(parameters)


@register("sweep_backward", _fake_backward)
def _kernel_backward(
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
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    module = load("sweep", backend)
    options = (lengths, cell, kind, numbers)
    if not kept.numel():  # recompute
        kept = module.forward(x, initial, parameters, *options, True)[2]
    return module.backward(grad_spikes, grad_final, x, initial, parameters, kept, *options, input_only)  # type: ignore[no-any-return]


def _save(ctx: Any, inputs: Any, output: Any) -> None:
    x, initial, parameters, lengths, *ctx.options, _, ctx.backend = inputs
    ctx.save_for_backward(x, initial, parameters, output[2], lengths)


def _backward(ctx: Any, grad_spikes: Tensor | None, grad_final: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
    x, *rest = ctx.saved_tensors
    if grad_spikes is None:
        grad_spikes = torch.zeros_like(x)
    # A neuron without learnt numbers, in a run from rest: the commonest baseline.
    input_only = not (ctx.needs_input_grad[1] or ctx.needs_input_grad[2])
    of_x, *others = _kernel_backward(
        grad_spikes.contiguous(), grad_final, x, *rest, *ctx.options, input_only, ctx.backend
    )
    return of_x, *([None, None] if input_only else others), None, None, None, None, None, None


_kernel.differentiable(_save, _backward)
