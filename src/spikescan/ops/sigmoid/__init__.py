"""The logistic function, whose bits depend on its argument alone."""

from typing import Any

import torch
from torch import Tensor

from spikescan.ops._checks import check_floating, compute_dtype
from spikescan.ops._dispatch import choose, load, requested
from spikescan.ops._register import register
from spikescan.ops.sigmoid import reference

__all__ = ["sigmoid"]


def sigmoid(x: Tensor) -> Tensor:
    """``1 / (1 + e^-x)``.

    On the CPU an element has the same bits wherever it stands in memory; torch's own ends its rows in another arithmetic than
    it begins them, so that a sequence cut in time would differ.

    Args:
        x: any shape, float32, float64, bfloat16 or float16.

    Returns:
        Of the shape and dtype of x.

    Raises:
        InputError: x is not floating point.
    """
    check_floating("sigmoid", "x", x)
    chosen = choose(requested(), x.device).backend
    wide = x.to(compute_dtype(x))
    y = reference.forward(wide) if chosen == "reference" else _kernel(wide.contiguous(), chosen)
    return y.to(x.dtype)


def _fake(x: Tensor, backend: str) -> Tensor:
    return torch.empty_like(x)


@register("sigmoid", _fake)
def _kernel(x: Tensor, backend: str) -> Tensor:
    return load("sigmoid", backend).forward(x)  # type: ignore[no-any-return]


def _fake_backward(grad: Tensor, y: Tensor) -> Tensor:
    return torch.empty_like(y)


@register("sigmoid_backward", _fake_backward)
def _kernel_backward(grad: Tensor, y: Tensor) -> Tensor:
    return grad * (y * (1.0 - y))


def _save(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.save_for_backward(output)


def _backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, None]:
    (y,) = ctx.saved_tensors
    return None if grad is None else _kernel_backward(grad.contiguous(), y), None


_kernel.differentiable(_save, _backward)
