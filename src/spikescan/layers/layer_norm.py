"""Layer norm, the same on a stream as in parallel."""

import torch
from torch import Tensor, nn

from spikescan import ops
from spikescan.errors import InputError

__all__ = ["LayerNorm"]


class LayerNorm(nn.LayerNorm):
    """``torch.nn.LayerNorm`` over the last axis, whose bits on a CPU depend on a row alone (`ops.layer_norm`).

    A compiled stream has them too. Parameters, their start and their names are torch's. On other devices, in other types than
    float32 and float64 and under autocast it is torch's layer.

    Args:
        channels: of the last axis.
        eps: added to the variance.

    Raises:
        InputError: there is no channel.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        if channels < 1:
            raise InputError(f"LayerNorm: channels is {channels}, expected at least 1.")
        super().__init__(channels, eps)

    def forward(self, x: Tensor) -> Tensor:
        """``[*, C]`` to ``[*, C]``."""
        ours = x.is_cpu and x.dtype in (torch.float32, torch.float64) and x.dtype is self.weight.dtype
        if not ours or torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        return ops.layer_norm(x, self.weight, self.bias, self.eps)
