"""From spikes over time to one value a class: running, so that every step has an answer and streaming is exact."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from spikescan import ops
from spikescan.errors import InputError
from spikescan.neurons.base import (
    State,
    Temporal,
    at_rest,
    check_carried,
    check_channels,
    check_state,
    check_stateless,
    no_weight_decay,
)
from spikescan.neurons.padding import at_last_valid, zero_padding
from spikescan.ops._checks import check_lengths, compute_dtype

__all__ = [
    "LastReadout",
    "LeakyReadout",
    "LeakyState",
    "MaxReadout",
    "MaxState",
    "RateReadout",
    "RateState",
    "final_step",
]


class RateState(NamedTuple):
    """The sum so far and the number of steps in it."""

    total: Tensor
    """``[B, C, *]``"""
    steps: Tensor
    """int64 ``[B]``"""


class RateReadout(Temporal):
    """y_t = (x_1 + ... + x_t) / t, the mean over all steps so far.

    ``[T, B, C, *]`` to ``[T, B, C, *]`` in float32 at least. Its last step is the usual rate readout (`final_step`).
    The mean of an endless stream stops moving; `LeakyReadout` forgets.
    """

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """See `Temporal.forward`."""
        time_steps, batch = x.shape[:2]
        total, steps = self._started(x, x.shape[1:], state)
        # A recurrence, not torch.cumsum, whose sums are in another order and type than one step's.
        drive = zero_padding(x, lengths).to(total.dtype)
        totals, _ = ops.linear_recurrence(drive.new_ones(()), drive, total)
        counts = steps + torch.arange(1, time_steps + 1, device=x.device).unsqueeze(1)
        means = totals / counts.view(time_steps, batch, *_ones(x))
        taken = time_steps if lengths is None else lengths
        return zero_padding(means, lengths), RateState(at_last_valid(totals, total, lengths), steps + taken)

    def step(self, x_t: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """See `Temporal.step`; the bits of `forward`, without its detour over a sequence of one step."""
        total, steps = self._started(x_t, x_t.shape, state)
        total, steps = total + x_t, steps + 1
        return total / steps.view(-1, *[1] * (x_t.dim() - 1)), RateState(total, steps)

    def _started(self, x: Tensor, shape: torch.Size, state: State | None) -> RateState:
        """The state to go on from, for one step of `shape` and the type of x."""
        if state is None:
            return self.initial_state(x.new_empty(shape))
        total, steps = self.unpack(state, RateState)
        check_carried("RateReadout", "total", total, shape, compute_dtype(x), x.device)
        check_carried("RateReadout", "steps", steps, shape[:1], torch.int64, x.device)
        return RateState(total, steps)

    def initial_state(self, x_t: Tensor) -> RateState:
        """Nothing summed."""
        return RateState(at_rest(x_t), torch.zeros(len(x_t), dtype=torch.int64, device=x_t.device))


class MaxState(NamedTuple):
    """The largest value so far."""

    maximum: Tensor
    """``[B, C, *]``; minus infinity before the first step"""


class MaxReadout(Temporal):
    """y_t = max(x_1, ..., x_t), the largest value so far; the gradient goes to the last step that had it.

    ``[T, B, C, *]`` to ``[T, B, C, *]`` in float32 at least.
    """

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """See `Temporal.forward`."""
        (maximum,) = _started(self, x, state)
        values = torch.cat([maximum.unsqueeze(0), zero_padding(x, lengths).to(maximum.dtype)])
        maxima = values.cummax(0).values[1:]
        return zero_padding(maxima, lengths), MaxState(at_last_valid(maxima, maximum, lengths))

    def initial_state(self, x_t: Tensor) -> MaxState:
        """Minus infinity."""
        return MaxState(torch.full_like(at_rest(x_t), -math.inf))


class LeakyState(NamedTuple):
    """What the integrator holds."""

    membrane: Tensor
    """``[B, C, *]``"""


class LeakyReadout(Temporal):
    """v_t = a v_{t-1} + (1 - a) x_t, a leaky integrator that does not spike; y_t = v_t.

    ``[T, B, C, *]`` to ``[T, B, C, *]`` in float32 at least. The decay a = sigmoid(`decay_logit`) is learnt for each
    channel and starts at 1 - 1 / tau.

    Args:
        channels: C.
        tau: the time constant in time steps, above 1.

    Raises:
        InputError: tau is not above 1, or the input has another number of channels.
    """

    def __init__(self, channels: int, *, tau: float = 20.0) -> None:
        super().__init__()
        if not 1.0 < tau < math.inf:
            raise InputError(
                f"LeakyReadout: tau = {tau}, expected a time constant above 1 time step, such as tau=20.0."
            )
        self.channels = channels
        # sigmoid(log(tau - 1)) = 1 - 1 / tau
        self.decay_logit = no_weight_decay(nn.Parameter(torch.full((channels,), math.log(tau - 1.0))))

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """See `Temporal.forward`."""
        check_channels(self, x, 2, self.channels)
        (membrane,) = _started(self, x, state)
        logit = self.decay_logit.to(membrane.dtype).view(-1, *_ones(x)[1:])
        drive = logit.neg().sigmoid() * zero_padding(x, lengths).to(membrane.dtype)
        membranes, _ = ops.linear_recurrence(logit.sigmoid(), drive, membrane)
        return zero_padding(membranes, lengths), LeakyState(at_last_valid(membranes, membrane, lengths))

    def initial_state(self, x_t: Tensor) -> LeakyState:
        """Zero."""
        return LeakyState(at_rest(x_t))

    def extra_repr(self) -> str:
        """The arguments, for ``print(module)``."""
        return f"{self.channels}"


class LastReadout(Temporal):
    """y_t = x_t: only the last step answers (`final_step`)."""

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """``[T, B, C, *]`` to ``[T, B, C, *]``; the state is ``()``. See `Temporal.forward`."""
        check_stateless("LastReadout", state)
        return zero_padding(x, lengths), ()

    def initial_state(self, x_t: Tensor) -> State:
        """``()``."""
        return ()


def final_step(y: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The value ``[B, C, *]`` of y ``[T, B, C, *]`` at each sample's last valid step; zero for a sample without one."""
    check_lengths("final_step", lengths, y.shape[0], y.shape[1], y)
    return at_last_valid(y, y.new_zeros(y.shape[1:]), lengths)


def _started(readout: Temporal, x: Tensor, state: State | None) -> State:
    """The state to go on from: the one given, checked, or the one at rest."""
    rest = readout.initial_state(x.new_empty(x.shape[1:]))
    if state is None:
        return rest
    check_state(type(readout).__name__, state, rest)
    return state


def _ones(x: Tensor) -> list[int]:
    """As many axes of size 1 as x ``[T, B, C, *]`` has after the batch."""
    return [1] * (x.dim() - 2)
