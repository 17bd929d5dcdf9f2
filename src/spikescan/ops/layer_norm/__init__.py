"""Layer norm, whose bits depend on a row alone."""

from typing import Any

import torch
from torch import Tensor

from spikescan.errors import InputError
from spikescan.ops._checks import as_read, check_floating, check_shape, compute_dtype
from spikescan.ops._dispatch import choose, load, requested
from spikescan.ops._register import is_plain, register
from spikescan.ops.layer_norm import reference

__all__ = ["layer_norm"]


def layer_norm(x: Tensor, gain: Tensor, offset: Tensor, epsilon: float = 1e-5) -> Tensor:
    """``y = gain (x - mean) / sqrt(variance + epsilon) + offset``, mean and variance of each row over its channels.

    The sums are taken in a fixed order, so that a stream has the bits of the parallel pass; they depend on the width of the
    vectors that kernels are compiled for, 128 bytes with AVX-512 and else 64.

    Args:
        x: ``[*, C]``, float32, float64, bfloat16 or float16.
        gain: ``[C]``.
        offset: ``[C]``.
        epsilon: at least 0.

    Returns:
        ``[*, C]`` in the dtype of x.

    Raises:
        InputError: a shape, dtype, device or range does not fit.
    """
    plain = requested() in ("auto", "cpu") and is_plain(x, gain, offset)
    if plain and x.ndim == 2 and gain.shape == x.shape[1:] == offset.shape and x.shape[1] and epsilon >= 0.0:
        return load("layer_norm", "cpu").rows_of(x, gain, offset, epsilon)  # type: ignore[no-any-return]
    op = "layer_norm"
    check_floating(op, "x", x)
    if x.ndim < 1 or x.shape[-1] == 0:
        raise InputError(f"{op}: x is {list(x.shape)}, expected [*, C] with at least one channel.")
    if not epsilon >= 0.0:
        raise InputError(f"{op}: epsilon is {epsilon}, expected at least 0.")
    dtype = compute_dtype(x)
    for name, tensor in (("gain", gain), ("offset", offset)):
        check_floating(op, name, tensor)
        check_shape(op, name, tensor, (x.shape[-1],), x, "C")
    tensors = (
        as_read(x.reshape(x.shape[:-1].numel(), x.shape[-1]), dtype),
        as_read(gain, dtype),
        as_read(offset, dtype),
    )
    chosen = choose(requested(), x.device).backend
    y = reference.forward(*tensors, epsilon) if chosen == "reference" else _kernel(*tensors, epsilon, chosen)[0]
    return y.to(x.dtype).view(x.shape)


def _fake(x: Tensor, gain: Tensor, offset: Tensor, epsilon: float, backend: str) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(x), x.new_empty(x.shape[0], 1), x.new_empty(x.shape[0], 1)


@register("layer_norm", _fake)
def _kernel(x: Tensor, gain: Tensor, offset: Tensor, epsilon: float, backend: str) -> tuple[Tensor, Tensor, Tensor]:
    return load("layer_norm", backend).forward(x, gain, offset, epsilon)  # type: ignore[no-any-return]


def _fake_backward(
    grad: Tensor, x: Tensor, gain: Tensor, offset: Tensor, mean: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(gain), torch.empty_like(offset)


@register("layer_norm_backward", _fake_backward)
def _kernel_backward(
    grad: Tensor, x: Tensor, gain: Tensor, offset: Tensor, mean: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Of a gradient no order is promised, so torch's will do."""
    return torch.ops.aten.native_layer_norm_backward(  # type: ignore[no-any-return]
        grad, x, gain.shape, mean, scale, gain, offset, [True, True, True]
    )


def _save(ctx: Any, inputs: Any, output: Any) -> None:
    x, gain, offset, _, _ = inputs
    ctx.save_for_backward(x, gain, offset, *output[1:])


def _backward(ctx: Any, grad: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 5
    return *_kernel_backward(grad.contiguous(), *ctx.saved_tensors), None, None


_kernel.differentiable(_save, _backward)
