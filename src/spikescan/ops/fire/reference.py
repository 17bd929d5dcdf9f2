"""Firing in plain torch: the truth that the kernels are held against, and the maths of the surrogates."""

import math

import torch
from torch import Tensor

from spikescan.ops._firing import Kind

__all__ = ["derivative", "fire", "forward"]


def spikes(membrane: Tensor, kind: int, numbers: list[float]) -> Tensor:
    """The output of the membrane, without a gradient."""
    level = numbers[0]
    if kind == Kind.IDENTITY:
        return membrane.clone()
    if kind == Kind.INTEGER:
        return membrane.round().clamp(0.0, level)
    return (membrane >= level).to(membrane.dtype)


def _gaussian(x: Tensor, deviation: float) -> Tensor:
    return torch.exp(-0.5 * (x / deviation) ** 2) / (deviation * math.sqrt(2.0 * math.pi))


def derivative(membrane: Tensor, kind: int, numbers: list[float]) -> Tensor:
    """The derivative that stands in for that of `spikes`; the table is in `spikescan.ops._firing.Kind`."""
    level, a, b, c = numbers
    if kind == Kind.IDENTITY:
        return torch.ones_like(membrane)
    if kind == Kind.INTEGER:
        return ((membrane >= 0.0) & (membrane <= level)).to(membrane.dtype)
    x = membrane - level
    if kind == Kind.ATAN:
        return 0.5 * a / (1.0 + (0.5 * math.pi * a * x) ** 2)
    if kind == Kind.SIGMOID:
        s = torch.sigmoid(a * x)
        return a * s * (1.0 - s)
    if kind == Kind.TRIANGULAR:
        return (1.0 - x.abs() / a).clamp(min=0.0) / a
    if kind == Kind.RECTANGULAR:
        return (x.abs() < 0.5 * a).to(x.dtype) / a
    if kind == Kind.FAST_SIGMOID:
        return 1.0 / (1.0 + a * x.abs()) ** 2
    return (1.0 + b) * _gaussian(x, a) - b * _gaussian(x - a, c * a) - b * _gaussian(x + a, c * a)


class _Fire(torch.autograd.Function):
    @staticmethod
    def forward(ctx, membrane: Tensor, kind: int, numbers: list[float]) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(membrane)
        ctx.kind, ctx.numbers = kind, numbers
        return spikes(membrane, kind, numbers)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[no-untyped-def]
        (membrane,) = ctx.saved_tensors
        return grad * derivative(membrane, ctx.kind, ctx.numbers), None, None


def fire(membrane: Tensor, kind: int, numbers: list[float]) -> Tensor:
    """The spikes of a membrane, with the surrogate gradient."""
    return _Fire.apply(membrane, kind, numbers)  # type: ignore[no-any-return,no-untyped-call]


def forward(membrane: Tensor, kind: int, numbers: list[float]) -> Tensor:
    return fire(membrane, kind, numbers)
