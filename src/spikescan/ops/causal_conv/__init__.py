"""Causal convolution over time, dilated if wanted, then firing: the charge of sliding PSN and its relatives."""

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
from spikescan.ops._firing import IDENTITY, FiringSpec
from spikescan.ops._register import is_plain, register
from spikescan.ops._window import shift_window
from spikescan.ops.causal_conv import reference

__all__ = ["causal_conv", "causal_conv_step"]


def causal_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    dilation: int = 1,
    firing: FiringSpec = IDENTITY,
    window: Tensor | None = None,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    r"""A causal filter over time, one for all channels or one a channel, and firing.

    .. math::
        y_t = \text{fire}\Big(\text{bias} + \sum_{i=0}^{k-1} \text{weight}_i \, x_{t - (k-1-i) d}\Big)

    One time step is the same call with T = 1 and the window of the call before. The bias is added last: where the sum of
    the products is exact, a spike so depends on the exact sum, for one rounding does not change on which side of the
    threshold 0 it lies.

    Args:
        x: input ``[T, B, C, *]``, float32, float64, bfloat16 or float16.
        weight: ``[k]`` for all channels or ``[C, k]``, newest tap last.
        bias: scalar ``[]`` or ``[C]``; None is zero.
        dilation: d >= 1, steps between taps.
        firing: what turns the result into spikes; the default returns the result itself.
        window: the ``w = (k - 1) d`` inputs before the first step, ``[B, w, C, *]``, newest last; None is zero.
        lengths: int64 ``[B]``, valid steps; output beyond them is zero.

    Returns:
        The output ``[T, B, C, *]`` in the dtype of x, and the window after the last valid step in float32 (float64 for
        float64 input).

    Raises:
        InputError: a shape, dtype, device or range does not fit.
    """
    op = "causal_conv"
    check_sequence(op, x)
    check_floating(op, "weight", weight)
    C = x.shape[2]
    if weight.ndim not in (1, 2) or weight.shape[-1] < 1 or (weight.ndim == 2 and weight.shape[0] != C):
        raise InputError(f"{op}: weight is {list(weight.shape)}, expected [k] or [{C}, k] with k >= 1.")
    if bias is not None and tuple(bias.shape) not in ((), (C,)):
        raise InputError(f"{op}: bias is {list(bias.shape)}, expected a scalar or [{C}].")
    if bias is not None:
        check_floating(op, "bias", bias)
        check_shape(op, "bias", bias, tuple(bias.shape), x, "a scalar or C")
    if dilation < 1:
        raise InputError(f"{op}: dilation is {dilation}, expected at least 1.")
    check_shape(op, "weight", weight, tuple(weight.shape), x, "k, or C and k")
    k = weight.shape[-1]
    width = (k - 1) * dilation
    check_state(op, "window", window, (x.shape[1], width, *x.shape[2:]), x)
    check_lengths(op, lengths, x.shape[0], x.shape[1], x)
    flat = flatten_space(x)
    dtype = compute_dtype(x)
    chosen = choose(requested(), x.device).backend
    if window is None:
        # The CPU kernel takes a window without rows for one of zeros.
        w0 = flat.new_zeros(0 if chosen == "cpu" else width, *flat.shape[1:], dtype=dtype)
    else:
        w0 = window.movedim(1, 0).reshape(width, *flat.shape[1:]).contiguous()
    # The GPU kernels read a filter for each channel.
    shared = weight.ndim == 1 and (bias is None or bias.ndim == 0) and chosen != "gpu"
    taps = weight.to(dtype).expand(1 if shared else C, k).contiguous()
    offset = flat.new_zeros((), dtype=dtype) if bias is None else bias.to(dtype)
    offset = offset.expand(1 if shared else C).contiguous()
    options = (dilation, int(firing.kind), firing.numbers)
    if chosen == "reference":
        y = reference.forward(flat, taps, offset, w0, *options)
    else:
        y = _kernel(flat, taps, offset, w0, *options, chosen)
    if lengths is not None:
        steps = torch.arange(x.shape[0], device=x.device).unsqueeze(1)
        y = torch.where((steps < lengths)[..., None, None], y, torch.zeros_like(y))
    last = shift_window(w0, flat, lengths, width=width)
    return y.view(x.shape), last.view(width, *x.shape[1:]).movedim(0, 1)


def causal_conv_step(
    x_t: Tensor, weight: Tensor, bias: Tensor, *, firing: FiringSpec = IDENTITY, window: Tensor
) -> tuple[Tensor, Tensor]:
    """One time step of `causal_conv` without dilation, as fast as it can be called: the same kernel, so the same bits.

    Args:
        x_t: ``[B, C, *]``.
        weight: ``[k]`` for all channels or ``[C, k]``, newest tap last.
        bias: scalar ``[]`` or ``[C]``.
        firing: what turns the result into spikes; the default returns the result itself.
        window: the k - 1 inputs before the step, ``[B, k - 1, C, *]``, newest last.

    Returns:
        The output ``[B, C, *]``, and the window after the step.
    """
    if _is_plain_step(x_t, weight, bias, window):
        rows = 1 if weight.ndim == 1 and bias.ndim == 0 else x_t.shape[1]
        taps, offset = weight.expand(rows, weight.shape[-1]).contiguous(), bias.expand(rows).contiguous()
        return load("causal_conv", "cpu").step(x_t, taps, offset, window, int(firing.kind), firing.numbers)  # type: ignore[no-any-return]
    y, window = causal_conv(x_t.unsqueeze(0), weight, bias, firing=firing, window=window)
    return y.squeeze(0), window


def _is_plain_step(x_t: Tensor, weight: Tensor, bias: Tensor, window: Tensor) -> bool:
    """Whether the CPU kernel can read these tensors as they lie, and nobody differentiates or traces the call.

    Whatever is not plain takes the general way, which copies what it must and names what does not fit.
    """
    shape, of_weight, of_bias = x_t.shape, weight.shape, bias.shape
    if len(shape) < 2 or not of_weight or requested() not in ("auto", "cpu"):
        return False
    batch, channels, *space = shape
    return (
        of_weight[:-1] in ((), (channels,))
        and of_weight[-1] > 0
        and of_bias in ((), (channels,))
        and window.shape == (batch, of_weight[-1] - 1, channels, *space)
        and is_plain(x_t, weight, bias, window if batch == 1 else window.transpose(0, 1))
        and x_t.numel() > 0
    )


def _fake(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    window: Tensor,
    dilation: int,
    kind: int,
    numbers: list[float],
    backend: str,
) -> Tensor:
    return torch.empty_like(x)


@register("causal_conv", _fake)
def _kernel(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    window: Tensor,
    dilation: int,
    kind: int,
    numbers: list[float],
    backend: str,
) -> Tensor:
    return load("causal_conv", backend).forward(  # type: ignore[no-any-return]
        x, weight, bias, window, dilation, kind, numbers
    )


def _fake_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    window: Tensor,
    dilation: int,
    kind: int,
    numbers: list[float],
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(weight), torch.empty_like(bias), torch.empty_like(window)


@register("causal_conv_backward", _fake_backward)
def _kernel_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    window: Tensor,
    dilation: int,
    kind: int,
    numbers: list[float],
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return load("causal_conv", backend).backward(  # type: ignore[no-any-return]
        grad, x, weight, bias, window, dilation, kind, numbers
    )


def _save(ctx: Any, inputs: Any, output: Any) -> None:
    x, weight, bias, window, *ctx.options = inputs
    ctx.save_for_backward(x, weight, bias, window)


def _backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 8
    grads = _kernel_backward(grad.contiguous(), *ctx.saved_tensors, *ctx.options)
    return *grads, None, None, None, None


_kernel.differentiable(_save, _backward)
