"""Leaky integration with a reset: the serial baseline, fused into one sweep."""

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
from spikescan.ops._firing import FiringSpec, Kind
from spikescan.ops._register import register
from spikescan.ops.leaky_integration import reference
from spikescan.ops.leaky_integration.reference import Reset

__all__ = ["Reset", "leaky_integration"]


def leaky_integration(
    x: Tensor,
    decay: Tensor,
    gain: Tensor,
    *,
    firing: FiringSpec,
    reset: Reset,
    detach_reset: bool = True,
    membrane: Tensor | None = None,
    lengths: Tensor | None = None,
    recompute: bool = False,
) -> tuple[Tensor, Tensor]:
    r"""Integrate, fire, reset.

    .. math::
        H_t &= \text{decay} \cdot V_{t-1} + \text{gain} \cdot x_t \\
        S_t &= \text{fire}(H_t) \\
        V_t &= H_t \;\text{(no reset)}, \quad H_t - \theta S_t \;\text{(soft)}, \quad H_t [S_t = 0] \;\text{(hard)}

    theta is the threshold, or 1 for integer firing.

    Args:
        x: input ``[T, B, C, *]``, float32, float64, bfloat16 or float16.
        decay: ``[C]``.
        gain: ``[C]``.
        firing: what turns the charged membrane H into spikes.
        reset: what a spike does to the membrane.
        detach_reset: no gradient through the spike in the reset.
        membrane: V before the first step, ``[B, C, *]``; None is zero.
        lengths: int64 ``[B]``, valid steps; None is all T.
        recompute: keep only the input for the backward pass, and compute the membrane again there.

    Returns:
        Spikes ``[T, B, C, *]`` in the dtype of x, and V after the last valid step in float32 (float64 for float64 input).

    Raises:
        InputError: a shape, dtype, device or range does not fit, or a hard reset is asked for without spikes.
    """
    op = "leaky_integration"
    check_sequence(op, x)
    check_floating(op, "decay", decay)
    check_floating(op, "gain", gain)
    if firing.kind == Kind.IDENTITY and reset == Reset.HARD:
        raise InputError(
            f"{op}: a hard reset needs spikes, and Kind.IDENTITY has none; pass Reset.NONE, or Binary().spec."
        )
    check_shape(op, "decay", decay, (x.shape[2],), x, "C")
    check_shape(op, "gain", gain, (x.shape[2],), x, "C")
    check_state(op, "membrane", membrane, tuple(x.shape[1:]), x)
    check_lengths(op, lengths, x.shape[0], x.shape[1], x)
    flat = flatten_space(x)
    dtype = compute_dtype(x)
    v0 = flat.new_zeros(flat.shape[1:], dtype=dtype) if membrane is None else membrane.reshape(flat.shape[1:])
    tensors = (flat, decay.to(dtype).contiguous(), gain.to(dtype).contiguous(), v0.contiguous())
    options = (lengths, int(reset), detach_reset, int(firing.kind), firing.numbers)
    chosen = choose(requested(), x.device).backend
    if chosen == "reference":
        call: Any = reference.forward
        spikes, v, _ = call(*tensors, *options, False)
    else:
        keep = torch.is_grad_enabled() and not recompute and any(t.requires_grad for t in tensors)
        spikes, v, _ = _kernel(*tensors, *options, keep, chosen)
    return spikes.view(x.shape), v.view(x.shape[1:])


def _fake(
    x: Tensor,
    decay: Tensor,
    gain: Tensor,
    membrane: Tensor,
    lengths: Tensor | None,
    reset: int,
    detach_reset: bool,
    kind: int,
    numbers: list[float],
    keep: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(membrane), x.new_empty(x.shape if keep else (0,), dtype=decay.dtype)


@register("leaky_integration", _fake)
def _kernel(
    x: Tensor,
    decay: Tensor,
    gain: Tensor,
    membrane: Tensor,
    lengths: Tensor | None,
    reset: int,
    detach_reset: bool,
    kind: int,
    numbers: list[float],
    keep: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    return load("leaky_integration", backend).forward(  # type: ignore[no-any-return]
        x, decay, gain, membrane, lengths, reset, detach_reset, kind, numbers, keep
    )


def _fake_backward(
    grad_spikes: Tensor,
    grad_membrane: Tensor | None,
    x: Tensor,
    decay: Tensor,
    gain: Tensor,
    membrane: Tensor,
    charges: Tensor,
    lengths: Tensor | None,
    reset: int,
    detach_reset: bool,
    kind: int,
    numbers: list[float],
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(decay), torch.empty_like(gain), torch.empty_like(membrane)


@register("leaky_integration_backward", _fake_backward)
def _kernel_backward(
    grad_spikes: Tensor,
    grad_membrane: Tensor | None,
    x: Tensor,
    decay: Tensor,
    gain: Tensor,
    membrane: Tensor,
    charges: Tensor,
    lengths: Tensor | None,
    reset: int,
    detach_reset: bool,
    kind: int,
    numbers: list[float],
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    module = load("leaky_integration", backend)
    options = (lengths, reset, detach_reset, kind, numbers)
    if charges.numel() < x.numel():  # recompute
        charges = module.forward(x, decay, gain, membrane, *options, True)[2]
    return module.backward(  # type: ignore[no-any-return]
        grad_spikes, grad_membrane, x, decay, gain, membrane, charges, *options
    )


def _save(ctx: Any, inputs: Any, output: Any) -> None:
    x, decay, gain, membrane, lengths, *ctx.options, _, ctx.backend = inputs
    ctx.save_for_backward(x, decay, gain, membrane, output[2], lengths)


def _backward(ctx: Any, grad_spikes: Tensor | None, grad_membrane: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
    x, *rest = ctx.saved_tensors
    if grad_spikes is None:
        grad_spikes = torch.zeros_like(x)
    grads = _kernel_backward(grad_spikes.contiguous(), grad_membrane, x, *rest, *ctx.options, ctx.backend)
    return *grads, None, None, None, None, None, None, None


_kernel.differentiable(_save, _backward)
