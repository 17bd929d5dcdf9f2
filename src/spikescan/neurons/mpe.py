"""Membrane potential estimation (arXiv 2409.04978)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from spikescan import ops
from spikescan.errors import InputError
from spikescan.firing import Binary, Firing, Triangular
from spikescan.neurons.auxiliary import add_auxiliary_loss
from spikescan.neurons.base import Cost, Neuron, at_rest, check_state, no_weight_decay
from spikescan.neurons.padding import at_last_valid, valid_steps, zero_padding
from spikescan.ops import FiringSpec
from spikescan.ops._checks import check_sequence, compute_dtype

__all__ = ["MPEPSN", "MPEPSNState"]


class MPEPSNState(NamedTuple):
    """What an MPEPSN carries: the estimate of the membrane after the last reset, ``[B, C, *]``."""

    estimate: Tensor


class MPEPSN(Neuron):
    r"""Leaky integration from a membrane after reset that is estimated from the last input alone.

    .. math::
        \hat v_t = (1 - b_t) x_t, \quad b_t \sim \text{Bernoulli}(\sigma(x_t)), \quad
        u_t = \tau \hat v_{t-1} + x_t, \quad S_t = \text{fire}(u_t - \theta)

    b_t guesses whether x_t makes the neuron fire, and a neuron that fires starts again from zero. Every step needs its own
    and the last input only, so all steps run at once; the memory is of two steps. tau here is the decay, not a time
    constant. theta is learnt, one number for the layer. No gradient passes through b, as in the authors' code.

    b is drawn in training only, in the order of time, so that the same numbers are drawn however a sequence is cut. In
    evaluation b is replaced by its mean sigma(x): u is then the mean of what training has seen (the authors draw there
    too, so that their accuracy is itself a draw). The authors' threshold is strict; a membrane at it fires here.

    Within `auxiliary_losses` each call adds the loss that draws estimate and membrane after reset together,

    .. math:: \text{mean}\; c_t \big(\hat v_t - (1 - S_t) u_t\big)^2

    over the valid steps and the neurons of each sample, where a spike of any number of levels resets to zero. The paper
    trains (1 - 0.01) task loss + 0.01 times the sum over layers: ``auxiliary_weight: 0.01`` in a recipe.

    Args:
        tau: what is left of the estimate after a step, from 0 to 1.
        learnt_loss_steps: T, to learn the weights c ``[T]`` of the loss from 1 / T on, as the authors do; the loss then takes
            sequences of T steps only, the neuron still any. None keeps them at 1 / T, T being a sample's valid steps: as their
            gradient is the error itself and never negative, learnt weights can only fall, and take the loss away.
        generator: what b is drawn from; None is torch's default.
        firing: `Binary` (its threshold is where the learnt one starts) or `Integer` (0). None is `Binary` with the authors'
            surrogate, `Triangular(1)`.

    Shapes: x ``[T, B, C, *]`` to spikes ``[T, B, C, *]``.
    """

    stochastic = True

    def __init__(
        self,
        tau: float = 0.25,
        *,
        learnt_loss_steps: int | None = None,
        generator: torch.Generator | None = None,
        firing: Firing | None = None,
    ) -> None:
        super().__init__()
        if not 0.0 <= tau <= 1.0:
            raise InputError(f"MPEPSN: tau is {tau}, expected 0 to 1: it is the decay of a step.")
        if learnt_loss_steps is not None and learnt_loss_steps < 1:
            raise InputError(f"MPEPSN: learnt_loss_steps is {learnt_loss_steps}, expected at least 1, or None.")
        self.tau = float(tau)
        self.learnt_loss_steps = learnt_loss_steps
        self.generator = generator
        self.firing = Binary(1.0, Triangular(1.0)) if firing is None else firing
        start = self.firing.threshold if isinstance(self.firing, Binary) else 0.0
        self.threshold = no_weight_decay(nn.Parameter(torch.tensor(start)))
        self.loss_weight: nn.Parameter | None = None
        if learnt_loss_steps is not None:
            weight = torch.full((learnt_loss_steps,), 1.0 / learnt_loss_steps)
            self.loss_weight = no_weight_decay(nn.Parameter(weight))

    def initial_state(self, x_t: Tensor) -> MPEPSNState:
        """At rest: zero."""
        return MPEPSNState(at_rest(x_t))

    def forward(
        self, x: Tensor, state: MPEPSNState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, MPEPSNState]:
        """Run over all of time at once; see `Temporal.forward`."""
        check_sequence("MPEPSN", x)
        membrane, estimates, state = self._charge(zero_padding(x, lengths), state, lengths)
        spikes = ops.fire(membrane - self.threshold.to(membrane.dtype), self._spec())
        add_auxiliary_loss(lambda: self._loss(membrane, estimates, spikes, lengths))
        return zero_padding(spikes, lengths).to(x.dtype), state

    def _spec(self) -> FiringSpec:
        """The threshold is learnt: the kernel compares with 0."""
        return self.firing.surrogate.spec(0.0) if isinstance(self.firing, Binary) else self.firing.spec

    def _charge(
        self, x: Tensor, state: MPEPSNState | None, lengths: Tensor | None
    ) -> tuple[Tensor, Tensor, MPEPSNState]:
        """Membranes u and estimates ``[T, B, C, *]``, and the next state."""
        x = x.to(compute_dtype(x))
        rest = self.initial_state(x.new_empty(x.shape[1:]))
        if state is not None:
            check_state("MPEPSN", state, rest)
        (before,) = rest if state is None else state
        estimates = (1.0 - self._guess(x)) * x
        membrane = self.tau * torch.cat([before.unsqueeze(0), estimates])[:-1] + x
        return membrane, estimates, MPEPSNState(at_last_valid(estimates, before, lengths))

    @torch.no_grad()
    def _guess(self, x: Tensor) -> Tensor:
        """Whether each input makes the neuron fire: drawn in training, else its mean."""
        probability = ops.sigmoid(x)
        if not self.training:
            return probability
        # Into new, dense memory: its order is that of time, whatever that of x.
        draws = torch.rand(x.shape, generator=self.generator, dtype=x.dtype, device=x.device)
        return (draws < probability).to(x.dtype)

    def _loss(self, membrane: Tensor, estimates: Tensor, spikes: Tensor, lengths: Tensor | None) -> Tensor:
        """The auxiliary loss of each sample, ``[B]``."""
        T, batch = membrane.shape[:2]
        if self.loss_weight is not None and len(self.loss_weight) != T:
            raise InputError(
                f"MPEPSN(learnt_loss_steps={len(self.loss_weight)}) was given {T} time steps while its auxiliary loss is "
                f"collected. Its weights belong to {len(self.loss_weight)} steps; learnt_loss_steps=None takes any."
            )
        after = (1.0 - spikes.clamp(max=1.0)) * membrane
        neurons = membrane.shape[2:].numel()
        errors = (estimates - after).square().reshape(T, batch, neurons).sum(2) / max(neurons, 1)
        if lengths is not None:
            errors = torch.where(valid_steps(errors, lengths), errors, 0.0)
        steps = max(T, 1) if lengths is None else lengths.clamp(min=1)
        # 1 / T is of the steps of the sample: how far its batch is padded does not count.
        weighted = errors / steps if self.loss_weight is None else errors * self.loss_weight.unsqueeze(1)
        return weighted.sum(0) / steps

    @torch.no_grad()
    def trace(self, x: Tensor, state: MPEPSNState | None = None) -> dict[str, Tensor]:
        """See `Neuron.trace`; with "estimate"."""
        membrane, estimates, _ = self._charge(x, state, None)
        return {"membrane": membrane, "estimate": estimates}

    def cost(self) -> Cost:
        """Of evaluation: a sigmoid, the estimate x - sigmoid(x) x, and u."""
        return Cost(2, 2, transcendentals=1, state_bytes=4)

    def extra_repr(self) -> str:
        """Shown by `print`."""
        return f"tau={self.tau}, firing={self.firing}"
