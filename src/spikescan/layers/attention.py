"""Attention of spikes that costs masks and additions, linear in the number of tokens."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from spikescan import ops
from spikescan.errors import InputError
from spikescan.layers.sequential import describe, lift
from spikescan.neurons.base import State, Temporal, at_rest, check_carried, check_channels, no_weight_decay
from spikescan.neurons.padding import at_last_valid, zero_padding
from spikescan.ops._checks import compute_dtype

__all__ = ["DecayingSum", "DecayingSumState", "SpikeAttention", "SpikeAttentionState", "TokenSum"]


class SpikeAttentionState(NamedTuple):
    """The states of the parts."""

    query: State
    key: State
    value: State
    mix: State


class SpikeAttention(Temporal):
    r"""y = q * mix(k * v), elementwise, of q = query(x), k = key(x), v = value(x).

    The self-attention of the Spike-driven Transformer (arXiv 2307.01694): where all parts end in neurons, k * v is where both
    spike, `mix` adds that up over tokens or over time and fires, and q masks the result. No matrix of tokens by tokens.

    Args:
        query, key, value: from ``[T, B, C, *]`` to spikes ``[T, B, C', *]``; temporal, or lifted as in `Sequential`.
        mix: from ``[T, B, C', *]`` to a shape that broadcasts to it: over space ``Sequential(TokenSum(), neuron)``, over time
            ``Sequential(DecayingSum(channels), neuron)``.
    """

    def __init__(self, query: nn.Module, key: nn.Module, value: nn.Module, mix: nn.Module) -> None:
        super().__init__()
        self.query, self.key, self.value, self.mix = lift(query), lift(key), lift(value), lift(mix)
        describe(self, [self.query, self.key, self.value, self.mix])

    def forward(
        self, x: Tensor, state: SpikeAttentionState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, SpikeAttentionState]:
        """See `Temporal.forward`."""
        return self._attend(x, state, [self.query, self.key, self.value, self.mix], lengths)

    def step(self, x_t: Tensor, state: SpikeAttentionState | None = None) -> tuple[Tensor, SpikeAttentionState]:
        """One step of each part."""
        return self._attend(x_t, state, [self.query.step, self.key.step, self.value.step, self.mix.step])

    def _attend(
        self,
        x: Tensor,
        state: SpikeAttentionState | None,
        runs: list[Callable[..., tuple[Tensor, State]]],
        *lengths: Tensor | None,
    ) -> tuple[Tensor, SpikeAttentionState]:
        query, key, value, mix = self.unpack(state, SpikeAttentionState)
        q, query = runs[0](x, query, *lengths)
        k, key = runs[1](x, key, *lengths)
        v, value = runs[2](x, value, *lengths)
        attended, mix = runs[3](k * v, mix, *lengths)
        # What is summed is float32 at least, and so are the spikes made of it; they are whole numbers in q's dtype as well.
        return q * attended.to(q.dtype), SpikeAttentionState(query, key, value, mix)

    def initial_state(self, x_t: Tensor) -> SpikeAttentionState:
        """The states at rest of all parts."""
        with torch.no_grad():  # no time steps: only the shapes are passed on
            state: SpikeAttentionState = self(x_t.new_empty(0, *x_t.shape))[1]
        return state


class TokenSum(nn.Module):
    """The sum over all places: ``[N, C, *]`` to ``[N, C, 1, ...]``, times `gain`.

    A gain of 2 stands for the threshold of 1/2 that the neurons after it have in the Spike-driven Transformer's code.
    """

    def __init__(self, gain: float = 2.0) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, x: Tensor) -> Tensor:
        """See the class."""
        places = tuple(range(2, x.ndim))
        return self.gain * (x.sum(dim=places, keepdim=True) if places else x)  # no axes would mean all of them

    def extra_repr(self) -> str:
        """The arguments, for ``print(module)``."""
        return f"gain={self.gain}"


class DecayingSumState(NamedTuple):
    """What has been added up."""

    total: Tensor
    """``[B, C, *]``"""


class DecayingSum(Temporal):
    """h_t = a h_{t-1} + x_t, the sum over the past, forgotten with one decay a head; y_t = h_t.

    ``[T, B, C, *]`` to ``[T, B, C, *]`` in float32 at least. Head i of n has C / n channels in a row and starts at a time
    constant -1 / log a that is spread log-uniformly over the heads within `time_constants`.

    Args:
        channels: C.
        heads: n, of which C is a multiple.
        time_constants: the shortest and the longest, in steps.
        learn: whether a = sigmoid(`decay_logit`) is learnt.

    Raises:
        InputError: the arguments are out of range, or the input has another number of channels.
    """

    def __init__(
        self, channels: int, heads: int = 1, *, time_constants: tuple[float, float] = (2.0, 64.0), learn: bool = True
    ) -> None:
        super().__init__()
        low, high = time_constants
        if heads < 1 or channels < 1 or channels % heads:
            raise InputError(f"DecayingSum: channels = {channels} is no multiple of heads = {heads}.")
        if not 0.0 < low <= high < math.inf:
            raise InputError(f"DecayingSum: time_constants = {time_constants}, expected such as (2.0, 64.0).")
        self.channels = channels
        self.heads = heads
        constants = torch.linspace(math.log(low), math.log(high), heads, dtype=torch.float64).exp()
        logit = torch.logit(torch.exp(-1.0 / constants)).to(torch.get_default_dtype())
        if learn:
            self.decay_logit: Tensor = no_weight_decay(nn.Parameter(logit))
        else:
            self.register_buffer("decay_logit", logit)

    def forward(
        self, x: Tensor, state: DecayingSumState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, DecayingSumState]:
        """See `Temporal.forward`."""
        check_channels(self, x, 2, self.channels)
        (total,) = self._started(x, state)
        decay = self.decays(total.dtype).view(-1, *[1] * (x.ndim - 3))
        drive = zero_padding(x, lengths).to(total.dtype)
        totals, _ = ops.linear_recurrence(decay, drive, total)
        return zero_padding(totals, lengths), DecayingSumState(at_last_valid(totals, total, lengths))

    def decays(self, dtype: torch.dtype) -> Tensor:
        """The decay a of each channel, ``[C]``."""
        return self.decay_logit.to(dtype).sigmoid().repeat_interleave(self.channels // self.heads)

    def _started(self, x: Tensor, state: State | None) -> DecayingSumState:
        """The state to go on from."""
        if state is None:
            return self.initial_state(x.new_empty(x.shape[1:]))
        (total,) = self.unpack(state, DecayingSumState)
        check_carried("DecayingSum", "total", total, x.shape[1:], compute_dtype(x), x.device)
        return DecayingSumState(total)

    def initial_state(self, x_t: Tensor) -> DecayingSumState:
        """Zero."""
        return DecayingSumState(at_rest(x_t))

    def extra_repr(self) -> str:
        """The arguments, for ``print(module)``."""
        return f"{self.channels}, heads={self.heads}"
