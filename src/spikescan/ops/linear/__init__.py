"""A linear layer for spikes."""

from typing import Any

import torch
from torch import Tensor

from spikescan.errors import InputError
from spikescan.ops._checks import as_read, check_floating, check_shape, compute_dtype
from spikescan.ops._dispatch import choose, load, requested
from spikescan.ops._register import is_plain, register
from spikescan.ops.linear import reference

__all__ = ["linear"]


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``y_o = sum_i weight_{o i} x_i + bias_o``, the sum in the order of i, each product rounded with its sum.

    The order is fixed so that a row has the same bits whatever stands beside it and however the rows are split into calls,
    which a matrix product of BLAS does not promise: a network then answers a stream with the bits of its training. On the CPU
    inputs that are zero cost almost nothing, forward and for the gradient of the weight; so it is made for spikes. Where few
    inputs are zero it is about as quick as BLAS (docs/performance.md).

    Args:
        x: ``[*, I]``, float32, float64, bfloat16 or float16.
        weight: ``[O, I]``; finite, since zeros of the input may or may not be multiplied by it.
        bias: ``[O]``, added last; None adds nothing.

    Returns:
        ``[*, O]`` in the dtype of x.

    Raises:
        InputError: a shape, dtype or device does not fit.
    """
    if requested() in ("auto", "cpu") and (is_plain(x, weight) if bias is None else is_plain(x, weight, bias)):
        of_x, of_weight = x.shape, weight.shape
        fits = len(of_x) == 2 == len(of_weight) and of_x[1] == of_weight[1]
        if fits and (bias is None or bias.shape == of_weight[:1]):
            return load("linear", "cpu").outputs(x, weight, bias)  # type: ignore[no-any-return]
    op = "linear"
    check_floating(op, "x", x)
    check_floating(op, "weight", weight)
    if weight.ndim != 2 or x.ndim < 1 or x.shape[-1] != weight.shape[1]:
        raise InputError(f"{op}: weight is {list(weight.shape)} and x is {list(x.shape)}, expected [O, I] and [*, I].")
    check_shape(op, "weight", weight, tuple(weight.shape), x, "O, I")
    dtype = compute_dtype(x)
    if bias is not None:
        check_floating(op, "bias", bias)
        check_shape(op, "bias", bias, (weight.shape[0],), x, "O")
        bias = as_read(bias, dtype)
    rows = as_read(x.reshape(x.shape[:-1].numel(), x.shape[-1]), dtype)
    weight = as_read(weight, dtype)
    chosen = choose(requested(), x.device).backend
    y = reference.forward(rows, weight, bias) if chosen == "reference" else _kernel(rows, weight, bias, chosen)[0]
    return y.to(x.dtype).view(*x.shape[:-1], len(weight))


def _fake(x: Tensor, weight: Tensor, bias: Tensor | None, backend: str) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape[0], weight.shape[0]), x.new_empty((), dtype=torch.int64)


@register("linear", _fake)
def _kernel(x: Tensor, weight: Tensor, bias: Tensor | None, backend: str) -> tuple[Tensor, Tensor]:
    """The output, and how many inputs are not zero."""
    return load("linear", backend).forward(x, weight, bias)  # type: ignore[no-any-return]


def _fake_backward(grad: Tensor, x: Tensor, taken: Tensor, backend: str) -> Tensor:
    return x.new_empty(grad.shape[1], x.shape[1])


@register("linear_backward", _fake_backward)
def _kernel_backward(grad: Tensor, x: Tensor, taken: Tensor, backend: str) -> Tensor:
    """The gradient of the weight."""
    return load("linear", backend).backward(grad, x, taken)  # type: ignore[no-any-return]


def _save(ctx: Any, inputs: Any, output: Any) -> None:
    x, weight, _, ctx.backend = inputs
    ctx.save_for_backward(x, weight, output[1])


def _backward(ctx: Any, grad: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
    if grad is None:
        return None, None, None, None
    x, weight, taken = ctx.saved_tensors
    of_x, of_weight, of_bias, _ = ctx.needs_input_grad
    return (
        grad @ weight if of_x else None,
        _kernel_backward(grad.contiguous(), x, taken, ctx.backend) if of_weight else None,
        grad.sum(0) if of_bias else None,
        None,
    )


_kernel.differentiable(_save, _backward)
