"""The gates that the DSN was compared with (arXiv 2602.01133, its ablation): a constant one, and three that mix channels."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spikescan import ops
from spikescan.errors import InputError
from spikescan.firing import Firing, Integer
from spikescan.neurons.base import Cost, Neuron, at_rest, check_carried, check_channels, no_weight_decay
from spikescan.neurons.dsn import DSNState, initial_bias, squarings_and_powers
from spikescan.neurons.padding import at_last_valid, zero_padding
from spikescan.ops._checks import check_floating, check_lengths, compute_dtype, in_compute_dtype

__all__ = ["DenseDSN", "InterChannelDSN", "LowRankDSN", "StaticDSN", "StaticDSNState"]


class StaticDSNState(NamedTuple):
    """What a static DSN carries: the membrane ``[B, C, *]``."""

    membrane: Tensor


class StaticDSN(Neuron):
    r"""A DSN whose decay is a learnt constant of each channel, whatever the input.

    .. math::
        \alpha &= \sigma(b)^{1/\tau} \\
        H_t &= \alpha H_{t-1} + (1 - \alpha) x_t \\
        S_t &= \text{fire}(H_t)

    The row "no convolution" of the gate ablation of arXiv 2602.01133; a leaky integrator without reset. `DSN` with its
    weights at zero.

    Args:
        channels: C.
        tau: steepness of the gate, > 0; it scales how fast the decay is learnt.
        initial_decay: as in `DSN`; a pair spreads the time constants over the channels.
        firing: `Binary` or `Integer` (the default, four levels).

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``; bias b ``[C]``.

    Raises:
        InputError: an argument is out of range, or the input has another number of channels.
    """

    def __init__(
        self,
        channels: int,
        *,
        tau: float = 0.25,
        initial_decay: float | Sequence[float] = 0.5,
        firing: Firing | None = None,
    ) -> None:
        super().__init__()
        _check_sizes("StaticDSN", tau, channels=channels)
        self.channels = channels
        self.tau = float(tau)
        self.firing = Integer() if firing is None else firing
        self.bias = no_weight_decay(nn.Parameter(initial_bias("StaticDSN", initial_decay, self.tau, channels)))

    def initial_state(self, x_t: Tensor) -> StaticDSNState:
        """At rest: zero membrane."""
        return StaticDSNState(at_rest(x_t))

    def forward(
        self, x: Tensor, state: StaticDSNState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, StaticDSNState]:
        """Run over all of time at once; see `Temporal.forward`."""
        check_channels(self, x, 2, self.channels)
        (membrane,) = self.unpack(state, StaticDSNState)
        decay, gain = _decay(self.bias.to(compute_dtype(x)), self.tau)
        spikes, membrane = ops.leaky_integration(
            zero_padding(x, lengths),
            decay,
            gain,
            firing=self.firing.spec,
            reset=ops.Reset.NONE,
            membrane=membrane,
            lengths=lengths,
        )
        return spikes, StaticDSNState(membrane)

    @torch.no_grad()
    def trace(self, x: Tensor, state: StaticDSNState | None = None) -> dict[str, Tensor]:
        """See `Neuron.trace`; with "decay"."""
        (membrane,) = self.unpack(state, StaticDSNState)
        x = in_compute_dtype(x)
        decay, gain = _decay(self.bias.to(x.dtype).view(-1, *[1] * (x.dim() - 3)), self.tau)
        states, _ = ops.linear_recurrence(decay, gain * x, membrane)
        return {"membrane": states, "decay": decay.expand_as(x)}

    def cost(self) -> Cost:
        """The leak and the input; the gain is a constant that the weights before it can hold."""
        return Cost(1, 1, state_bytes=4)

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"{self.channels}, tau={self.tau}, firing={self.firing}"


class _MixingDSN(Neuron):
    """All of a DSN whose gate mixes channels but that gate's weights: channels mix within a site, not between sites."""

    mixes_channels = True

    def __init__(
        self,
        channels: int,
        kernel_size: int,
        tau: float,
        initial_decay: float | Sequence[float],
        firing: Firing | None,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        _check_sizes(name, tau, channels=channels, kernel_size=kernel_size)
        self.channels = channels
        self.kernel_size = kernel_size
        self.tau = float(tau)
        self.firing = Integer() if firing is None else firing
        self.bias = no_weight_decay(nn.Parameter(initial_bias(name, initial_decay, self.tau, channels)))

    @abstractmethod
    def mix(self, inputs: Tensor) -> Tensor:
        """The gate but for its bias, ``[T, ..., C]`` for inputs ``[k - 1 + T, ..., C]``, channels last."""

    @property
    @abstractmethod
    def mixing_per_neuron(self) -> float:
        """Multiply-adds of the gate."""

    def initial_state(self, x_t: Tensor) -> DSNState:
        """At rest: zero membrane, no inputs seen."""
        return DSNState(at_rest(x_t), at_rest(x_t, self.kernel_size - 1))

    def forward(
        self, x: Tensor, state: DSNState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, DSNState]:
        """Run over all of time at once; see `Temporal.forward`."""
        states, _, before, window = self._charge(x, state, lengths)
        spikes = zero_padding(self.firing(states), lengths).to(x.dtype)
        return spikes, DSNState(at_last_valid(states, before, lengths), window)

    def _charge(
        self, x: Tensor, state: DSNState | None, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Membranes and decays ``[T, B, C, *]``, the membrane before them, and the window after them."""
        name = type(self).__name__
        check_channels(self, x, 2, self.channels)
        check_floating(name, "x", x)
        check_lengths(name, lengths, x.shape[0], x.shape[1], x)
        rest = self.initial_state(x.new_empty(x.shape[1:]))
        before, window = rest if state is None else self.unpack(state, DSNState)
        check_carried(name, "membrane", before, rest.membrane.shape, rest.membrane.dtype, x.device)
        check_carried(name, "window", window, rest.window.shape, rest.window.dtype, x.device)
        inputs = zero_padding(x, lengths).to(compute_dtype(x))
        seen = window.movedim(1, 0)
        with torch.autocast(x.device.type, enabled=False):  # a bfloat16 gate would lose a decay near 1
            gate = self.mix(torch.cat([seen, inputs]).movedim(2, -1)) + self.bias.to(inputs.dtype)
        decay, gain = _decay(gate.movedim(-1, 2), self.tau)
        states, _ = ops.linear_recurrence(decay, gain * inputs, before)
        return states, decay, before, ops.shift_window(seen, inputs, lengths).movedim(0, 1)

    @torch.no_grad()
    def trace(self, x: Tensor, state: DSNState | None = None) -> dict[str, Tensor]:
        """See `Neuron.trace`; with "decay"."""
        states, decay, _, _ = self._charge(x, state)
        return {"membrane": states, "decay": decay}

    def cost(self) -> Cost:
        """The gate's row of the mixing and its bias, its sigmoid to the power 1 / tau, then H = x + decay (H - x)."""
        mixing, (squarings, powers) = self.mixing_per_neuron, squarings_and_powers(self.tau)
        return Cost(mixing + 1 + squarings, mixing + 2, transcendentals=1 + powers, state_bytes=4 * self.kernel_size)


class DenseDSN(_MixingDSN):
    r"""A DSN whose gate is a matrix over the channels of one time step.

    .. math::
        a_t &= W x_t + b \\
        \alpha_t &= \sigma(a_t)^{1/\tau} \\
        H_t &= \alpha_t H_{t-1} + (1 - \alpha_t) x_t \\
        S_t &= \text{fire}(H_t)

    The row "fully connected" of the gate ablation of arXiv 2602.01133, which states no more of it than this name. Its matrix
    product rounds by the shape of a call (`Neuron.mixes_channels`). W starts uniform within +-1/sqrt(C), as in
    ``nn.Linear``.

    Args:
        channels: C.
        tau: steepness of the gate, > 0.
        initial_decay: the decay at zero input, as in `DSN`.
        firing: `Binary` or `Integer` (the default, four levels).

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``; W ``[C, C]``, b ``[C]``.

    Raises:
        InputError: an argument is out of range, or the input has another number of channels.
    """

    def __init__(
        self,
        channels: int,
        *,
        tau: float = 0.25,
        initial_decay: float | Sequence[float] = 0.5,
        firing: Firing | None = None,
    ) -> None:
        super().__init__(channels, 1, tau, initial_decay, firing)
        self.weight = _uniform(channels, channels, inputs=channels)

    def mix(self, inputs: Tensor) -> Tensor:
        """W x."""
        return F.linear(inputs, self.weight.to(inputs.dtype))

    @property
    def mixing_per_neuron(self) -> float:
        """A row of W."""
        return self.channels

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"{self.channels}, tau={self.tau}, firing={self.firing}"


class LowRankDSN(_MixingDSN):
    r"""A DSN whose gate is a matrix of low rank over the channels of one time step.

    .. math:: a_t = U V x_t + b

    and the rest as in `DenseDSN`. The row "low-rank" of the gate ablation of arXiv 2602.01133, which does not state the rank.
    V starts uniform within +-1/sqrt(C) and U within +-1/sqrt(rank). Its matrix product rounds by the shape of a call
    (`Neuron.mixes_channels`).

    Args:
        channels: C.
        rank: rows of V; cheaper than `DenseDSN` below C / 2.
        tau: steepness of the gate, > 0.
        initial_decay: the decay at zero input, as in `DSN`.
        firing: `Binary` or `Integer` (the default, four levels).

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``; U ``[C, rank]``, V ``[rank, C]``, b ``[C]``.

    Raises:
        InputError: an argument is out of range, or the input has another number of channels.
    """

    def __init__(
        self,
        channels: int,
        *,
        rank: int = 8,
        tau: float = 0.25,
        initial_decay: float | Sequence[float] = 0.5,
        firing: Firing | None = None,
    ) -> None:
        super().__init__(channels, 1, tau, initial_decay, firing)
        _check_sizes("LowRankDSN", tau, rank=rank)
        self.rank = rank
        self.up = _uniform(channels, rank, inputs=rank)
        self.down = _uniform(rank, channels, inputs=channels)

    def mix(self, inputs: Tensor) -> Tensor:
        """U V x."""
        return F.linear(F.linear(inputs, self.down.to(inputs.dtype)), self.up.to(inputs.dtype))

    @property
    def mixing_per_neuron(self) -> float:
        """A row of U, and a neuron's share of V x."""
        return 2 * self.rank

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"{self.channels}, rank={self.rank}, tau={self.tau}, firing={self.firing}"


class InterChannelDSN(_MixingDSN):
    r"""A DSN whose gate is a causal convolution in which every channel sees all channels.

    .. math:: a_t = b + \sum_{i=0}^{k-1} W_i \, x_{t-k+1+i}

    and the rest as in `DenseDSN`, which it is at k = 1. The row "inter-channel convolution" of the gate ablation of arXiv
    2602.01133. W starts uniform within +-1/sqrt(C k), as in ``nn.Conv1d``. Its matrix product rounds by the shape of a call
    (`Neuron.mixes_channels`).

    Args:
        channels: C.
        kernel_size: k, inputs that the gate sees.
        tau: steepness of the gate, > 0.
        initial_decay: the decay at zero input, as in `DSN`.
        firing: `Binary` or `Integer` (the default, four levels).

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``; W ``[k, C, C]`` (newest tap last), b ``[C]``.

    Raises:
        InputError: an argument is out of range, or the input has another number of channels.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 4,
        tau: float = 0.25,
        initial_decay: float | Sequence[float] = 0.5,
        firing: Firing | None = None,
    ) -> None:
        super().__init__(channels, kernel_size, tau, initial_decay, firing)
        self.weight = _uniform(kernel_size, channels, channels, inputs=kernel_size * channels)

    def mix(self, inputs: Tensor) -> Tensor:
        """The sum over taps, oldest first."""
        steps = len(inputs) - self.kernel_size + 1
        taps = self.weight.to(inputs.dtype).unbind(0)
        gate = F.linear(inputs[:steps], taps[0])
        for delay, tap in enumerate(taps[1:], start=1):
            gate = gate + F.linear(inputs[delay : delay + steps], tap)
        return gate

    @property
    def mixing_per_neuron(self) -> float:
        """A row of each tap."""
        return self.channels * self.kernel_size

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"{self.channels}, kernel_size={self.kernel_size}, tau={self.tau}, firing={self.firing}"


def _decay(gate: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    """sigmoid(gate)^(1/tau) and 1 minus it, each without cancellation."""
    log_decay = F.logsigmoid(gate) / tau
    return log_decay.exp(), -torch.expm1(log_decay)


def _uniform(*shape: int, inputs: int) -> nn.Parameter:
    """A weight within +-1/sqrt(inputs)."""
    bound = 1.0 / math.sqrt(inputs)
    return no_weight_decay(nn.Parameter(torch.empty(shape).uniform_(-bound, bound)))


def _check_sizes(owner: str, tau: float, **sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise InputError(f"{owner}: {name} is {size}, expected at least 1.")
    if not tau > 0:
        raise InputError(f"{owner}: tau is {tau}, expected a number above 0.")
