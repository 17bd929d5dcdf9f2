"""Firing on its own: for membranes that no fused kernel computes."""

from typing import Any

import torch
from torch import Tensor

from spikescan.ops._checks import check_floating
from spikescan.ops._dispatch import choose, load, requested
from spikescan.ops._firing import FiringSpec
from spikescan.ops._register import register
from spikescan.ops.fire import reference

__all__ = ["fire"]


def fire(membrane: Tensor, firing: FiringSpec) -> Tensor:
    """The spikes of a membrane, with the surrogate gradient; the equations stand at `spikescan.ops.Kind`.

    Args:
        membrane: any shape, floating point.
        firing: what turns the membrane into spikes.

    Returns:
        Spikes, of the shape and dtype of the membrane.
    """
    check_floating("fire", "membrane", membrane)
    chosen = choose(requested(), membrane.device).backend
    if chosen == "reference":
        return reference.forward(membrane, firing.kind, firing.numbers)
    spikes: Tensor = _kernel(membrane.contiguous(), int(firing.kind), firing.numbers, chosen)
    return spikes


def _fake(membrane: Tensor, kind: int, numbers: list[float], backend: str) -> Tensor:
    return torch.empty_like(membrane)


@register("fire", _fake)
def _kernel(membrane: Tensor, kind: int, numbers: list[float], backend: str) -> Tensor:
    return load("fire", backend).forward(membrane, kind, numbers)  # type: ignore[no-any-return]


def _fake_backward(grad: Tensor, membrane: Tensor, kind: int, numbers: list[float], backend: str) -> Tensor:
    return torch.empty_like(membrane)


@register("fire_backward", _fake_backward)
def _kernel_backward(grad: Tensor, membrane: Tensor, kind: int, numbers: list[float], backend: str) -> Tensor:
    return load("fire", backend).backward(grad, membrane, kind, numbers)  # type: ignore[no-any-return]


def _save(ctx: Any, inputs: Any, output: Any) -> None:
    membrane, ctx.kind, ctx.numbers, ctx.backend = inputs
    ctx.save_for_backward(membrane)


def _backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, ...]:
    (membrane,) = ctx.saved_tensors
    if grad is None:
        return None, None, None, None
    return _kernel_backward(grad.contiguous(), membrane, ctx.kind, ctx.numbers, ctx.backend), None, None, None


_kernel.differentiable(_save, _backward)
