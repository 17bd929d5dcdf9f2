"""Observations brought to mean 0 and deviation 1 as they are seen."""

import torch
from torch import Tensor, nn

__all__ = ["RunningNorm"]

_LIMIT = 3.0  # also the span of the population code
_LEAST_DEVIATION = 1e-3


class RunningNorm(nn.Module):
    """y = clip((x - mean) / deviation, -3, 3), over all observations that `observe` was given (Welford 1962).

    Shapes: ``[*, C]`` to ``[*, C]``.
    """

    count: Tensor
    mean: Tensor
    squares: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(channels, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(channels, dtype=torch.float64))

    def observe(self, x: Tensor) -> None:
        """Take one observation ``[C]`` into account."""
        self.count += 1.0
        before = x - self.mean
        self.mean += before / self.count
        self.squares += before * (x - self.mean)

    def forward(self, x: Tensor) -> Tensor:
        """``[*, C]`` to ``[*, C]``."""
        deviation = torch.sqrt(self.squares / self.count.clamp(min=1.0)).clamp(min=_LEAST_DEVIATION)
        return ((x - self.mean.to(x.dtype)) / deviation.to(x.dtype)).clamp(-_LIMIT, _LIMIT)
