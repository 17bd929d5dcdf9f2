"""Dropout whose draws are a function of a seed and a place, so that nothing is kept for the gradient."""

from typing import Any

import torch
from torch import Tensor

from spikescan.errors import InputError
from spikescan.ops._checks import check_floating, compute_dtype
from spikescan.ops._dispatch import choose, load, requested
from spikescan.ops._register import register
from spikescan.ops.dropout import reference

__all__ = ["dropout"]


def dropout(x: Tensor, p: float, seed: Tensor) -> Tensor:
    """``y_i = x_i / (1 - p)`` where draw i is not below p, else 0.

    Draw i, in units of 2^-16, is the (i mod 4)-th 16 bits, from the lowest, of output i // 4 of SplitMix64 (Steele, Lea, Flood,
    2014) begun at `seed`; p is rounded to a multiple of the unit, in the scale too. All backends draw the same, however many
    threads there are.

    Args:
        x: any shape, float32, float64, bfloat16 or float16; its elements are counted in the order of its indices.
        p: 0 to 1.
        seed: int64 ``[]``, on the device of x.

    Returns:
        Of the shape and dtype of x. What is dropped is 0, also where x is no number.

    Raises:
        InputError: x is not floating point, p is out of range, or the seed is not as above.
    """
    check_floating("dropout", "x", x)
    if not 0.0 <= p <= 1.0:
        raise InputError(f"dropout: p = {p}, expected a probability between 0 and 1.")
    if seed.dtype is not torch.int64 or seed.ndim > 0 or seed.device != x.device:
        raise InputError(
            f"dropout: seed is {seed.dtype} {list(seed.shape)} on {seed.device}, expected torch.int64 [] on {x.device}; "
            f"draw it by torch.randint(1 << 62, (), device=x.device)."
        )
    chosen = choose(requested(), x.device).backend
    wide, dropped = x.to(compute_dtype(x)), round(p * reference.LEVELS)
    if chosen == "reference":
        return reference.forward(wide, dropped, seed).to(x.dtype)
    y: Tensor = _kernel(wide.contiguous(), dropped, seed, chosen)
    return y.to(x.dtype)


def _fake(x: Tensor, dropped: int, seed: Tensor, backend: str) -> Tensor:
    return torch.empty_like(x)


@register("dropout", _fake)
def _kernel(x: Tensor, dropped: int, seed: Tensor, backend: str) -> Tensor:
    return load("dropout", backend).forward(x, dropped, seed)  # type: ignore[no-any-return]


def _save(ctx: Any, inputs: Any, output: Any) -> None:
    _, ctx.dropped, seed, ctx.backend = inputs
    ctx.save_for_backward(seed)


def _backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, None, None, None]:
    # The gradient loses what the input lost.
    (seed,) = ctx.saved_tensors
    of_x: Tensor | None = None if grad is None else _kernel(grad.contiguous(), ctx.dropped, seed, ctx.backend)
    return of_x, None, None, None


_kernel.differentiable(_save, _backward)
