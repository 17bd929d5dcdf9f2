"""A spiking layer with weights from its own spikes back to itself."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from spikescan.errors import InputError
from spikescan.neurons.base import Neuron, State, Temporal, at_rest, check_carried, check_channels
from spikescan.neurons.padding import at_last_valid, valid_steps, zero_padding
from spikescan.ops._checks import compute_dtype

__all__ = ["Recurrent", "RecurrentState", "Unrolled"]


class RecurrentState(NamedTuple):
    """What a recurrent layer carries."""

    neuron: State
    """The state of its neuron."""
    spikes: Tensor
    """Of the last step, ``[B, C]``."""


class Unrolled(NamedTuple):
    """A run of a recurrent layer."""

    currents: Tensor
    """``[T, B, C]``, what the neuron was given."""
    spikes: Tensor
    """``[T, B, C]``"""
    state: RecurrentState
    """After the last valid step."""


class Recurrent(Temporal):
    r"""Spiking neurons that hear the layer before them and each other, one step late.

    .. math::
        I_t &= W x_t + V S_{t-1} + b \\
        S_t &= \text{neuron}(I_t)

    ``[T, B, inputs]`` to spikes ``[T, B, channels]``. W x + b is one matrix product over all of time; V waits for the spikes of
    the step before, so time runs in sequence, and training by backpropagation keeps every step. `HYPR` trains the same layer
    with memory that does not grow with time.

    Args:
        inputs: channels of x.
        channels: C, the number of neurons.
        neuron: of any kind that streams, such as ``LIF()`` or ``DSN(channels)``.
        lateral: have V; without it the layer is ``nn.Linear`` and neuron, and runs as parallel as the neuron does.

    The maps are ``linear`` (W, b) and ``lateral`` (V; None without), both ``nn.Linear`` with its initial values.

    Raises:
        InputError: a size is below 1, the neuron does not stream, or the input has another number of channels or has space.
    """

    def __init__(self, inputs: int, channels: int, neuron: Neuron, *, lateral: bool = True) -> None:
        super().__init__()
        if inputs < 1 or channels < 1:
            raise InputError(f"Recurrent: inputs is {inputs} and channels {channels}, expected both at least 1.")
        if not neuron.streamable:
            raise InputError(
                f"Recurrent: {type(neuron).__name__} cannot run step by step, so its spikes cannot come back to it; "
                f"take a neuron that streams, such as LIF() or DSN({channels})."
            )
        self.inputs = inputs
        self.channels = channels
        self.linear = nn.Linear(inputs, channels)
        self.lateral = nn.Linear(channels, channels, bias=False) if lateral else None
        self.neuron = neuron
        self.stochastic = neuron.stochastic
        self.length_bound = neuron.length_bound

    def initial_state(self, x_t: Tensor) -> RecurrentState:
        """At rest: the neuron at rest, and no spikes."""
        silent = at_rest(x_t.new_empty(len(x_t), self.channels))
        return RecurrentState(self.neuron.initial_state(silent), silent)

    def forward(
        self, x: Tensor, state: RecurrentState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, RecurrentState]:
        """``[T, B, inputs]`` to ``[T, B, channels]``; see `Temporal.forward`."""
        _, spikes, state = self.unroll(x, state, lengths)
        return spikes, state

    def unroll(self, x: Tensor, state: RecurrentState | None = None, lengths: Tensor | None = None) -> Unrolled:
        """`forward`, with the currents that the neuron was given."""
        check_channels(self, x, 2, self.inputs)
        if x.ndim != 3:
            raise InputError(f"Recurrent: x is {list(x.shape)}, expected [T, B, {self.inputs}]; flatten its space.")
        neuron_state, before = self._started(x, state)
        drive = self.linear(zero_padding(x, lengths))
        if self.lateral is None:
            spikes, neuron_state = self.neuron(drive, neuron_state, lengths)
            last = at_last_valid(spikes, before.to(spikes.dtype), lengths)
            return Unrolled(drive, spikes, RecurrentState(neuron_state, last.to(before.dtype)))
        valid = [None] * len(x) if lengths is None else valid_steps(x, lengths).unbind(0)
        currents, spikes = [], []
        for drive_t, valid_t in zip(drive.unbind(0), valid, strict=True):
            current = drive_t + self.lateral(before.to(drive.dtype))
            fired, after = self.neuron.step(current, neuron_state)
            wide = fired.to(before.dtype)
            if valid_t is None:
                neuron_state, before = after, wide
            else:
                neuron_state, before = _where(valid_t, (after, wide), (neuron_state, before))
                fired = _where(valid_t, fired, torch.zeros_like(fired))
            currents.append(current)
            spikes.append(fired)
        end = RecurrentState(neuron_state, before)
        return Unrolled(torch.stack(currents), torch.stack(spikes), end) if spikes else Unrolled(drive, drive, end)

    def _started(self, x: Tensor, state: RecurrentState | None) -> RecurrentState:
        """The state to go on from."""
        if state is None:
            return self.initial_state(x.new_empty(x.shape[1:]))
        neuron_state, spikes = self.unpack(state, RecurrentState)
        check_carried("Recurrent", "spikes", spikes, (x.shape[1], self.channels), compute_dtype(x), x.device)
        return RecurrentState(neuron_state, spikes)

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"{self.inputs}, {self.channels}"


def _where(valid: Tensor, new: State, old: State) -> State:
    """For each sample (axis 0) the new state where `valid`, else the old one."""
    if isinstance(new, Tensor):
        return torch.where(valid.view(-1, *[1] * (new.dim() - 1)), new, old)
    parts = [_where(valid, one, other) for one, other in zip(new, old, strict=True)]
    return type(new)(*parts) if hasattr(new, "_fields") else tuple(parts)
