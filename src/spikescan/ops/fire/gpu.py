"""Firing on its own, as a Triton kernel."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from spikescan.ops._triton import Launch, derivative
from spikescan.ops._triton import fire as spikes_of

BLOCK = 1024


@triton.jit
def _forward(
    membrane: tl.tensor,
    spikes: tl.tensor,
    count: tl.int64,
    level: tl.float64,
    KIND: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    D: tl.constexpr = tl.float64 if membrane.dtype.element_ty == tl.float64 else tl.float32
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = place < count
    h = tl.load(membrane + place, mask=mask).to(D)
    tl.store(spikes + place, spikes_of(h, level, KIND), mask=mask)


@triton.jit
def _backward(
    grad: tl.tensor,
    membrane: tl.tensor,
    grad_membrane: tl.tensor,
    count: tl.int64,
    level: tl.float64,
    a: tl.float64,
    b: tl.float64,
    c: tl.float64,
    KIND: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    D: tl.constexpr = tl.float64 if membrane.dtype.element_ty == tl.float64 else tl.float32
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = place < count
    h = tl.load(membrane + place, mask=mask).to(D)
    g = tl.load(grad + place, mask=mask).to(D)
    tl.store(grad_membrane + place, g * derivative(h, level, a, b, c, KIND), mask=mask)


def forward(membrane: Tensor, kind: int, numbers: list[float]) -> Tensor:
    """As `reference.forward`."""
    spikes = torch.empty_like(membrane)
    arguments = {"membrane": membrane, "spikes": spikes, "count": membrane.numel(), "level": numbers[0]}
    _launch(_forward, arguments, kind)
    return spikes


def backward(grad: Tensor, membrane: Tensor, kind: int, numbers: list[float]) -> Tensor:
    """The gradient of the membrane."""
    grad_membrane = torch.empty_like(membrane)
    level, a, b, c = numbers
    arguments = {"grad": grad, "membrane": membrane, "grad_membrane": grad_membrane, "count": membrane.numel()}
    _launch(_backward, arguments | {"level": level, "a": a, "b": b, "c": c}, kind)
    return grad_membrane


def _launch(kernel: Any, arguments: dict[str, Any], kind: int) -> None:
    grid = (triton.cdiv(arguments["count"], BLOCK),)
    Launch(kernel, grid, 4, arguments | {"KIND": kind, "BLOCK": BLOCK}).run()
