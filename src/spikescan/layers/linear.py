"""A linear layer for spikes."""

import torch
from torch import Tensor, nn

from spikescan import ops

__all__ = ["Linear"]


class Linear(nn.Linear):
    """y = W x + b, as ``torch.nn.Linear``, for spikes on a CPU (`ops.linear`).

    Its sums run over the inputs in order, so that a step on a stream has the bits of the parallel pass, where BLAS rounds by
    the shape of a call; and inputs that are zero cost almost nothing, forward and in the gradient of W. Weights, their start
    and their names are torch's: each loads the other's state dict. On other devices, in other types than float32 and float64
    and under autocast it is torch's layer.

    Args:
        in_features: I, channels of the input.
        out_features: O, channels of the output; W is ``[O, I]``.
        bias: whether there is a b ``[O]``, which is added last.
    """

    def forward(self, x: Tensor) -> Tensor:
        """``[*, I]`` to ``[*, O]``."""
        weight = self.weight
        ours = x.is_cpu and x.dtype in (torch.float32, torch.float64) and x.dtype is weight.dtype
        if not ours or torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        return ops.linear(x, weight, self.bias)
