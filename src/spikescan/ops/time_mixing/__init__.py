"""A dense matrix over time, then firing: the charge of PSN and masked PSN."""

from typing import Any

import torch
from torch import Tensor

from spikescan.errors import InputError
from spikescan.ops._checks import as_read, check_floating, check_shape, compute_dtype
from spikescan.ops._dispatch import choose, load, requested
from spikescan.ops._firing import IDENTITY, FiringSpec
from spikescan.ops._register import register
from spikescan.ops.time_mixing import reference

__all__ = ["time_mixing"]


def time_mixing(
    x: Tensor, weight: Tensor, bias: Tensor, *, firing: FiringSpec = IDENTITY, order: int | None = None
) -> Tensor:
    """``y_t = fire(bias_t + sum_i weight_{t i} x_i)``, the sum in the order of i.

    The order is fixed so that the result of a neuron has the same bits whatever stands beside it in the batch, and however
    the rows are split into calls; a matrix product of BLAS promises neither.

    Args:
        x: ``[T_in, ...]``, float32, float64, bfloat16 or float16.
        weight: ``[T_out, T_in]``.
        bias: ``[T_out]``.
        firing: what turns the result into spikes; the default returns the result itself.
        order: k, where the matrix is a band: row t takes the k inputs up to i = t + T_in - T_out, and what the weight holds
            elsewhere is not used. It costs k multiplications a row instead of T_in. None takes all inputs. An input that is no
            number spoils the rows of its band in a CPU forward; in the other backends, and in gradients of bands wider than
            128, any row, since these multiply it by zero.

    Returns:
        ``[T_out, ...]`` in the dtype of x.

    Raises:
        InputError: a shape, dtype or device does not fit.
    """
    op = "time_mixing"
    for name, tensor in (("x", x), ("weight", weight), ("bias", bias)):
        check_floating(op, name, tensor)
    if x.ndim < 1 or weight.ndim != 2 or weight.shape[1] != x.shape[0]:
        raise InputError(
            f"{op}: weight is {list(weight.shape)} and x is {list(x.shape)}, expected [T_out, T_in] and [T_in, ...]."
        )
    check_shape(op, "weight", weight, tuple(weight.shape), x, "T_out, T_in")
    check_shape(op, "bias", bias, (weight.shape[0],), x, "T_out")
    if order is not None and order < 1:
        raise InputError(f"{op}: order is {order}, expected at least 1 (input a row), or None.")
    dtype = compute_dtype(x)
    rest = x.shape[1:]
    tensors = (
        x.reshape(x.shape[0], rest.numel()).contiguous(),
        as_read(weight, dtype),
        as_read(bias, dtype),
    )
    chosen = choose(requested(), x.device).backend
    if chosen == "reference":
        y = reference.forward(*tensors, order, firing.kind, firing.numbers)
    else:
        keep = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
        y, _ = _kernel(*tensors, order, int(firing.kind), firing.numbers, keep, chosen)
    return y.view(weight.shape[0], *rest)


def _fake(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    order: int | None,
    kind: int,
    numbers: list[float],
    keep: bool,
    backend: str,
) -> tuple[Tensor, Tensor]:
    shape = (weight.shape[0], x.shape[1])
    return x.new_empty(shape), x.new_empty(shape if keep else (0,), dtype=weight.dtype)


@register("time_mixing", _fake)
def _kernel(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    order: int | None,
    kind: int,
    numbers: list[float],
    keep: bool,
    backend: str,
) -> tuple[Tensor, Tensor]:
    return load("time_mixing", backend).forward(x, weight, bias, order, kind, numbers, keep)  # type: ignore[no-any-return]


def _fake_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    membranes: Tensor,
    order: int | None,
    kind: int,
    numbers: list[float],
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(weight), weight.new_empty(weight.shape[0])


@register("time_mixing_backward", _fake_backward)
def _kernel_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    membranes: Tensor,
    order: int | None,
    kind: int,
    numbers: list[float],
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    return load("time_mixing", backend).backward(grad, x, weight, membranes, order, kind, numbers)  # type: ignore[no-any-return]


def _save(ctx: Any, inputs: Any, output: Any) -> None:
    x, weight, _, ctx.order, ctx.kind, ctx.numbers, _, ctx.backend = inputs
    ctx.save_for_backward(x, weight, output[1])


def _backward(ctx: Any, grad: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 8
    grads = _kernel_backward(grad.contiguous(), *ctx.saved_tensors, ctx.order, ctx.kind, ctx.numbers, ctx.backend)
    return *grads, None, None, None, None, None


_kernel.differentiable(_save, _backward)
