"""On a GPU layer norm is torch's."""

import torch
from torch import Tensor

__all__ = ["forward"]


def forward(x: Tensor, gain: Tensor, offset: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """As the CPU's."""
    return torch.native_layer_norm(x, gain.shape, gain, offset, epsilon)
