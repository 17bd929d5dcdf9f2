"""The diagonal state space layer S4D."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from spikescan import ops
from spikescan.errors import InputError
from spikescan.neurons.base import State, Temporal, at_rest, check_carried, check_channels, no_weight_decay
from spikescan.neurons.padding import zero_padding
from spikescan.ops import IDENTITY, Cell

__all__ = ["MODES", "S4D", "S4DState"]

# Modes that one sweep over time carries: as many numbers a neuron as registers hold.
_TOGETHER = 4


def _modes(x: Any, state: Any, parameters: Any, fire: Any) -> Any:
    """Each mode turned and shrunk by its complex factor and driven by the input, and what flows out of all of them."""
    decay_re, decay_im, weight_re, weight_im = (parameters[i::4] for i in range(4))
    after: list[Any] = []
    y: Any = 0.0
    for n in range(_TOGETHER):
        re, im = state[2 * n : 2 * n + 2]
        re, im = decay_re[n] * re - decay_im[n] * im + x, decay_im[n] * re + decay_re[n] * im
        y = y + weight_re[n] * re + weight_im[n] * im
        after += [re, im]
    return fire(y), tuple(after)


MODES = Cell(
    _modes,
    states=tuple(f"{part}[{n}]" for n in range(_TOGETHER) for part in ("real", "imaginary")),
    parameters=tuple(
        f"{name}[{n}]" for n in range(_TOGETHER) for name in ("decay_re", "decay_im", "weight_re", "weight_im")
    ),
)


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
    recurrence, so that it streams. A sweep over time computes a few modes and what they give to y; on a CPU their values before
    every 16th step are kept for the backward.

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
        self._check(x, "T, B, C")
        modes = self._started(x, state)
        # What lies beyond a length counts for nothing, and gives nothing through D.
        u = zero_padding(x, lengths).to(modes.dtype)
        y = self.skip.to(u.dtype) * u
        after: list[Tensor] = []
        for parameters, own in zip(self.parameters_of_sweeps(u.dtype), self._shared_out(modes), strict=True):
            read, carried = ops.sweep(
                MODES, u, parameters.unbind(0), firing=IDENTITY, state=own.unbind(0), lengths=lengths
            )
            y = y + read
            after += carried
        return y.to(x.dtype), S4DState(torch.stack(after[: self.states], -1).view(modes.shape))

    def step(self, x_t: Tensor, state: S4DState | None = None) -> tuple[Tensor, S4DState]:
        """One step, ``[B, C]`` to ``[B, C]``, with the bits of `forward`: its sweeps stand side by side, as channels."""
        self._check(x_t, "B, C")
        modes = self._started(x_t.unsqueeze(0), state)
        u = x_t.to(modes.dtype)
        parameters, own = self.parameters_of_sweeps(u.dtype), self._shared_out(modes)
        count = len(own)
        read, carried = ops.sweep_step(
            MODES,
            u.repeat(1, count),
            parameters.transpose(0, 1).flatten(1).unbind(0),
            firing=IDENTITY,
            state=own.permute(1, 2, 0, 3).flatten(2).unbind(0),
        )
        y_t = self.skip.to(u.dtype) * u
        for each in read.chunk(count, 1):
            y_t = y_t + each
        after = torch.cat(torch.stack(carried, -1).chunk(count, 1), -1)
        return y_t.to(x_t.dtype), S4DState(after[..., : self.states].reshape(modes.shape))

    def _check(self, x: Tensor, shape: str) -> None:
        axes = len(shape.split())
        check_channels(self, x, axes - 1, self.channels)
        if x.ndim != axes:
            raise InputError(f"S4D: x is {list(x.shape)}, expected [{shape}] without space.")

    def _started(self, x: Tensor, state: State | None) -> Tensor:
        """The modes to go on from."""
        (rest,) = self.initial_state(x.new_empty(x.shape[1:]))
        if state is None:
            return rest
        (modes,) = self.unpack(state, S4DState)
        check_carried("S4D", "modes", modes, rest.shape, rest.dtype, rest.device)
        return modes  # type: ignore[no-any-return]

    def parameters_of_sweeps(self, dtype: torch.dtype) -> Tensor:
        """What each sweep is given as parameters of `MODES`, ``[sweeps, parameters, C]``.

        The last may have modes to spare; their zeros give nothing.
        """
        # In float64, where the difference of a slow mode's decay from 1 keeps its digits.
        a = torch.complex(-self.log_decay.double().exp(), self.frequency.double())
        decay = torch.exp(self.log_step.double().exp().unsqueeze(-1) * a)
        c = 2.0 * torch.view_as_complex(self.weight.double().contiguous()) * (decay - 1.0) / a
        # 2 Re(c h) is a sum over the real and the imaginary part of every mode.
        numbers = torch.stack([decay.real, decay.imag, c.real, -c.imag], -1).flatten(1).to(dtype)
        return _rows(numbers, len(MODES.parameters))

    def _shared_out(self, modes: Tensor) -> Tensor:
        """The modes as states of the sweeps, ``[sweeps, states, B, C]``."""
        return _rows(modes.flatten(2), len(MODES.states))

    def initial_state(self, x_t: Tensor) -> S4DState:
        """Zero."""
        rest = at_rest(x_t)
        return S4DState(rest.new_zeros(*rest.shape, self.states // 2, 2))

    def extra_repr(self) -> str:
        """The arguments, for ``print(module)``."""
        return f"{self.channels}, states={self.states}"


def _rows(numbers: Tensor, count: int) -> Tensor:
    """Numbers on the last axis as first axes ``[groups, count, ...]``, with zeros behind the last of them."""
    padded = nn.functional.pad(numbers, (0, -numbers.shape[-1] % count)).movedim(-1, 0)
    return padded.reshape(len(padded) // count, count, *padded.shape[1:])
