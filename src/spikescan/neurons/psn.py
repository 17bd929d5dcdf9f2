"""The Parallel Spiking Neuron and its causal relatives (Fang et al., NeurIPS 2023, arXiv 2304.12760)."""

import math
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from spikescan import ops
from spikescan.errors import InputError
from spikescan.firing import Binary, Firing
from spikescan.neurons.base import Temporal, at_rest, no_weight_decay
from spikescan.ops import FiringSpec

__all__ = ["PSN", "MaskedPSN", "MaskedPSNState", "PSNState", "SlidingPSN", "SlidingPSNState"]


def _fire_at_zero(firing: Firing) -> FiringSpec:
    """The threshold is learnt: it is the negative of the bias, and the kernel compares with 0."""
    return firing.surrogate.spec(0.0) if isinstance(firing, Binary) else firing.spec


def _initial_bias(firing: Firing) -> float:
    return -firing.threshold if isinstance(firing, Binary) else 0.0


def _check_sequence(module: nn.Module, x: Tensor) -> None:
    if x.ndim < 3:
        raise InputError(
            f"{type(module).__name__} was given {list(x.shape)}, expected [T, B, C, *]; see x.unsqueeze(1)."
        )


def _zero_padding(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Zero beyond each sample's length: what is mixed over all of time must not see the padding."""
    if lengths is None:
        return x
    steps = torch.arange(x.shape[0], device=x.device).unsqueeze(1)
    valid = (steps < lengths).view(x.shape[0], x.shape[1], *[1] * (x.ndim - 2))
    return torch.where(valid, x, torch.zeros_like(x))


class PSNState(NamedTuple):
    """PSN sees all of time at once and carries nothing."""


class PSN(Temporal):
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

    causal: ClassVar[bool] = False
    streamable: ClassVar[bool] = False
    length_bound: ClassVar[bool] = True

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
        _check_sequence(self, x)
        self.unpack(state, PSNState)
        if x.shape[0] != self.time_steps:
            raise InputError(
                f"PSN({self.time_steps}) was given {x.shape[0]} time steps. Its matrix belongs to T = {self.time_steps}; "
                f"SlidingPSN(order) and DSN(channels) take any length."
            )
        spikes = ops.time_mixing(_zero_padding(x, lengths), self.weight, self.bias, firing=_fire_at_zero(self.firing))
        return _zero_padding(spikes, lengths), PSNState()

    def step(self, x_t: Tensor, state: PSNState | None = None) -> tuple[Tensor, PSNState]:
        """Refused: the first output needs the last input."""
        raise InputError(
            "PSN is not causal and cannot run step by step. "
            "Train MaskedPSN(time_steps, order), SlidingPSN(order) or DSN(channels) to stream."
        )

    @torch.no_grad()
    def trace(self, x: Tensor, state: PSNState | None = None) -> dict[str, Tensor]:
        """What happens inside, for pictures and tests: the membrane ``[T, B, C, *]``."""
        return {"membrane": ops.time_mixing(x, self.weight, torch.zeros_like(self.bias))}

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"{self.time_steps}, firing={self.firing}"


class MaskedPSNState(NamedTuple):
    """What a masked PSN carries: steps seen ``[B]`` (int64) and the last order - 1 inputs ``[B, order - 1, C, *]``."""

    position: Tensor
    window: Tensor


class MaskedPSN(Temporal):
    r"""PSN whose matrix is masked to the last `order` inputs, so that it is causal.

    .. math:: H = \big(\lambda M_k + (1 - \lambda) J\big) \circ W \; X, \quad S = \Theta(H + b)

    M_k is 1 where j <= i <= j + k - 1, J all ones. The attribute `mask_weight` is lambda: a training schedule raises it from 0
    to 1 (the paper: lambda = min(1, 8 e / (E - 1)) at epoch e of E); below 1 the neuron is not causal and does not
    stream. Initial values as `PSN`.

    Args:
        time_steps: T, the most steps it can see.
        order: k, inputs that one step sees.
        mask_weight: lambda at the start; 1 is fully masked.
        firing: `Binary` (its threshold is where the learnt one starts) or `Integer`.

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``.
    """

    length_bound: ClassVar[bool] = True

    def __init__(self, time_steps: int, order: int, *, mask_weight: float = 1.0, firing: Firing | None = None) -> None:
        super().__init__()
        if time_steps < 1 or not 1 <= order <= time_steps:
            raise InputError(f"MaskedPSN: order is {order}, expected 1 to time_steps = {time_steps}.")
        if not 0.0 <= mask_weight <= 1.0:
            raise InputError(f"MaskedPSN: mask_weight is {mask_weight}, expected 0 to 1.")
        self.time_steps = time_steps
        self.order = order
        self.mask_weight = float(mask_weight)
        self.firing = Binary() if firing is None else firing
        bound = 1.0 / math.sqrt(time_steps)
        self.weight = nn.Parameter(torch.empty(time_steps, time_steps).uniform_(-bound, bound))
        self.bias = no_weight_decay(nn.Parameter(torch.full((time_steps,), _initial_bias(self.firing))))

    def initial_state(self, x_t: Tensor) -> MaskedPSNState:
        """At rest: nothing seen."""
        position = torch.zeros(x_t.shape[0], dtype=torch.int64, device=x_t.device)
        return MaskedPSNState(position, at_rest(x_t, self.order - 1))

    def masked_weight(self) -> Tensor:
        """The matrix in use, ``[T, T]``."""
        ones = torch.ones_like(self.weight)
        band = ones.tril() - ones.tril(-self.order)
        return (self.mask_weight * band + (1.0 - self.mask_weight)) * self.weight

    def forward(
        self, x: Tensor, state: MaskedPSNState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, MaskedPSNState]:
        """Run over all of time at once; see `Temporal.forward`."""
        _check_sequence(self, x)
        self._check(x, state)
        spec, weight = _fire_at_zero(self.firing), self.masked_weight()
        seen = _zero_padding(x, lengths)
        start = self.initial_state(x[0]) if x.shape[0] and state is None else state
        if start is None:
            start = self.initial_state(x.new_zeros(x.shape[1:]))
        if state is None:
            T = x.shape[0]
            spikes = ops.time_mixing(seen, weight[:T, :T], self.bias[:T], firing=spec)
        else:
            spikes = self._continue(seen, state, weight, spec)
        window = ops.shift_window(start.window.movedim(1, 0), x, lengths).movedim(0, 1)
        passed = torch.full_like(start.position, x.shape[0]) if lengths is None else lengths
        return _zero_padding(spikes, lengths), MaskedPSNState(start.position + passed, window)

    def _continue(self, x: Tensor, state: MaskedPSNState, weight: Tensor, spec: FiringSpec) -> Tensor:
        """Rows of the matrix from each sample's position on, over its window and the new inputs."""
        T, past = x.shape[0], self.order - 1
        inputs = torch.cat([state.window.movedim(1, 0).to(x.dtype), x])
        padded = nn.functional.pad(weight, (past, 0))  # column past + j is input j; before the first there is nothing
        spikes = torch.zeros_like(x)
        for position in state.position.unique().tolist():
            at = state.position == position
            rows = padded[position : position + T, position : position + T + past]
            spikes[:, at] = ops.time_mixing(inputs[:, at], rows, self.bias[position : position + T], firing=spec)
        return spikes

    def _check(self, x: Tensor, state: MaskedPSNState | None) -> None:
        name = f"MaskedPSN({self.time_steps}, {self.order})"
        if state is None:
            if x.shape[0] > self.time_steps:
                raise InputError(
                    f"{name} was given {x.shape[0]} time steps, expected at most {self.time_steps}: its matrix ends there. "
                    f"SlidingPSN(order) and DSN(channels) take any length."
                )
            return
        if self.mask_weight < 1.0:
            raise InputError(
                f"{name} has mask_weight {self.mask_weight}, so it is not causal yet and takes no state. "
                f"Set mask_weight = 1.0 once training has annealed it."
            )
        position, window = self.unpack(state, MaskedPSNState)
        expected = (x.shape[1], self.order - 1, *x.shape[2:])
        if tuple(window.shape) != expected or tuple(position.shape) != (x.shape[1],):
            raise InputError(
                f"{name}: the state is for {list(window.shape)} inputs, but this input needs {list(expected)}. "
                f"A state belongs to one batch size; None starts at rest."
            )
        if position.numel() and int(position.max()) + x.shape[0] > self.time_steps:
            raise InputError(
                f"{name} has seen {int(position.max())} steps and was given {x.shape[0]} more: its matrix ends at "
                f"{self.time_steps}. Start again with state=None, or use SlidingPSN(order), which never ends."
            )

    def step(self, x_t: Tensor, state: MaskedPSNState | None = None) -> tuple[Tensor, MaskedPSNState]:
        """Run one time step; see `Temporal.step`."""
        if state is None:
            state = self.initial_state(x_t)
        return super().step(x_t, state)  # type: ignore[return-value]

    @torch.no_grad()
    def trace(self, x: Tensor, state: MaskedPSNState | None = None) -> dict[str, Tensor]:
        """What happens inside, for pictures and tests: the membrane ``[T, B, C, *]``, from rest."""
        T = x.shape[0]
        return {"membrane": ops.time_mixing(x, self.masked_weight()[:T, :T], torch.zeros_like(self.bias[:T]))}

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"{self.time_steps}, order={self.order}, mask_weight={self.mask_weight}, firing={self.firing}"


class SlidingPSNState(NamedTuple):
    """What a sliding PSN carries: the last order - 1 inputs ``[B, order - 1, C, *]``, newest last."""

    window: Tensor


class SlidingPSN(Temporal):
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
        (window,) = self.unpack(state, SlidingPSNState)
        spec = _fire_at_zero(self.firing)
        spikes, window = ops.causal_conv(x, self.weight, self.bias, firing=spec, window=window, lengths=lengths)
        return spikes, SlidingPSNState(window)

    @torch.no_grad()
    def trace(self, x: Tensor, state: SlidingPSNState | None = None) -> dict[str, Tensor]:
        """What happens inside, for pictures and tests: the membrane ``[T, B, C, *]``."""
        (window,) = self.unpack(state, SlidingPSNState)
        return {"membrane": ops.causal_conv(x, self.weight, window=window)[0]}

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"{self.order}, firing={self.firing}"
