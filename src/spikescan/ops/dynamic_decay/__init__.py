"""The charge and fire of the Dynamic Decay Spiking Neuron, fused."""

from typing import Any

import torch
from torch import Tensor

from spikescan.errors import InputError
from spikescan.ops._checks import (
    as_read,
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
from spikescan.ops._register import is_plain, register
from spikescan.ops._window import shift_window
from spikescan.ops.dynamic_decay import reference

__all__ = ["dynamic_decay", "dynamic_decay_step"]


def dynamic_decay(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    tau: float,
    firing: FiringSpec,
    membrane: Tensor | None = None,
    window: Tensor | None = None,
    lengths: Tensor | None = None,
    recompute: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Leaky integration with a decay that a causal filter computes from the input, then firing.

    .. math::
        a_t &= \text{bias} + \sum_{i=0}^{k-1} \text{weight}_i \, x_{t-k+1+i} \\
        \alpha_t &= \sigma(a_t)^{1/\tau} \\
        H_t &= \alpha_t H_{t-1} + (1 - \alpha_t) x_t \\
        S_t &= \text{fire}(H_t)

    Source: arXiv 2602.01133, Eqs. 9 to 12.

    Args:
        x: input ``[T, B, C, *]``, float32, float64, bfloat16 or float16.
        weight: ``[C, k]``, newest tap last.
        bias: ``[C]``.
        tau: steepness of the gate, > 0.
        firing: what turns the membrane into spikes.
        membrane: H before the first step, ``[B, C, *]``; None is zero.
        window: the k - 1 inputs before the first step, ``[B, k - 1, C, *]``, newest last; None is zero.
        lengths: int64 ``[B]``, valid steps; None is all T. What lies beyond them counts for nothing, NaN included.
        recompute: keep only the input for the backward pass, and compute the membrane again there.

    Returns:
        Spikes ``[T, B, C, *]`` in the dtype of x; the membrane and the window after the last valid step, in float32
        (float64 for float64 input).

    Raises:
        InputError: a shape, dtype, device or range does not fit.
    """
    _check(x, weight, bias, tau, membrane, window, lengths)
    k = weight.shape[1]
    dtype = compute_dtype(x)
    chosen = choose(requested(), x.device).backend
    on_cpu = chosen == "cpu"
    # The CPU kernel takes any [T, B, C, *], and a membrane or a window without rows for one of zeros, which at T = 4 would be
    # most of its traffic.
    flat = x.contiguous() if on_cpu else flatten_space(x)
    T, B, *rest = flat.shape
    h0 = flat.new_zeros(0 if on_cpu else B, *rest, dtype=dtype) if membrane is None else membrane.reshape(B, *rest)
    # The window is stored time first, as the kernels read it; axis 0 of a state is the batch, so it is shown transposed.
    if window is None:
        w0 = flat.new_zeros(0 if on_cpu else k - 1, B, *rest, dtype=dtype)
    else:
        w0 = window.movedim(1, 0).reshape(k - 1, B, *rest)
    tensors = (flat, as_read(weight, dtype), as_read(bias, dtype), h0.contiguous(), w0.contiguous())
    numbers = firing.numbers
    if chosen == "reference":
        spikes, h, _ = reference.forward(*tensors, lengths, 1.0 / tau, firing.kind, numbers, False)
    else:
        keep = torch.is_grad_enabled() and not recompute and any(t.requires_grad for t in tensors)
        # The CPU kernel has the last inputs at hand at its last step; each sample's own it does not know.
        slides = on_cpu and lengths is None and bool(T > 0)
        spikes, h, _, last = _kernel(*tensors, lengths, 1.0 / tau, int(firing.kind), numbers, keep, slides, chosen)
        if slides:
            return spikes, h, last.movedim(0, 1)
    last = shift_window(tensors[4], flat, lengths, width=k - 1)
    return spikes.view(x.shape), h.view(x.shape[1:]), last.view(k - 1, *x.shape[1:]).movedim(0, 1)


def dynamic_decay_step(
    x_t: Tensor, weight: Tensor, bias: Tensor, *, tau: float, firing: FiringSpec, membrane: Tensor, window: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """One time step of `dynamic_decay`, as fast as it can be called: the same kernel, so the same bits.

    Args:
        x_t: ``[B, C, *]``.
        weight: ``[C, k]``, newest tap last.
        bias: ``[C]``.
        tau: steepness of the gate, > 0.
        firing: what turns the membrane into spikes.
        membrane: H before the step, ``[B, C, *]``.
        window: the k - 1 inputs before the step, ``[B, k - 1, C, *]``, newest last.

    Returns:
        Spikes ``[B, C, *]``, and membrane and window after the step.
    """
    if _is_plain_step(x_t, weight, bias, membrane, window):
        return load("dynamic_decay", "cpu").step(  # type: ignore[no-any-return]
            x_t, weight, bias, membrane, window, 1.0 / tau, int(firing.kind), firing.numbers
        )
    spikes, membrane, window = dynamic_decay(
        x_t.unsqueeze(0), weight, bias, tau=tau, firing=firing, membrane=membrane, window=window
    )
    return spikes.squeeze(0), membrane, window


def _is_plain_step(x_t: Tensor, weight: Tensor, bias: Tensor, membrane: Tensor, window: Tensor) -> bool:
    """Whether the CPU kernel can read these tensors as they lie, and nobody differentiates or traces the call.

    Whatever is not plain takes the general way, which copies what it must and names what does not fit.
    """
    shape, of_weight = x_t.shape, weight.shape
    if len(shape) < 2 or len(of_weight) != 2 or requested() not in ("auto", "cpu"):
        return False
    batch, channels, *space = shape
    return (
        of_weight[0] == channels
        and bias.shape == (channels,)
        and membrane.shape == shape
        and window.shape == (batch, of_weight[1] - 1, channels, *space)
        and is_plain(x_t, weight, bias, membrane, window if batch == 1 else window.transpose(0, 1))
        and x_t.numel() > 0
    )


def _check(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    tau: float,
    membrane: Tensor | None,
    window: Tensor | None,
    lengths: Tensor | None,
) -> None:
    op = "dynamic_decay"
    check_sequence(op, x)
    check_floating(op, "weight", weight)
    check_floating(op, "bias", bias)
    if weight.ndim != 2 or weight.shape[0] != x.shape[2] or weight.shape[1] < 1:
        raise InputError(
            f"{op}: weight is {list(weight.shape)} and x is {list(x.shape)}, expected weight [{x.shape[2]}, k], k >= 1."
        )
    check_shape(op, "weight", weight, tuple(weight.shape), x, "C, k")
    check_shape(op, "bias", bias, (x.shape[2],), x, "C")
    if not tau > 0:
        raise InputError(f"{op}: tau is {tau}, expected a number above 0.")
    check_state(op, "membrane", membrane, tuple(x.shape[1:]), x)
    check_state(op, "window", window, (x.shape[1], weight.shape[1] - 1, *x.shape[2:]), x)
    check_lengths(op, lengths, x.shape[0], x.shape[1], x)


def _fake(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    membrane: Tensor,
    window: Tensor,
    lengths: Tensor | None,
    exponent: float,
    kind: int,
    numbers: list[float],
    keep: bool,
    slides: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    final = x.new_empty(x.shape[1:], dtype=weight.dtype)
    rows = load("dynamic_decay", backend).rows_kept(x.shape[0])
    kept = x.new_empty((rows, *x.shape[1:]) if keep else (0,), dtype=weight.dtype)
    return x.new_empty(x.shape), final, kept, _window_after(x, weight, slides)


def _window_after(x: Tensor, weight: Tensor, slides: bool) -> Tensor:
    """Room for the window after the last step, where the kernel is to write it."""
    return x.new_empty((weight.shape[1] - 1, *x.shape[1:]) if slides else (0,), dtype=weight.dtype)


@register("dynamic_decay", _fake)
def _kernel(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    membrane: Tensor,
    window: Tensor,
    lengths: Tensor | None,
    exponent: float,
    kind: int,
    numbers: list[float],
    keep: bool,
    slides: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    forward, after = load("dynamic_decay", backend).forward, _window_after(x, weight, slides)
    arguments = (x, weight, bias, membrane, window, lengths, exponent, kind, numbers, keep)
    return *(forward(*arguments, after) if slides else forward(*arguments)), after


def _fake_backward(
    grad_spikes: Tensor,
    grad_membrane: Tensor | None,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    membrane: Tensor,
    window: Tensor,
    kept: Tensor,
    lengths: Tensor | None,
    exponent: float,
    kind: int,
    numbers: list[float],
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    return (
        torch.empty_like(x),
        torch.empty_like(weight),
        torch.empty_like(bias),
        torch.empty_like(membrane),
        torch.empty_like(window),
    )


@register("dynamic_decay_backward", _fake_backward)
def _kernel_backward(
    grad_spikes: Tensor,
    grad_membrane: Tensor | None,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    membrane: Tensor,
    window: Tensor,
    kept: Tensor,
    lengths: Tensor | None,
    exponent: float,
    kind: int,
    numbers: list[float],
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    module = load("dynamic_decay", backend)
    if kept.numel() < x.numel():  # recompute
        kept = module.forward(x, weight, bias, membrane, window, lengths, exponent, kind, numbers, True)[2]
    return module.backward(  # type: ignore[no-any-return]
        grad_spikes, grad_membrane, x, weight, bias, membrane, window, kept, lengths, exponent, kind, numbers
    )


def _save(ctx: Any, inputs: Any, output: Any) -> None:
    x, weight, bias, membrane, window, lengths, ctx.exponent, ctx.kind, ctx.numbers, _, _, ctx.backend = inputs
    ctx.save_for_backward(x, weight, bias, membrane, window, output[2], lengths)


def _backward(
    ctx: Any, grad_spikes: Tensor | None, grad_membrane: Tensor | None, _: None, grad_after: Tensor | None
) -> tuple[Tensor | None, ...]:
    x, *rest = ctx.saved_tensors
    if grad_spikes is None:
        grad_spikes = torch.zeros_like(x)
    grads = _kernel_backward(
        grad_spikes.contiguous(), grad_membrane, x, *rest, ctx.exponent, ctx.kind, ctx.numbers, ctx.backend
    )
    if grad_after is not None and len(grad_after):
        _add_back(grads[0], grads[4], grad_after)
    return *grads, None, None, None, None, None, None, None


def _add_back(grad_x: Tensor, grad_window: Tensor, grad_after: Tensor) -> None:
    """Add the gradient of the window after the last step to those of the inputs and of the window before that it is made of."""
    inputs = min(len(grad_after), len(grad_x))
    older = len(grad_after) - inputs
    grad_x[len(grad_x) - inputs :] += grad_after[older:]
    if len(grad_window):
        grad_window[len(grad_window) - older :] += grad_after[:older]


_kernel.differentiable(_save, _backward)
