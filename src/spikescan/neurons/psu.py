"""Parallel spiking units, which estimate the reset (Li et al., IJCNN 2024, arXiv 2402.00449)."""

from abc import abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from spikescan import ops
from spikescan.errors import InputError
from spikescan.firing import Binary, Firing
from spikescan.neurons.base import Cost, Neuron, State, at_rest, check_carried, check_spikes, check_state
from spikescan.neurons.padding import at_last_valid, zero_padding
from spikescan.neurons.time_matrix import advance, check_end, check_past, leading, mix_onward
from spikescan.ops._checks import check_sequence, compute_dtype

__all__ = ["IPSU", "PSU", "RPSU", "IPSUState", "PSUState", "RPSUState"]


class _ParallelSpikingUnit(Neuron):
    """What the three units share: the leaky sums A1 and A2 of the soft reset LIF, as recurrences, and the firing."""

    def __init__(self, tau: float, firing: Firing | None) -> None:
        super().__init__()
        if not tau >= 1.0:
            raise InputError(f"{type(self).__name__}: tau is {tau}, expected at least 1 (steps).")
        self.tau = float(tau)
        self.firing = Binary() if firing is None else firing
        check_spikes(type(self).__name__, self.firing)

    @abstractmethod
    def charge(self, x: Tensor, state: Any, lengths: Tensor | None) -> tuple[Tensor, Any]:
        """The membranes H ``[T, B, C, *]`` and the next state, of x that has zeros for padding and the dtype of states."""

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """Run over all of time at once; see `Temporal.forward`."""
        check_sequence(type(self).__name__, x)
        membrane, state = self.charge(zero_padding(x, lengths).to(compute_dtype(x)), state, lengths)
        return zero_padding(self.firing(membrane), lengths).to(x.dtype), state

    @torch.no_grad()
    def trace(self, x: Tensor, state: State | None = None) -> dict[str, Tensor]:
        """See `Neuron.trace`."""
        return {"membrane": self.charge(x.to(compute_dtype(x)), state, None)[0]}

    def _leaky(self, drive: Tensor, before: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """The sums of lambda^(t - i) drive_i over i <= t, and the one after the last valid step."""
        sums, _ = ops.linear_recurrence(drive.new_full((), 1.0 - 1.0 / self.tau), drive, before)
        return sums, at_last_valid(sums, before, lengths)

    def _resets(self, spikes: Tensor, before: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """-A2 spikes, what resets have taken off the membrane at each step; and the leaky sum of spikes to carry on."""
        sums, last = self._leaky(spikes, before, lengths)
        one_spike = self.firing.spec.unit * (1.0 - 1.0 / self.tau)  # after it has leaked for one step
        return one_spike * torch.cat([before.unsqueeze(0), sums])[:-1], last


class PSUState(NamedTuple):
    """What a PSU carries, ``[B, C, *]`` each: the membrane without resets D, and the leaky sum of estimated spikes."""

    membrane: Tensor
    spikes: Tensor


class PSU(_ParallelSpikingUnit):
    r"""LIF with a soft reset whose spikes are estimated from the membrane without reset.

    .. math:: D = A_1 X, \quad H = D + A_2 \sigma(D), \quad S = \text{fire}(H)

    A1[t, i] = (1 / tau) lambda^(t - i) for i <= t and A2[t, i] = -theta lambda^(t - i) for i < t, with lambda = 1 - 1 / tau,
    theta the threshold (1 for integer spikes) and sigma the logistic function. With the spikes of `LIF` in place of
    sigma(D), H is the membrane of `LIF`; with those that D would fire, it is one Picard step towards it. Both products
    are leaky recurrences, so that a PSU takes any length and streams with two numbers a neuron.

    The authors' code leaves out how it scales A1; here it is that of `LIF`, with the same option. Their threshold is
    strict; a membrane at the threshold fires here.

    Args:
        tau: time constant in steps, >= 1.
        scale_input: divide the input by tau, as in `LIF`.
        firing: `Binary` or `Integer`.

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``.
    """

    def __init__(self, tau: float = 2.0, *, scale_input: bool = True, firing: Firing | None = None) -> None:
        super().__init__(tau, firing)
        self.scale_input = scale_input

    def initial_state(self, x_t: Tensor) -> PSUState:
        """At rest: zero membrane, no spikes."""
        return PSUState(at_rest(x_t), at_rest(x_t))

    def charge(self, x: Tensor, state: PSUState | None, lengths: Tensor | None) -> tuple[Tensor, PSUState]:
        """D and what the spikes it makes likely take off."""
        rest = self.initial_state(x.new_empty(x.shape[1:]))
        if state is not None:
            check_state("PSU", state, rest)
        membrane, spikes = rest if state is None else state
        free, membrane = self._leaky(x / self.tau if self.scale_input else x, membrane, lengths)
        resets, spikes = self._resets(ops.sigmoid(free), spikes, lengths)
        return free - resets, PSUState(membrane, spikes)

    def cost(self) -> Cost:
        """D, the sum of spikes and H are a multiplication and an addition each; a sigmoid."""
        return Cost(3, 3, transcendentals=1, state_bytes=8)

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"tau={self.tau}, scale_input={self.scale_input}, firing={self.firing}"


class _MatrixUnit(_ParallelSpikingUnit):
    """A unit with a learnt causal mixing of its inputs, tril(W) X + b."""

    length_bound = True

    def __init__(self, time_steps: int, tau: float, firing: Firing | None) -> None:
        super().__init__(tau, firing)
        if time_steps < 1:
            raise InputError(f"{type(self).__name__}: time_steps is {time_steps}, expected at least 1.")
        self.time_steps = time_steps
        self.weight = nn.Parameter(nn.init.kaiming_normal_(torch.empty(time_steps, time_steps), mode="fan_out"))
        self.bias = nn.Parameter(torch.zeros(time_steps))

    def _mix(self, x: Tensor, position: Tensor | None, window: Tensor | None, lengths: Tensor | None) -> Tensor:
        """tril(W) x + b, with the rows that belong to the steps of x."""
        name, T = f"{type(self).__name__}({self.time_steps})", x.shape[0]
        if position is None or window is None:
            check_end(name, self.time_steps, x, None, lengths)
            return ops.time_mixing(x, *leading(self.weight, self.bias, T), order=self.time_steps)
        check_past(name, x, position, window, self.time_steps)
        check_end(name, self.time_steps, x, position, lengths)
        return mix_onward(x, position, window, self.weight, self.bias)

    def _at_rest(self, x_t: Tensor) -> tuple[Tensor, Tensor]:
        """Position and window where nothing was seen."""
        position = torch.zeros(x_t.shape[0], dtype=torch.int64, device=x_t.device)
        return position, at_rest(x_t, self.time_steps - 1)

    def _cost_of_mixing(self) -> float:
        """Multiplications, and additions: row t has t + 1 entries, counted from 0."""
        return (self.time_steps + 1) / 2


class IPSUState(NamedTuple):
    """What an IPSU carries: steps seen ``[B]`` (int64), the inputs ``[B, T - 1, C, *]``, their leaky sum ``[B, C, *]``."""

    position: Tensor
    window: Tensor
    inputs: Tensor


class IPSU(_MatrixUnit):
    r"""`PSU` with learnt weights of the inputs, whose reset is estimated by the input itself.

    .. math:: H = \text{tril}(W) X + b + A_2 X, \quad S = \text{fire}(H)

    A2 as in `PSU`; W ``[T, T]`` and b ``[T]`` are shared by all channels and sites. It is causal and belongs to at most T time
    steps; streaming keeps all inputs. Initial values as in the authors' code: W normal with variance 2 / T, b = 0. The reset
    of X itself is how the formula reads; another published code (FPT's) takes that of its leaky sum.

    Args:
        time_steps: T, the most steps it can see.
        tau: time constant in steps, >= 1.
        firing: `Binary` or `Integer`.

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``.
    """

    def __init__(self, time_steps: int, tau: float = 2.0, *, firing: Firing | None = None) -> None:
        super().__init__(time_steps, tau, firing)

    def initial_state(self, x_t: Tensor) -> IPSUState:
        """At rest: nothing seen."""
        return IPSUState(*self._at_rest(x_t), at_rest(x_t))

    def charge(self, x: Tensor, state: IPSUState | None, lengths: Tensor | None) -> tuple[Tensor, IPSUState]:
        """The mixed inputs and what the inputs take off."""
        position, window, inputs = self.unpack(state, IPSUState)
        mixed = self._mix(x, position, window, lengths)
        if state is None:
            position, window, inputs = self.initial_state(x.new_empty(x.shape[1:]))
        check_carried("IPSU", "inputs", inputs, x.shape[1:], x.dtype, x.device)
        resets, inputs = self._resets(x, inputs, lengths)
        return mixed - resets, IPSUState(*advance(x, position, window, lengths), inputs)

    def cost(self) -> Cost:
        """A row of the matrix in the mean over T steps, the leaky sum, and H."""
        row = self._cost_of_mixing()
        return Cost(row + 2, row + 2, state_bytes=4 * self.time_steps)

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"{self.time_steps}, tau={self.tau}, firing={self.firing}"


class RPSUState(NamedTuple):
    """What an RPSU carries: steps seen ``[B]`` (int64), the inputs ``[B, T - 1, C, *]``, and as `PSUState`."""

    position: Tensor
    window: Tensor
    membrane: Tensor
    spikes: Tensor


class RPSU(_MatrixUnit):
    r"""`PSU` whose estimate of the spikes is learnt.

    .. math:: H = A_1 X + A_2 \sigma(\text{tril}(W) X + b), \quad S = \text{fire}(H)

    A1, A2 and sigma as in `PSU`; W ``[T, T]`` and b ``[T]`` as in `IPSU`, shared by all channels and sites. It is causal and
    belongs to at most T time steps; streaming keeps all inputs.

    Args:
        time_steps: T, the most steps it can see.
        tau: time constant in steps, >= 1.
        scale_input: divide the input in A1 X by tau, as in `LIF`.
        firing: `Binary` or `Integer`.

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``.
    """

    def __init__(
        self, time_steps: int, tau: float = 2.0, *, scale_input: bool = True, firing: Firing | None = None
    ) -> None:
        super().__init__(time_steps, tau, firing)
        self.scale_input = scale_input

    def initial_state(self, x_t: Tensor) -> RPSUState:
        """At rest: nothing seen, zero membrane, no spikes."""
        return RPSUState(*self._at_rest(x_t), at_rest(x_t), at_rest(x_t))

    def charge(self, x: Tensor, state: RPSUState | None, lengths: Tensor | None) -> tuple[Tensor, RPSUState]:
        """A1 x and what the spikes that the mixed inputs make likely take off."""
        position, window, membrane, spikes = self.unpack(state, RPSUState)
        mixed = self._mix(x, position, window, lengths)
        if state is None:
            position, window, membrane, spikes = self.initial_state(x.new_empty(x.shape[1:]))
        check_carried("RPSU", "membrane", membrane, x.shape[1:], x.dtype, x.device)
        check_carried("RPSU", "spikes", spikes, x.shape[1:], x.dtype, x.device)
        free, membrane = self._leaky(x / self.tau if self.scale_input else x, membrane, lengths)
        resets, spikes = self._resets(ops.sigmoid(mixed), spikes, lengths)
        return free - resets, RPSUState(*advance(x, position, window, lengths), membrane, spikes)

    def cost(self) -> Cost:
        """A row of the matrix in the mean over T steps, a sigmoid, and as `PSU`."""
        row = self._cost_of_mixing()
        return Cost(row + 3, row + 3, transcendentals=1, state_bytes=4 * (self.time_steps - 1) + 8)

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"{self.time_steps}, tau={self.tau}, scale_input={self.scale_input}, firing={self.firing}"
