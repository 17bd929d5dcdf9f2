"""The diagonal state space layer S4D."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from spikescan import ops
from spikescan.errors import InputError
from spikescan.neurons.base import State, Temporal, at_rest, check_carried, check_channels, no_weight_decay
from spikescan.neurons.padding import at_last_valid, zero_padding

__all__ = ["S4D", "S4DState"]


class S4DState(NamedTuple):
    """What the modes hold."""

    modes: Tensor
    """``[B, C, N / 2, 2]``, real and imaginary parts."""


class S4D(Temporal):
    r"""N / 2 complex modes a channel, driven by it and read out linearly.

    .. math::
        h_{t,n} &= e^{\Delta A_n} h_{t-1,n} + u_t \\
        y_t &= 2 \, \text{Re} \sum_n C_n \frac{e^{\Delta A_n} - 1}{A_n} h_{t,n} + D u_t

    The zero-order hold of ``h' = A h + u, y = 2 Re(C h) + D u`` with step Delta; each of C channels has its own
    A, C, D and Delta. ``[T, B, C]`` to ``[T, B, C]``, computed in float32 at least. Source: S4D-Lin (Gu et al. 2022, arXiv
    2206.11893), whose kernel ``2 Re sum_n C_n (e^{Delta A_n} - 1) / A_n e^{t Delta A_n}`` this is without its convolution: by
    recurrence, so that it streams. That keeps T x B x C x N numbers for the backward.

    Initial values (as in SpikingSSM, arXiv 2408.14909): A_n = -1/2 + i pi n, n = 0 to N / 2 - 1; C complex normal; D normal;
    Delta log-uniform within `steps`. The real part of A is held as its logarithm, so it stays negative.

    Args:
        channels: C.
        states: N, even; modes come in conjugate pairs of which one is kept.
        steps: the smallest and the largest first Delta.

    Raises:
        InputError: a size or `steps` out of range, or the input has another number of channels or has space.
    """

    def __init__(self, channels: int, states: int = 64, *, steps: tuple[float, float] = (0.001, 0.1)) -> None:
        super().__init__()
        low, high = steps
        if channels < 1 or states < 2 or states % 2:
            raise InputError(
                f"S4D: channels = {channels} and states = {states}, expected at least 1 and an even number."
            )
        if not 0.0 < low <= high:
            raise InputError(f"S4D: steps = {steps}, expected 0 < smallest <= largest, such as (0.001, 0.1).")
        self.channels = channels
        self.states = states
        modes = states // 2
        log_step = torch.empty(channels).uniform_(math.log(low), math.log(high))
        frequency = math.pi * torch.arange(modes, dtype=torch.get_default_dtype()).repeat(channels, 1)
        self.log_step = no_weight_decay(nn.Parameter(log_step))
        self.log_decay = no_weight_decay(nn.Parameter(torch.full((channels, modes), math.log(0.5))))
        self.frequency = no_weight_decay(nn.Parameter(frequency))
        # Real and imaginary parts, each of variance 1/2. Complex parameters would not survive `.to(torch.float64)`.
        self.weight = nn.Parameter(torch.randn(channels, modes, 2) * math.sqrt(0.5))
        self.skip = nn.Parameter(torch.randn(channels))

    def forward(
        self, x: Tensor, state: S4DState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, S4DState]:
        """See `Temporal.forward`."""
        check_channels(self, x, 2, self.channels)
        if x.ndim != 3:
            raise InputError(f"S4D: x is {list(x.shape)}, expected [T, B, C] without space.")
        modes = self._started(x, state)
        u = zero_padding(x, lengths).to(modes.dtype)
        before = torch.view_as_complex(modes.contiguous())
        decay, weight = self._coefficients()
        drive = u.unsqueeze(-1).expand(*u.shape, self.states // 2).to(before.dtype)
        after, final = ops.linear_recurrence(decay.to(before.dtype), drive, before)
        # 2 Re(c h), as a sum over the real and the imaginary part of every mode.
        y = (torch.view_as_real(after) * weight.to(u.dtype)).sum((-2, -1)) + self.skip.to(u.dtype) * u
        last = final if lengths is None else at_last_valid(after, before, lengths)
        return zero_padding(y, lengths).to(x.dtype), S4DState(torch.view_as_real(last))

    def _started(self, x: Tensor, state: State | None) -> Tensor:
        """The modes to go on from."""
        (rest,) = self.initial_state(x.new_empty(x.shape[1:]))
        if state is None:
            return rest
        (modes,) = self.unpack(state, S4DState)
        check_carried("S4D", "modes", modes, rest.shape, rest.dtype, rest.device)
        return modes  # type: ignore[no-any-return]

    def _coefficients(self) -> tuple[Tensor, Tensor]:
        """Complex decays ``[C, N / 2]``, and what real and imaginary parts of h are multiplied with, ``[C, N / 2, 2]``."""
        # In float64, where the difference of a slow mode's decay from 1 keeps its digits.
        a = torch.complex(-self.log_decay.double().exp(), self.frequency.double())
        decay = torch.exp(self.log_step.double().exp().unsqueeze(-1) * a)
        c = 2.0 * torch.view_as_complex(self.weight.double().contiguous()) * (decay - 1.0) / a
        return decay, torch.stack([c.real, -c.imag], dim=-1)

    def initial_state(self, x_t: Tensor) -> S4DState:
        """Zero."""
        rest = at_rest(x_t)
        return S4DState(rest.new_zeros(*rest.shape, self.states // 2, 2))

    def extra_repr(self) -> str:
        """The arguments, for ``print(module)``."""
        return f"{self.channels}, states={self.states}"
