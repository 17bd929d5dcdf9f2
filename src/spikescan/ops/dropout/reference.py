"""Dropout in plain torch."""

import torch
from torch import Tensor

LEVELS = 1 << 16
"""Equally likely values of a draw."""

# SplitMix64: what the state grows by, and two rounds of a shift and a product.
STRIDE = 0x9E3779B97F4A7C15
ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
LAST_SHIFT = 31


def scale(dropped: int) -> float:
    """1 / (1 - p); of what is all dropped, 0."""
    return LEVELS / (LEVELS - dropped) if dropped < LEVELS else 0.0


def forward(x: Tensor, dropped: int, seed: Tensor) -> Tensor:
    """0 where the draw is below `dropped`, else x times `scale`."""
    kept = draws(x.numel(), seed).view(x.shape) >= dropped
    return torch.where(kept, x * scale(dropped), 0.0)


def draws(count: int, seed: Tensor) -> Tensor:
    """Numbers below `LEVELS`, ``[count]``."""
    groups = -(-count // 4)
    bits = seed + torch.arange(1, groups + 1, device=seed.device) * _signed(STRIDE)
    for shift, factor in ROUNDS:
        bits = (bits ^ _shifted(bits, shift)) * _signed(factor)
    bits = bits ^ _shifted(bits, LAST_SHIFT)
    return torch.stack([_shifted(bits, 16 * part) & (LEVELS - 1) for part in range(4)], 1).flatten()[:count]


def _shifted(bits: Tensor, by: int) -> Tensor:
    """To the right, with zeros from the left."""
    return bits >> by & (1 << (64 - by)) - 1 if by else bits


def _signed(bits: int) -> int:
    return bits - (1 << 64 if bits >> 63 else 0)
