"""The last inputs side by side: what a linear layer behind it makes is a causal convolution over time."""

from typing import NamedTuple

import torch
from torch import Tensor

from spikescan.errors import InputError
from spikescan.neurons.base import State, Temporal, at_rest, check_carried, check_channels
from spikescan.neurons.padding import zero_padding
from spikescan.ops._window import shift_window

__all__ = ["Window", "WindowState"]


class WindowState(NamedTuple):
    """What a window carries."""

    past: Tensor
    """The last size - 1 inputs, newest last: ``[B, size - 1, C, *]``."""


class Window(Temporal):
    """y_t = (x_{t-size+1}, ..., x_t), one after the other in the channels; zeros stand before the first step.

    ``[T, B, C, *]`` to ``[T, B, size * C, *]``.

    Args:
        channels: C.
        size: steps that are seen at once, at least 1.

    Raises:
        InputError: an argument below 1, or the input has another number of channels.
    """

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        if channels < 1 or size < 1:
            raise InputError(f"Window: channels = {channels} and size = {size}, expected both at least 1.")
        self.channels = channels
        self.size = size

    def forward(
        self, x: Tensor, state: WindowState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, WindowState]:
        """See `Temporal.forward`."""
        check_channels(self, x, 2, self.channels)
        past = self._started(x, state).transpose(0, 1)
        x = zero_padding(x, lengths)
        seen = torch.cat([past.to(x.dtype), x])
        y = torch.stack([seen[first : first + len(x)] for first in range(self.size)], dim=2).flatten(2, 3)
        return zero_padding(y, lengths), WindowState(shift_window(past, x, lengths).transpose(0, 1))

    def _started(self, x: Tensor, state: State | None) -> Tensor:
        """The inputs before the first one."""
        (rest,) = self.initial_state(x.new_empty(x.shape[1:]))
        if state is None:
            return rest
        (past,) = self.unpack(state, WindowState)
        check_carried("Window", "past", past, rest.shape, rest.dtype, rest.device)
        return past  # type: ignore[no-any-return]

    def initial_state(self, x_t: Tensor) -> WindowState:
        """Zeros."""
        return WindowState(at_rest(x_t, self.size - 1))

    def extra_repr(self) -> str:
        """The arguments, for ``print(module)``."""
        return f"{self.channels}, {self.size}"
