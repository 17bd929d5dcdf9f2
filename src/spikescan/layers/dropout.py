"""Dropout whose random numbers cost little."""

import numpy as np
import torch
from torch import Tensor, nn

from spikescan.errors import InputError

__all__ = ["Dropout"]

_LEVELS = 1 << 16
"""Of one of the four numbers that a draw of 64 bits is cut into."""


class Dropout(nn.Dropout):
    """In training zero with probability p, else x / (1 - p): ``torch.nn.Dropout``, several times as fast on a CPU.

    There torch draws a double of a Mersenne Twister for each element. Here a seed from torch's generator starts an SFC64, of
    whose 64 bits each element takes 16; p is rounded to a multiple of 2^-16, in the scale too. The draw follows
    ``torch.manual_seed``, with other values than torch's. On other devices, for a p that is rounded to 0 or 1, and in
    ``torch.compile`` it is torch's.

    Args:
        p: 0 to 1.

    Raises:
        InputError: p is out of range.
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0.0 <= p <= 1.0:
            raise InputError(f"Dropout: p = {p}, expected a probability between 0 and 1.")
        super().__init__(p)

    def forward(self, x: Tensor) -> Tensor:
        """``[*]`` to ``[*]``."""
        dropped = round(self.p * _LEVELS)
        ours = x.device.type == "cpu" and x.is_floating_point() and not torch.compiler.is_compiling()
        if not (ours and self.training and 0 < dropped < _LEVELS):
            return super().forward(x)
        return x * _factors(x, dropped)


def _factors(x: Tensor, dropped: int) -> Tensor:
    """0 where a draw of `_LEVELS` equal chances is among the first `dropped`, else what makes their mean 1."""
    seed = int(torch.randint(1 << 62, (), device="cpu"))
    draws = np.random.SFC64(seed).random_raw(-(-x.numel() // 4)).view(np.int16)[: x.numel()]
    # Written as numbers at once: torch takes several times as long to multiply by a bool.
    factors = torch.empty_like(x, memory_format=torch.contiguous_format)
    torch.ge(torch.from_numpy(draws).view(x.shape), dropped - _LEVELS // 2, out=factors)
    return factors.mul_(_LEVELS / (_LEVELS - dropped))
