"""The logistic function in plain torch."""

import torch
from torch import Tensor


def forward(x: Tensor) -> Tensor:
    """1 / (1 + e^-x)."""
    return torch.sigmoid(x)
