"""The Parallel Spiking Neuron and its causal relatives (Fang et al., NeurIPS 2023, arXiv 2304.12760)."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from spikescan import ops
from spikescan.errors import InputError
from spikescan.firing import Binary, Firing
from spikescan.neurons.base import Cost, Neuron, at_rest, no_weight_decay
from spikescan.neurons.padding import zero_padding
from spikescan.neurons.time_matrix import advance, check_end, check_past, leading, mix_onward
from spikescan.ops import IDENTITY, FiringSpec
from spikescan.ops._checks import check_sequence, in_compute_dtype

__all__ = ["PSN", "MaskedPSN", "MaskedPSNState", "PSNState", "SlidingPSN", "SlidingPSNState"]


def fire_at_zero(firing: Firing) -> FiringSpec:
    """The threshold is learnt: it is the negative of the bias, and the kernel compares with 0."""
    return firing.surrogate.spec(0.0) if isinstance(firing, Binary) else firing.spec


def _initial_bias(firing: Firing) -> float:
    return -firing.threshold if isinstance(firing, Binary) else 0.0


class PSNState(NamedTuple):
    """PSN sees all of time at once and carries nothing."""


class PSN(Neuron):
    r"""A learnt matrix over time instead of a recurrence.

    .. math:: H = W X, \quad S = \Theta(H + b)

    W ``[T, T]`` is shared by all channels and sites, b ``[T]`` is the negative of the threshold. It is not causal and belongs
    to one number of time steps; `MaskedPSN` and `SlidingPSN` are its causal relatives. Initial values as in the
    paper's code: W uniform within +-1/sqrt(T), b = -1, surrogate `ATan(2)`.

    Args:
        time_steps: T.
        firing: `Binary` (its threshold is where the learnt one starts) or `Integer`.

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``.
    """

    causal = False
    streamable = False
    length_bound = True

    def __init__(self, time_steps: int, *, firing: Firing | None = None) -> None:
        super().__init__()
        if time_steps < 1:
            raise InputError(f"PSN: time_steps is {time_steps}, expected at least 1.")
        self.time_steps = time_steps
        self.firing = Binary() if firing is None else firing
        bound = 1.0 / math.sqrt(time_steps)
        self.weight = nn.Parameter(torch.empty(time_steps, time_steps).uniform_(-bound, bound))
        self.bias = no_weight_decay(nn.Parameter(torch.full((time_steps,), _initial_bias(self.firing))))

    def initial_state(self, x_t: Tensor) -> PSNState:
        """Nothing."""
        return PSNState()

    def forward(
        self, x: Tensor, state: PSNState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, PSNState]:
        """Run over all of time at once; see `Temporal.forward`."""
        check_sequence("PSN", x)
        self.unpack(state, PSNState)
        T = x.shape[0]
        if T not in (0, self.time_steps):
            raise InputError(
                f"PSN({self.time_steps}) was given {T} time steps. Its matrix belongs to T = {self.time_steps}; "
                f"SlidingPSN(order) and DSN(channels) take any length."
            )
        spec = fire_at_zero(self.firing)
        spikes = ops.time_mixing(zero_padding(x, lengths), *leading(self.weight, self.bias, T), firing=spec)
        return zero_padding(spikes, lengths), PSNState()

    def step(self, x_t: Tensor, state: PSNState | None = None) -> tuple[Tensor, PSNState]:
        """Refused: the first output needs the last input."""
        raise InputError(
            "PSN is not causal and cannot run step by step. "
            "Train MaskedPSN(time_steps, order), SlidingPSN(order) or DSN(channels) to stream."
        )

    @torch.no_grad()
    def trace(self, x: Tensor, state: PSNState | None = None) -> dict[str, Tensor]:
        """See `Neuron.trace`."""
        parameters = leading(self.weight, torch.zeros_like(self.bias), x.shape[0])
        return {"membrane": ops.time_mixing(in_compute_dtype(x), *parameters)}

    def cost(self) -> Cost:
        """A row of the matrix; serially, all T inputs would have to be kept."""
        return Cost(self.time_steps, self.time_steps, state_bytes=4 * self.time_steps)

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"{self.time_steps}, firing={self.firing}"


class MaskedPSNState(NamedTuple):
    """What a masked PSN carries: steps seen ``[B]`` (int64) and the last order - 1 inputs ``[B, order - 1, C, *]``."""

    position: Tensor
    window: Tensor


class MaskedPSN(Neuron):
    r"""PSN whose matrix is masked to the last `order` inputs, so that it is causal.

    .. math:: H = \big(\lambda M_k + (1 - \lambda) J\big) \circ W \; X, \quad S = \Theta(H + b)

    M_k is 1 where j <= i <= j + k - 1, J all ones. Lambda is 1, unless `anneal` has the mask come gradually: in training it
    then rises from 0, in evaluation it is 1. Initial values as `PSN`.

    Args:
        time_steps: T, the most steps it can see.
        order: k, inputs that one step sees.
        mask_weight: lambda, an attribute that code of your own may set. Below 1 the neuron is not causal and takes no state.
        anneal: the fraction of training in which lambda rises from 0 to 1: lambda = min(1, p / anneal) after the fraction p of
            the updates. The paper's runs take 1/8 (lambda = min(1, 8 e / (E - 1)) at epoch e of E). The training loops tell it
            p; code of your own calls `follow_training(model, p)` before each update. Until then, and in evaluation, lambda
            is 1: what is validated, saved and streamed is the causal neuron.
        firing: `Binary` (its threshold is where the learnt one starts) or `Integer`.

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``.
    """

    length_bound = True

    def __init__(
        self,
        time_steps: int,
        order: int,
        *,
        mask_weight: float = 1.0,
        anneal: float | None = None,
        firing: Firing | None = None,
    ) -> None:
        super().__init__()
        if time_steps < 1 or not 1 <= order <= time_steps:
            raise InputError(f"MaskedPSN: order is {order}, expected 1 to time_steps = {time_steps}.")
        if not 0.0 <= mask_weight <= 1.0:
            raise InputError(f"MaskedPSN: mask_weight is {mask_weight}, expected 0 to 1.")
        if anneal is not None and not 0.0 < anneal <= 1.0:
            raise InputError(
                f"MaskedPSN: anneal is {anneal}, expected a fraction of training above 0, or None for none."
            )
        if anneal is not None and mask_weight != 1.0:
            raise InputError(
                f"MaskedPSN: mask_weight is {mask_weight}, but anneal={anneal} sets it from 0 to 1; pass one of them."
            )
        self.time_steps = time_steps
        self.order = order
        self.mask_weight = float(mask_weight)
        self.anneal = None if anneal is None else float(anneal)
        self.firing = Binary() if firing is None else firing
        bound = 1.0 / math.sqrt(time_steps)
        self.weight = nn.Parameter(torch.empty(time_steps, time_steps).uniform_(-bound, bound))
        self.bias = no_weight_decay(nn.Parameter(torch.full((time_steps,), _initial_bias(self.firing))))

    def initial_state(self, x_t: Tensor) -> MaskedPSNState:
        """At rest: nothing seen."""
        position = torch.zeros(x_t.shape[0], dtype=torch.int64, device=x_t.device)
        return MaskedPSNState(position, at_rest(x_t, self.order - 1))

    def follow_training(self, passed: float) -> None:
        """See `FollowsTraining`."""
        if self.anneal is not None:
            self.mask_weight = min(1.0, passed / self.anneal)

    def _mask_weight(self) -> float:
        """Lambda as it acts: annealing is for training alone."""
        return self.mask_weight if self.training or self.anneal is None else 1.0

    def masked_weight(self) -> Tensor:
        """The matrix in use, ``[T, T]``."""
        mask_weight = self._mask_weight()
        if mask_weight == 1.0:  # as below, with fewer matrices of that size
            return self.weight.tril().triu(1 - self.order)
        ones = torch.ones_like(self.weight)
        band = ones.tril() - ones.tril(-self.order)
        return (mask_weight * band + (1.0 - mask_weight)) * self.weight

    def forward(
        self, x: Tensor, state: MaskedPSNState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, MaskedPSNState]:
        """Run over all of time at once; see `Temporal.forward`."""
        check_sequence("MaskedPSN", x)
        x = zero_padding(x, lengths)
        spikes = self._mix(x, state, lengths, self.bias, fire_at_zero(self.firing))
        position, window = self.initial_state(x.new_empty(x.shape[1:])) if state is None else state
        return zero_padding(spikes, lengths), MaskedPSNState(*advance(x, position, window, lengths))

    def step(self, x_t: Tensor, state: MaskedPSNState | None = None) -> tuple[Tensor, MaskedPSNState]:
        """Run one time step; see `Temporal.step`."""
        y, state = self.forward(x_t.unsqueeze(0), self.initial_state(x_t) if state is None else state)
        return y.squeeze(0), state

    @torch.no_grad()
    def trace(self, x: Tensor, state: MaskedPSNState | None = None) -> dict[str, Tensor]:
        """See `Neuron.trace`."""
        return {"membrane": self._mix(in_compute_dtype(x), state, None, torch.zeros_like(self.bias), IDENTITY)}

    def _mix(
        self, x: Tensor, state: MaskedPSNState | None, lengths: Tensor | None, bias: Tensor, firing: FiringSpec
    ) -> Tensor:
        """``fire(W x + bias)``, with the rows of W and bias that belong to the steps of x."""
        name = f"MaskedPSN({self.time_steps}, {self.order})"
        T = x.shape[0]
        position, window = self.unpack(state, MaskedPSNState)
        if state is None:
            check_end(name, self.time_steps, x, None, lengths)
            masked = self._mask_weight() == 1.0
            weight = self.weight if masked else self.masked_weight()
            order = self.order if masked else None
            return ops.time_mixing(x, *leading(weight, bias, T), firing=firing, order=order)
        check_past(name, x, position, window, self.order)
        if self._mask_weight() < 1.0:
            way = "Set mask_weight = 1.0 once training has annealed it" if self.anneal is None else "Call eval() first"
            raise InputError(
                f"{name} has mask_weight {self.mask_weight}, so it is not causal yet and takes no state. {way}, "
                f"or give it whole sequences."
            )
        check_end(name, self.time_steps, x, position, lengths)
        return mix_onward(x, position, window, self.weight, bias, firing=firing)

    def cost(self) -> Cost:
        """A row of the band; the first order - 1 steps of a sequence have shorter ones."""
        return Cost(self.order, self.order, state_bytes=4 * (self.order - 1))

    def extra_repr(self) -> str:
        """Shown by `print`."""
        mask = f"mask_weight={self.mask_weight}" if self.anneal is None else f"anneal={self.anneal}"
        return f"{self.time_steps}, order={self.order}, {mask}, firing={self.firing}"


class SlidingPSNState(NamedTuple):
    """What a sliding PSN carries: the last order - 1 inputs ``[B, order - 1, C, *]``, newest last."""

    window: Tensor


class SlidingPSN(Neuron):
    r"""PSN with one filter over the last `order` inputs, the same at every time step.

    .. math:: H_t = \sum_{i=0}^{k-1} w_i \, x_{t-k+1+i}, \quad S_t = \Theta(H_t + b)

    w ``[k]`` (newest tap last) and b are shared by the whole layer; b is the negative of the threshold. Initial values as in
    the paper's code: w = (..., 1/4, 1/2, 1), or uniform within +-1/sqrt(k); b = -1, surrogate `ATan(2)`.

    Args:
        order: k, inputs that one step sees.
        exponential: whether w starts as (..., 1/4, 1/2, 1).
        firing: `Binary` (its threshold is where the learnt one starts) or `Integer`.

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``.
    """

    def __init__(self, order: int, *, exponential: bool = True, firing: Firing | None = None) -> None:
        super().__init__()
        if order < 1:
            raise InputError(f"SlidingPSN: order is {order}, expected at least 1.")
        self.order = order
        self.firing = Binary() if firing is None else firing
        bound = 1.0 / math.sqrt(order)
        taps = 2.0 ** torch.arange(1.0 - order, 1.0) if exponential else torch.empty(order).uniform_(-bound, bound)
        self.weight = nn.Parameter(taps)
        self.bias = no_weight_decay(nn.Parameter(torch.tensor(_initial_bias(self.firing))))

    def initial_state(self, x_t: Tensor) -> SlidingPSNState:
        """At rest: no inputs seen."""
        return SlidingPSNState(at_rest(x_t, self.order - 1))

    def forward(
        self, x: Tensor, state: SlidingPSNState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, SlidingPSNState]:
        """Run over all of time at once; see `Temporal.forward`."""
        check_sequence("SlidingPSN", x)
        (window,) = self.unpack(state, SlidingPSNState)
        spec = fire_at_zero(self.firing)
        x = zero_padding(x, lengths)
        spikes, window = ops.causal_conv(x, self.weight, self.bias, firing=spec, window=window, lengths=lengths)
        return spikes, SlidingPSNState(window)

    def step(self, x_t: Tensor, state: SlidingPSNState | None = None) -> tuple[Tensor, SlidingPSNState]:
        """Run one time step; see `Temporal.step`."""
        (window,) = self.unpack(self.initial_state(x_t) if state is None else state, SlidingPSNState)
        spec = fire_at_zero(self.firing)
        spikes, window = ops.causal_conv_step(x_t, self.weight, self.bias, firing=spec, window=window)
        return spikes, SlidingPSNState(window)

    @torch.no_grad()
    def trace(self, x: Tensor, state: SlidingPSNState | None = None) -> dict[str, Tensor]:
        """See `Neuron.trace`."""
        (window,) = self.unpack(state, SlidingPSNState)
        return {"membrane": ops.causal_conv(in_compute_dtype(x), self.weight, window=window)[0]}

    def cost(self) -> Cost:
        """The filter and the bias; the first order - 1 steps of a sequence have shorter ones."""
        return Cost(self.order, self.order, state_bytes=4 * (self.order - 1))

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"{self.order}, firing={self.firing}"
