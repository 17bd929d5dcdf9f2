"""Serial relatives of the LIF from the literature: baselines that a parallel neuron is compared with."""

import itertools
import math
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from spikescan import ops
from spikescan.errors import InputError
from spikescan.firing import Binary, Firing, Rectangular
from spikescan.neurons.base import Cost, Neuron, at_rest, check_carried, check_channels, check_spikes, no_weight_decay
from spikescan.neurons.padding import zero_padding
from spikescan.neurons.swept import SweptNeuron
from spikescan.ops._checks import compute_dtype, in_compute_dtype
from spikescan.ops.sweep import Cell, detach, relu, sigmoid

__all__ = [
    "ALIF",
    "CLIF",
    "GLIF",
    "KLIF",
    "ALIFState",
    "CLIFState",
    "DelayedResetLIF",
    "DelayedResetLIFState",
    "GLIFState",
    "KLIFState",
]

_BOTH = (True, False)


class KLIFState(NamedTuple):
    """What a KLIF carries: the membrane after the last reset, ``[B, C, *]``."""

    membrane: Tensor


def _klif(reset: str, detach_reset: bool, scale_reset: bool) -> Cell:
    def step(x: Any, state: Any, parameters: Any, fire: Any) -> Any:
        (v,), (decay, gain, k) = state, parameters
        f = relu(k * (decay * v + gain * x))
        s = fire(f)
        resetting = detach(s) if detach_reset else s
        v = f - resetting * fire.unit if reset == "soft" else f * (1.0 - resetting)
        return s, (v / k if scale_reset else v,)

    return Cell(step, states=("membrane",), parameters=("decay", "gain", "slope"))


_KLIF = {options: _klif(*options) for options in itertools.product(("soft", "hard"), _BOTH, _BOTH)}


class KLIF(SweptNeuron):
    r"""LIF with a learnt slope in front of the threshold (Jiang and Zhang, 2023; SpikingJelly's ``KLIFNode``).

    .. math:: H_t = V_{t-1} + (x_t - V_{t-1}) / \tau, \quad F_t = \text{relu}(k H_t), \quad S_t = \text{fire}(F_t), \quad
        V_t = \text{reset}(F_t, S_t)

    k is one number for the layer, 1 at the start. The gradient passes through the reset: with a detached one the neuron does
    not converge (a note in the authors' code).

    Args:
        tau: time constant in steps, >= 1.
        reset: "soft", V = F - theta S, or "hard", V = F (1 - S).
        scale_reset: divide the membrane by k after the reset.
        detach_reset: no gradient through the spike in the reset.
        firing: `Binary`.

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``.
    """

    state_type = KLIFState

    def __init__(
        self,
        tau: float = 2.0,
        *,
        reset: Literal["soft", "hard"] = "soft",
        scale_reset: bool = False,
        detach_reset: bool = False,
        firing: Binary | None = None,
    ) -> None:
        super().__init__()
        _check_tau("KLIF", "tau", tau)
        if reset not in ("soft", "hard"):
            raise InputError(f"KLIF: reset is {reset!r}, expected 'soft' or 'hard'.")
        self.tau = float(tau)
        self.reset = reset
        self.scale_reset = scale_reset
        self.detach_reset = detach_reset
        self.firing = _binary("KLIF", firing)
        self.slope = no_weight_decay(nn.Parameter(torch.ones(())))

    def cell(self) -> Cell:
        """The step with this reset."""
        return _KLIF[self.reset, self.detach_reset, self.scale_reset]

    def coefficients(self, device: torch.device) -> tuple[Tensor | float, ...]:
        """Decay, gain and k."""
        leak = 1.0 / self.tau
        return 1.0 - leak, leak, self.slope

    def cost(self) -> Cost:
        """The leak and k, and 1 / k where the reset is scaled."""
        return Cost(2 + self.scale_reset, 1 + (self.reset == "soft"), state_bytes=4)

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"tau={self.tau}, reset={self.reset!r}, scale_reset={self.scale_reset}, firing={self.firing}"


class CLIFState(NamedTuple):
    """What a CLIF carries: the membrane after the last reset and the complementary potential, each ``[B, C, *]``."""

    membrane: Tensor
    complementary: Tensor


def _clif(detach_reset: bool) -> Cell:
    def step(x: Any, state: Any, parameters: Any, fire: Any) -> Any:
        (u, m), (decay, leak) = state, parameters
        u = decay * u + x
        s = fire(u)
        m = m * sigmoid(leak * u) + s
        return s, (u - (detach(s) if detach_reset else s) * (sigmoid(m) + fire.unit), m)

    return Cell(step, states=("membrane", "complementary"), parameters=("decay", "leak"))


_CLIF = {detach_reset: _clif(detach_reset) for detach_reset in _BOTH}


class CLIF(SweptNeuron):
    r"""Complementary LIF: a second potential that remembers spikes and deepens the reset (Huang et al., ICML 2024).

    .. math::
        U_t &= \gamma V_{t-1} + x_t, \quad S_t = \text{fire}(U_t), \quad \gamma = 1 - 1 / \tau \\
        M_t &= M_{t-1} \sigma((1 - \gamma) U_t) + S_t \\
        V_t &= U_t - S_t (\theta + \sigma(M_t))

    No parameters of its own. The input is not scaled: a constant one has tau times itself as its limit.

    Args:
        tau: time constant in steps, >= 1.
        detach_reset: no gradient through the spike in the reset.
        firing: `Binary`; by default with the authors' rectangular surrogate of width 1.

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``.
    """

    state_type = CLIFState

    def __init__(self, tau: float = 2.0, *, detach_reset: bool = False, firing: Binary | None = None) -> None:
        super().__init__()
        _check_tau("CLIF", "tau", tau)
        self.tau = float(tau)
        self.detach_reset = detach_reset
        self.firing = Binary(surrogate=Rectangular()) if firing is None else _binary("CLIF", firing)

    def cell(self) -> Cell:
        """The step, with or without a gradient through the reset."""
        return _CLIF[self.detach_reset]

    def coefficients(self, device: torch.device) -> tuple[float, ...]:
        """Gamma and 1 - gamma."""
        leak = 1.0 / self.tau
        return 1.0 - leak, leak

    def cost(self) -> Cost:
        """Two leaks, the argument of the first of two sigmoids, the reset."""
        return Cost(3, 4, transcendentals=2, state_bytes=8)

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"tau={self.tau}, firing={self.firing}"


class ALIFState(NamedTuple):
    """What an ALIF carries: the membrane after the last reset and the adaptation, each ``[B, C, *]``."""

    membrane: Tensor
    adaptation: Tensor


def _alif(detach_reset: bool) -> Cell:
    def step(x: Any, state: Any, parameters: Any, fire: Any) -> Any:
        (v, a), (decay, gain, rho, beta) = state, parameters
        h = decay * v + gain * x
        raised = beta * a
        s = fire(h - raised)
        return s, (h - (detach(s) if detach_reset else s) * (raised + fire.unit), rho * a + s)

    return Cell(step, states=("membrane", "adaptation"), parameters=("decay", "gain", "rho", "beta"))


_ALIF = {detach_reset: _alif(detach_reset) for detach_reset in _BOTH}


class ALIF(SweptNeuron):
    r"""LIF with an adaptive threshold (Bellec et al., 2018): each spike raises it, and it decays back.

    .. math::
        H_t &= V_{t-1} + (x_t - V_{t-1}) / \tau, \quad \theta_t = \theta + \beta a_{t-1} \\
        S_t &= \text{fire at } \theta_t (H_t), \quad V_t = H_t - \theta_t S_t, \quad a_t = \rho a_{t-1} + S_t, \quad
        \rho = e^{-1 / \tau_a}

    The literature has no one default for beta, which it scales with tau_a; 0.2 doubles the threshold after some five spikes.

    Args:
        tau: time constant of the membrane in steps, >= 1.
        tau_adaptation: time constant of the threshold in steps, > 0.
        beta: how far a spike raises the threshold, >= 0.
        detach_reset: no gradient through the spike in the reset; that of the adaptation always has one.
        firing: `Binary` or `Integer`.

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``.
    """

    state_type = ALIFState

    def __init__(
        self,
        tau: float = 2.0,
        *,
        tau_adaptation: float = 100.0,
        beta: float = 0.2,
        detach_reset: bool = True,
        firing: Firing | None = None,
    ) -> None:
        super().__init__()
        _check_tau("ALIF", "tau", tau)
        if not tau_adaptation > 0.0 or not beta >= 0.0:
            raise InputError(
                f"ALIF: tau_adaptation is {tau_adaptation} and beta {beta}, expected more than 0 (steps) and at least 0."
            )
        self.tau = float(tau)
        self.tau_adaptation = float(tau_adaptation)
        self.beta = float(beta)
        self.detach_reset = detach_reset
        self.firing = Binary() if firing is None else firing
        check_spikes("ALIF", self.firing)

    def cell(self) -> Cell:
        """The step, with or without a gradient through the reset."""
        return _ALIF[self.detach_reset]

    def coefficients(self, device: torch.device) -> tuple[float, ...]:
        """Decay, gain, rho and beta."""
        leak = 1.0 / self.tau
        return 1.0 - leak, leak, math.exp(-1.0 / self.tau_adaptation), self.beta

    def cost(self) -> Cost:
        """Two leaks, the raised threshold, the reset."""
        return Cost(3, 5, state_bytes=8)

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"tau={self.tau}, tau_adaptation={self.tau_adaptation}, beta={self.beta}, firing={self.firing}"


class GLIFState(NamedTuple):
    """What a GLIF carries: steps seen ``[B]`` (int64), and what the last one left for the next, ``[B, C, *]``."""

    position: Tensor
    membrane: Tensor


def _glif_step(x: Any, state: Any, parameters: Any, fire: Any) -> Any:
    (left,), (leak, drain, threshold, keep, drop) = state, parameters
    u = left + x - drain
    s = fire(u - threshold)
    return s, (leak * u * (1.0 - keep * s) - drop * s,)


_GLIF = Cell(_glif_step, states=("membrane",), parameters=("leak", "drain", "threshold", "keep", "drop"))


class GLIF(Neuron):
    r"""Gated LIF: learnt mixtures of exponential and linear leak, soft and hard reset, gated input (Yao et al., NeurIPS 2022).

    .. math::
        I_t &= x_t (1 - \beta (1 - g_t)) \\
        U_t &= (1 - \alpha (1 - l)) U_{t-1} (1 - \gamma S_{t-1}) - (1 - \alpha) q + I_t - (1 - \gamma) r S_{t-1} \\
        S_t &= \Theta(U_t - \theta)

    Every constant is the sigmoid of a parameter, one a channel; g has one for each of T steps besides, so that the neuron is
    bound to T. Initial values as in the authors' code: the logits of the gates alpha, beta and gamma within +-0.1; l = 0.25,
    theta = 0.5, r = theta, q = theta / (2 T), g = 0.5.

    Args:
        channels: C.
        time_steps: T, the most steps it can see.
        firing: `Binary`, of which the surrogate is used (the threshold is learnt); by default the authors' rectangle of
            width 1.

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``.
    """

    length_bound = True
    firing: Binary

    def __init__(self, channels: int, time_steps: int, *, firing: Binary | None = None) -> None:
        super().__init__()
        if channels < 1 or time_steps < 1:
            raise InputError(f"GLIF: channels is {channels} and time_steps {time_steps}, expected both at least 1.")
        self.channels = channels
        self.time_steps = time_steps
        self.firing = Binary(0.5, Rectangular()) if firing is None else _binary("GLIF", firing)
        gates = torch.empty(3, channels).uniform_(-0.1, 0.1)
        self.gates = no_weight_decay(nn.Parameter(gates))
        threshold = 0.5
        constants = torch.tensor([0.25, threshold, threshold, threshold / (2 * time_steps)])
        self.constants = no_weight_decay(nn.Parameter(torch.logit(constants).unsqueeze(1).repeat(1, channels)))
        self.conductance = no_weight_decay(nn.Parameter(torch.zeros(time_steps, channels)))

    def initial_state(self, x_t: Tensor) -> GLIFState:
        """At rest: nothing seen."""
        return GLIFState(torch.zeros(x_t.shape[0], dtype=torch.int64, device=x_t.device), at_rest(x_t))

    def forward(
        self, x: Tensor, state: GLIFState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, GLIFState]:
        """Run over all of time at once; see `Temporal.forward`."""
        return self._run(x, state, lengths, _GLIF, self._part(), self._coefficients())

    def learnt(self, x_t: Tensor) -> Tensor:
        """See `Learns`: what the step reads, and what part of the input each step lets in."""
        return torch.cat([torch.stack(self._coefficients()), self._part()])

    def forward_with(
        self, learnt: Tensor, x: Tensor, state: GLIFState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, GLIFState]:
        """See `Learns`."""
        names = _GLIF.parameters
        own = tuple(learnt[:, : len(names)].unbind(1))
        part = learnt[:, len(names) :].transpose(0, 1)
        unread = tuple(x.new_zeros(self.channels, dtype=learnt.dtype) for _ in names)
        return self._run(x, state, lengths, _GLIF.carrying(*names), part, unread, own)

    def _run(
        self, x: Tensor, state: GLIFState | None, lengths: Tensor | None, cell: Cell, part: Tensor,
        parameters: tuple[Tensor, ...], own: tuple[Tensor, ...] = (),
    ) -> tuple[Tensor, GLIFState]:  # fmt: skip
        check_channels(self, x, 2, self.channels)
        x = zero_padding(x, lengths)
        position, membrane = self.initial_state(x.new_empty(x.shape[1:])) if state is None else self._checked(x, state)
        spikes, (membrane, *_) = ops.sweep(
            cell,
            self._gated(x, position, lengths, part),
            parameters,
            firing=self.firing.surrogate.spec(0.0),
            state=(membrane, *own),
            lengths=lengths,
        )
        return spikes.to(x.dtype), GLIFState(position + (x.shape[0] if lengths is None else lengths), membrane)

    @torch.no_grad()
    def trace(self, x: Tensor, state: GLIFState | None = None) -> dict[str, Tensor]:
        """See `Neuron.trace`; the membrane, shifted so that the learnt threshold is that of `firing`."""
        position, membrane = self.initial_state(x.new_empty(x.shape[1:])) if state is None else self._checked(x, state)
        gated = self._gated(x, position, None, self._part())
        spec = self.firing.surrogate.spec(0.0)
        above = ops.sweep_membranes(_GLIF, gated, self._coefficients(), firing=spec, state=(membrane,))
        return {"membrane": above + self.firing.threshold}

    def _coefficients(self) -> tuple[Tensor, ...]:
        """Leak, drain, threshold, and how much of membrane and reset value a spike takes."""
        alpha, _, gamma = torch.sigmoid(in_compute_dtype(self.gates))
        decay, threshold, reset, linear = torch.sigmoid(in_compute_dtype(self.constants))
        return 1.0 - alpha * (1.0 - decay), (1.0 - alpha) * linear, threshold, gamma, (1.0 - gamma) * reset

    def _part(self) -> Tensor:
        """What part of the input each step lets in, ``[T, C]``."""
        beta, conductance = (torch.sigmoid(in_compute_dtype(each)) for each in (self.gates[1], self.conductance))
        return 1.0 - beta * (1.0 - conductance)

    def _gated(self, x: Tensor, position: Tensor, lengths: Tensor | None, part: Tensor) -> Tensor:
        """The input, of which each step lets a part in: ``[T, C]``, or ``[T, B, C]`` where each sample has its own.

        In the dtype of states: a bfloat16 of what is let in would be another input.
        """
        steps = torch.arange(x.shape[0], device=x.device).unsqueeze(1)
        if position.shape[0] and not torch.compiler.is_compiling():
            end = int((position + (x.shape[0] if lengths is None else lengths)).max())
            if end > self.time_steps:
                raise InputError(
                    f"GLIF({self.channels}, {self.time_steps}) has seen {int(position.max())} time steps and was given "
                    f"more, up to {end}: its gates end at {self.time_steps}. Start again with state=None, or use a neuron "
                    f"that never ends, such as LIF() or DSN(channels)."
                )
        rows = (position + steps).clamp(max=self.time_steps - 1)  # beyond it is padding
        open_part = part[rows] if part.ndim == 2 else part[rows, torch.arange(x.shape[1], device=x.device)]
        shape = (*x.shape[:3], *[1] * (x.ndim - 3))
        return in_compute_dtype(x) * open_part.to(compute_dtype(x)).view(shape)

    def _checked(self, x: Tensor, state: GLIFState) -> tuple[Tensor, Tensor]:
        position, membrane = self.unpack(state, GLIFState)
        check_carried("GLIF", "position", position, x.shape[1:2], torch.int64, x.device)
        return position, membrane

    def cost(self) -> Cost:
        """The gated input, the linear leak, the threshold, the leak of what a spike left."""
        return Cost(2, 4, state_bytes=4)

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"{self.channels}, {self.time_steps}, firing={self.firing}"


class DelayedResetLIFState(NamedTuple):
    """What the last step left for the next: beta U - theta S, ``[B, C, *]``."""

    membrane: Tensor


def _delayed_reset(detach_reset: bool) -> Cell:
    def step(x: Any, state: Any, parameters: Any, fire: Any) -> Any:
        (left,), (decay,) = state, parameters
        u = left + x
        s = fire(u)
        return s, (decay * u - (detach(s) if detach_reset else s) * fire.unit,)

    return Cell(step, states=("membrane",), parameters=("decay",))


_DELAYED_RESET = {detach_reset: _delayed_reset(detach_reset) for detach_reset in _BOTH}


class DelayedResetLIF(SweptNeuron):
    r"""Leaky integrate and fire with a soft reset that comes after the leak (snnTorch's ``Leaky``).

    .. math:: U_t = \beta U_{t-1} + x_t - \theta S_{t-1}, \quad S_t = \text{fire}(U_t)

    `LIF` takes the threshold off before the leak, so that beta theta of it arrives in the next step; here it is the whole.

    Args:
        tau: time constant in steps, >= 1; beta = 1 - 1 / tau.
        detach_reset: no gradient through the spike in the reset (snnTorch: always).
        firing: `Binary` or `Integer`.

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``.
    """

    state_type = DelayedResetLIFState

    def __init__(self, tau: float = 2.0, *, detach_reset: bool = True, firing: Firing | None = None) -> None:
        super().__init__()
        _check_tau("DelayedResetLIF", "tau", tau)
        self.tau = float(tau)
        self.detach_reset = detach_reset
        self.firing = Binary() if firing is None else firing
        check_spikes("DelayedResetLIF", self.firing)

    def cell(self) -> Cell:
        """The step, with or without a gradient through the reset."""
        return _DELAYED_RESET[self.detach_reset]

    def coefficients(self, device: torch.device) -> tuple[float, ...]:
        """Beta."""
        return (1.0 - 1.0 / self.tau,)

    def cost(self) -> Cost:
        """The leak, the input, the reset."""
        return Cost(1, 2, state_bytes=4)

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"tau={self.tau}, firing={self.firing}"


def _binary(owner: str, firing: Firing | None) -> Binary:
    if firing is not None and not isinstance(firing, Binary):
        raise InputError(f"{owner}: firing is {firing}, but its reset is defined for Binary() spikes alone.")
    return Binary() if firing is None else firing


def _check_tau(owner: str, name: str, tau: float) -> None:
    if not tau >= 1.0:
        raise InputError(f"{owner}: {name} is {tau}, expected at least 1 (steps).")
