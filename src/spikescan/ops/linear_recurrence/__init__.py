"""The first-order linear recurrence with coefficients that may depend on time."""

from typing import Any

import torch
from torch import Tensor

from spikescan.errors import InputError
from spikescan.ops._dispatch import choose, load, requested
from spikescan.ops._register import register
from spikescan.ops.linear_recurrence import reference

__all__ = ["linear_recurrence"]

_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.complex64, torch.complex128)


def linear_recurrence(decay: Tensor, drive: Tensor, initial: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """All states of ``h_t = decay_t * h_{t-1} + drive_t``, and the last one.

    Args:
        decay: real or complex, of a shape that broadcasts to the drive's ``[T, ...]``: full, one a channel
            (``[C, 1, ...]`` with as many trailing axes as the drive has), or a scalar.
        drive: ``[T, ...]``, real or complex.
        initial: h before the first step, broadcastable to ``[...]``; None is zero.

    Returns:
        states ``[T, ...]`` and final ``[...]`` (the initial state where T = 0). bfloat16 and float16 are accumulated in
        float32, and `final` is then float32. All three inputs have gradients, also through `final`.

    Raises:
        InputError: the shapes do not broadcast, or a dtype is neither floating point nor complex.
    """
    _check(decay, drive, initial)
    dtype = torch.promote_types(decay.dtype, drive.dtype)
    if initial is not None:
        dtype = torch.promote_types(dtype, initial.dtype)
    work = torch.float32 if dtype in (torch.bfloat16, torch.float16) else dtype
    T, *rest = drive.shape
    neurons = torch.Size(rest).numel()
    # A decay that does not change with time stays one row: the kernel then reads it once.
    constant = decay.ndim < drive.ndim or decay.shape[0] == 1
    rows = decay.expand(1, *rest) if constant else decay.expand(drive.shape)
    flat = (
        rows.to(work).reshape(rows.shape[0], neurons).contiguous(),
        drive.to(work).reshape(T, neurons).contiguous(),
        drive.new_zeros(neurons, dtype=work)
        if initial is None
        else initial.to(work).expand(rest).reshape(neurons).contiguous(),
    )
    chosen = choose(requested(), drive.device).backend
    states, final = reference.forward(*flat) if chosen == "reference" else _kernel(*flat, chosen)
    return states.view(drive.shape).to(dtype), final.view(rest)


def _check(decay: Tensor, drive: Tensor, initial: Tensor | None) -> None:
    op = "linear_recurrence"
    named = {"decay": decay, "drive": drive} | ({} if initial is None else {"initial": initial})
    for name, tensor in named.items():
        if not isinstance(tensor, Tensor):
            raise InputError(
                f"{op}: {name} is a {type(tensor).__name__}, expected a Tensor; call torch.as_tensor({name})."
            )
        if tensor.dtype not in _DTYPES:
            raise InputError(f"{op}: {name} is {tensor.dtype}, expected a floating point or complex tensor.")
        if tensor.device != drive.device:
            raise InputError(f"{op}: {name} is on {tensor.device} but drive is on {drive.device}; move one of them.")
    if drive.ndim < 1:
        raise InputError(f"{op}: drive is a scalar, expected [T, ...] with time first.")
    for name, tensor in named.items():
        shape = drive.shape[1:] if name == "initial" else drive.shape
        if not _broadcasts(tensor.shape, shape):
            raise InputError(
                f"{op}: {name} is {list(tensor.shape)}, which does not broadcast to {list(shape)} "
                f"(drive is {list(drive.shape)}, time first)."
            )


def _broadcasts(shape: torch.Size, target: torch.Size) -> bool:
    if len(shape) > len(target):
        return False
    tail = target[len(target) - len(shape) :]
    return all(n in (1, m) for n, m in zip(shape, tail, strict=True))


def _fake(decay: Tensor, drive: Tensor, initial: Tensor, backend: str) -> tuple[Tensor, Tensor]:
    return torch.empty_like(drive), torch.empty_like(initial)


@register("linear_recurrence", _fake)
def _kernel(decay: Tensor, drive: Tensor, initial: Tensor, backend: str) -> tuple[Tensor, Tensor]:
    return load("linear_recurrence", backend).forward(decay, drive, initial)  # type: ignore[no-any-return]


def _fake_backward(
    grad_states: Tensor | None,
    grad_final: Tensor | None,
    decay: Tensor,
    states: Tensor | None,
    initial: Tensor,
    steps: int,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    of_decay = torch.empty_like(decay if states is not None else decay[:0])
    return of_decay, initial.new_empty(steps, *initial.shape), torch.empty_like(initial)


@register("linear_recurrence_backward", _fake_backward)
def _kernel_backward(
    grad_states: Tensor | None,
    grad_final: Tensor | None,
    decay: Tensor,
    states: Tensor | None,
    initial: Tensor,
    steps: int,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    return load("linear_recurrence", backend).backward(  # type: ignore[no-any-return]
        grad_states, grad_final, decay, states, initial, steps
    )


def _save(ctx: Any, inputs: Any, output: Any) -> None:
    decay, drive, initial, ctx.backend = inputs
    # Only the gradient of the decay needs the states; where nobody learns it, they are not kept.
    ctx.of_decay, ctx.steps = ctx.needs_input_grad[0], drive.shape[0]
    ctx.save_for_backward(decay, output[0] if ctx.of_decay else None, initial)


def _backward(ctx: Any, grad_states: Tensor | None, grad_final: Tensor | None) -> tuple[Tensor | None, ...]:
    if grad_states is not None:
        grad_states = grad_states.contiguous()
    saved = ctx.saved_tensors
    of_decay, of_drive, of_initial = _kernel_backward(grad_states, grad_final, *saved, ctx.steps, ctx.backend)
    return of_decay if ctx.of_decay else None, of_drive, of_initial, None


_kernel.differentiable(_save, _backward)
