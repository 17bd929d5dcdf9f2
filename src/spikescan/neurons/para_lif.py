"""Current-based integrate-and-fire without reset: ParaLIF and SPSN (Yarga & Wood, 2023 and 2024)."""

import itertools
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from spikescan import ops
from spikescan.errors import InputError
from spikescan.firing import Binary, FastSigmoid, Firing
from spikescan.neurons.base import Cost, Temporal, no_weight_decay
from spikescan.neurons.padding import zero_padding
from spikescan.neurons.swept import SweptNeuron
from spikescan.ops._checks import compute_dtype, in_compute_dtype
from spikescan.ops._firing import IDENTITY
from spikescan.ops.sweep import Cell, relu, sigmoid

__all__ = ["SPSN", "ParaLIF", "ParaLIFState"]

ModeName = Literal["delta", "threshold"]
NormalisationName = Literal["sigmoid", "tanh", "tanh_relu"]
SamplingName = Literal["sigmoid_bernoulli", "tanh_relu_bernoulli", "gumbel_softmax"]


class ParaLIFState(NamedTuple):
    """What a ParaLIF carries: the synaptic current and the membrane, each ``[B, C, *]``."""

    current: Tensor
    membrane: Tensor


def _tanh(a: Any) -> Any:
    """The hyperbolic tangent, by the sigmoid."""
    return 2.0 * sigmoid(2.0 * a) - 1.0


_NORMALISED: dict[str | None, Callable[[Any], Any]] = {
    None: lambda a: a,
    "sigmoid": sigmoid,
    "tanh": _tanh,
    "tanh_relu": lambda a: relu(_tanh(a)),
}


def _current_based(mode: str, normalisation: str | None) -> Cell:
    """The current leaks into the membrane; what fires is the membrane or its change."""
    normalised = _NORMALISED[normalisation]

    def step(x: Any, state: Any, parameters: Any, fire: Any) -> Any:
        (i, before), (synaptic_decay, membrane_decay, gain) = state, parameters
        i = synaptic_decay * i + x
        v = membrane_decay * before + gain * i
        firing = normalised(v) - normalised(before) if mode == "delta" else normalised(v)
        return fire(firing), (i, v)

    return Cell(step, states=ParaLIFState._fields, parameters=("synaptic_decay", "membrane_decay", "gain"))


_CELLS = {
    (mode, normalisation): _current_based(mode, normalisation)
    for mode, normalisation in itertools.product(("delta", "threshold"), _NORMALISED)
}


class _CurrentBased(SweptNeuron):
    """The time constants of the neurons of this file."""

    state_type = ParaLIFState
    synaptic_logit: Tensor
    membrane_logit: Tensor

    def __init__(self, tau_syn: float, tau_mem: float, learn_tau: bool) -> None:
        super().__init__()
        self.learn_tau = learn_tau
        for name, tau in (("synaptic", tau_syn), ("membrane", tau_mem)):
            if not 0.0 < tau < math.inf:
                raise InputError(f"{type(self).__name__}: a time constant is {tau}, expected a number above 0 (steps).")
            # sigmoid(w) = exp(-1 / tau), so w = -log(exp(1 / tau) - 1), which here cannot overflow.
            logit = torch.tensor(-1.0 / tau - math.log(-math.expm1(-1.0 / tau)))
            if learn_tau:
                self.register_parameter(f"{name}_logit", no_weight_decay(nn.Parameter(logit)))
            else:
                self.register_buffer(f"{name}_logit", logit)

    def coefficients(self, device: torch.device) -> tuple[Tensor, ...]:
        """The decays of current and membrane, and 1 less the second, without cancellation."""
        a, b = in_compute_dtype(self.synaptic_logit), in_compute_dtype(self.membrane_logit)
        return torch.sigmoid(a), torch.sigmoid(b), torch.sigmoid(-b)


class ParaLIF(_CurrentBased):
    r"""A leaky integrator of a leaky synaptic current that fires on its membrane or on its change; no reset.

    .. math::
        I_t &= a I_{t-1} + x_t, \quad V_t = b V_{t-1} + (1 - b) I_t, \quad
        a = e^{-1/\tau_{syn}}, \; b = e^{-1/\tau_{mem}} \\
        S_t &= \text{fire}(f(V_t) - f(V_{t-1})) \;\text{("delta")}, \quad S_t = \text{fire}(f(V_t)) \;\text{("threshold")}

    f is the normalisation: the membrane itself, a sigmoid, tanh or relu(tanh). The modes of the paper (Yarga & Wood, 2024):

    ========= ==== ========= ====== ===========
    f         none "sigmoid" "tanh" "tanh_relu"
    ========= ==== ========= ====== ===========
    delta     D    SD        TD     TRD
    threshold T    ST        TT     TRT
    ========= ==== ========= ====== ===========

    Its random modes SB, TRB and GS are those of `SPSN`. Time constants that are learnt start where they are said to (decay =
    sigmoid(w), w = logit(exp(-1 / tau))); in the authors' code they start at sigmoid(exp(-1 / tau)). Before the first step the
    membrane is 0 here, and f(V) is 0 there, which only "sigmoid" with "delta" tells apart. There a membrane at the threshold
    does not fire.

    Args:
        tau_syn: time constant of the current in steps, > 0.
        tau_mem: time constant of the membrane in steps, > 0.
        mode: "delta" or "threshold".
        normalisation: None, "sigmoid", "tanh" or "tanh_relu".
        learn_tau: whether the layer learns its two time constants.
        firing: `Binary` or `Integer`. The default is `Binary` with `FastSigmoid(100)` and threshold 1, or 0.5 with a
            normalisation, whose values stay below 1.

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``.
    """

    def __init__(
        self,
        tau_syn: float = 1.0,
        tau_mem: float = 1.0,
        *,
        mode: ModeName = "delta",
        normalisation: NormalisationName | None = None,
        learn_tau: bool = False,
        firing: Firing | None = None,
    ) -> None:
        super().__init__(tau_syn, tau_mem, learn_tau)
        if mode not in ("delta", "threshold"):
            raise InputError(f"ParaLIF: mode is {mode!r}, expected 'delta' or 'threshold'; SPSN fires at random.")
        if normalisation not in _NORMALISED:
            raise InputError(
                f"ParaLIF: normalisation is {normalisation!r}, expected None, 'sigmoid', 'tanh' or 'tanh_relu'."
            )
        self.mode: ModeName = mode
        self.normalisation: NormalisationName | None = normalisation
        threshold = 1.0 if normalisation is None else 0.5
        self.firing = Binary(threshold, FastSigmoid(100.0)) if firing is None else firing

    def cell(self) -> Cell:
        """The step that fires in this mode."""
        return _CELLS[self.mode, self.normalisation]

    def cost(self) -> Cost:
        """Two leaks and their inputs; 1 - b is a constant that the weights before it can hold."""
        values = 2 if self.mode == "delta" else 1
        return Cost(2, 1 + values, transcendentals=values * (self.normalisation is not None), state_bytes=8)

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"mode={self.mode!r}, normalisation={self.normalisation!r}, firing={self.firing}"


class SPSN(_CurrentBased):
    r"""The Stochastic Parallelizable Spiking Neuron: the membrane of `ParaLIF`, firing at random in training.

    ====================== ==== ============================== ==================================
    sampling               mode probability of a spike         gradient
    ====================== ==== ============================== ==================================
    "sigmoid_bernoulli"    SB   p = sigmoid(V)                 dS = p dp
    "tanh_relu_bernoulli"  TRB  p = relu(tanh(V))              dS = p dp
    "gumbel_softmax"       GS   sigmoid(2 V)                   that of y = sigmoid(2 V + L)
    ====================== ==== ============================== ==================================

    Gumbel-softmax is that of the logits (V, -V) at temperature 1: the difference L of its two noises is logistic, and a spike
    is y > 1/2. Source: Yarga & Wood, 2023, and the authors' code.

    In training each neuron and step draws one number. In evaluation nothing is drawn: a neuron fires where its probability
    is at least 1/2, that is on its membrane, and `firing` says at which; gradients there are those of `firing`.

    Args:
        tau_syn: time constant of the current in steps, > 0.
        tau_mem: time constant of the membrane in steps, > 0.
        sampling: "sigmoid_bernoulli", "tanh_relu_bernoulli" or "gumbel_softmax".
        learn_tau: whether the layer learns its two time constants, as in `ParaLIF`.
        generator: what draws the numbers, on the device of the input; None is torch's own.

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``.
    """

    stochastic = True

    def __init__(
        self,
        tau_syn: float = 1.0,
        tau_mem: float = 1.0,
        *,
        sampling: SamplingName = "sigmoid_bernoulli",
        learn_tau: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(tau_syn, tau_mem, learn_tau)
        if sampling not in ("sigmoid_bernoulli", "tanh_relu_bernoulli", "gumbel_softmax"):
            raise InputError(
                f"SPSN: sampling is {sampling!r}, expected 'sigmoid_bernoulli', 'tanh_relu_bernoulli' or "
                f"'gumbel_softmax'."
            )
        self.sampling: SamplingName = sampling
        self.generator = generator
        self.firing = Binary(math.atanh(0.5) if sampling == "tanh_relu_bernoulli" else 0.0)

    def cell(self) -> Cell:
        """The step that fires on the membrane."""
        return _CELLS["threshold", None]

    def forward(
        self, x: Tensor, state: ParaLIFState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, ParaLIFState]:
        """Run over all of time at once; see `Temporal.forward`."""
        if not self.training:
            return super().forward(x, state, lengths)
        given = self._given(x, state)
        inputs = zero_padding(x, lengths).to(compute_dtype(x))
        membrane, carried = ops.sweep(self.cell(), inputs, firing=IDENTITY, lengths=lengths, **given)
        return zero_padding(self._sample(membrane).to(x.dtype), lengths), ParaLIFState(*carried)

    def step(self, x_t: Tensor, state: ParaLIFState | None = None) -> tuple[Tensor, ParaLIFState]:
        """Run one time step, by `forward`: in training it samples."""
        return Temporal.step(self, x_t, state)

    def _sample(self, membrane: Tensor) -> Tensor:
        """Spikes of the membrane, with the gradient of `soft`."""
        # Elements are drawn one after the other, time first: any split of time draws the same.
        uniform = torch.rand(membrane.shape, generator=self.generator, dtype=membrane.dtype, device=membrane.device)
        if self.sampling == "gumbel_softmax":
            soft = torch.sigmoid(2.0 * membrane + torch.logit(uniform))
            spikes = soft > 0.5
        else:
            normalisation = "sigmoid" if self.sampling == "sigmoid_bernoulli" else "tanh_relu"
            probability = _NORMALISED[normalisation](membrane)
            soft = 0.5 * probability**2  # its derivative is the probability
            spikes = uniform < probability
        return spikes.to(membrane.dtype) + (soft - soft.detach())

    def cost(self) -> Cost:
        """In evaluation: two leaks and their inputs."""
        return Cost(2, 2, state_bytes=8)

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"sampling={self.sampling!r}"
