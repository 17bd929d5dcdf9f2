"""Population coding, and the spiking actor that is made of it (PopSAN, Tang et al., CoRL 2020)."""

import itertools
import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from spikescan.errors import InputError
from spikescan.firing import Binary
from spikescan.layers import Linear, Sequential
from spikescan.models.parts import MakeNeuron, build_norm, check_sizes, spiking
from spikescan.neurons import IF
from spikescan.neurons.base import KeepsMarks, State, Temporal, check_stateless, no_weight_decay
from spikescan.neurons.padding import zero_padding

__all__ = ["PopulationActor", "PopulationDecoder", "PopulationEncoder"]

_ENCODER_THRESHOLD = 0.999  # PopSAN's 1 - epsilon: a neuron at the centre of its field fires at every step


class PopulationEncoder(KeepsMarks):
    r"""Each number becomes the stimulation of a population with Gaussian receptive fields.

    .. math:: A_{d,j} = \exp\left(-\frac{(x_d - \mu_{d,j})^2}{2 \sigma_{d,j}^2}\right)

    Centres mu start evenly over -span to span, widths sigma at the square root of `variance`; both are learnt. Source: Tang
    et al., "Deep reinforcement learning with population-coded spiking neural network for continuous control".

    Args:
        inputs: D.
        population: P, neurons a number.
        span: of the centres, for inputs of mean 0 and deviation 1.
        variance: sigma^2.

    Shapes: ``[*, D]`` to ``[*, D * P]``.
    """

    def __init__(self, inputs: int, population: int = 10, *, span: float = 3.0, variance: float = 0.15) -> None:
        super().__init__()
        self.centre = no_weight_decay(nn.Parameter(torch.linspace(-span, span, population).repeat(inputs, 1)))
        self.log_width = no_weight_decay(nn.Parameter(torch.full((inputs, population), math.log(variance) / 2.0)))

    def forward(self, x: Tensor) -> Tensor:
        """``[*, D]`` to ``[*, D * P]``, from 0 to 1."""
        deviations = (x.unsqueeze(-1) - self.centre) * torch.exp(-self.log_width)
        return torch.exp(-0.5 * deviations.square()).flatten(-2)


class PopulationDecoder(nn.Module):
    r"""A weighted sum of the firing rates of each action's population: :math:`a_i = \tanh(\sum_j W_{ij} f_{ij} + b_i)`.

    Shapes: ``[*, A * P]`` to ``[*, A]``, from -1 to 1.
    """

    def __init__(self, outputs: int, population: int = 10) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(population)
        self.weight = nn.Parameter(torch.empty(outputs, population).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, rates: Tensor) -> Tensor:
        """``[*, A * P]`` to ``[*, A]``."""
        return torch.tanh((rates.view(*rates.shape[:-1], *self.weight.shape) * self.weight).sum(-1) + self.bias)


class PopulationActor(Temporal):
    """Observations to actions through spikes: population encoder, layers of neurons, population decoder.

    Each observation is shown for `micro_steps` time steps of the neurons, and the action is decoded from the firing rates over
    them. Without `memory` the neurons start from rest at every observation (PopSAN), so that all steps of all samples run in
    parallel as one batch. With it their state goes on from one observation to the next: T observations are one sequence of
    T * micro_steps time steps, run in parallel in training and step by step in acting.

    Against PopSAN: any neuron instead of its current-based LIF; a norm before it; and where the encoder spikes, the surrogate
    derivative of an `IF` neuron instead of 1.

    Args:
        inputs: channels of an observation.
        outputs: channels of an action.
        neuron: builds the neurons of one layer from their number.
        hidden: neurons in each hidden layer.
        population: neurons for each number of observation and action.
        micro_steps: time steps of the neurons for each observation.
        memory: carry the neurons' state from one observation to the next.
        encoding: "spikes" of integrate-and-fire neurons that the receptive fields stimulate, or the stimulation itself as
            "current" into the first layer.
        norm: before the neurons of each layer, by name or as a function from a number of channels to a module.

    Shapes: x ``[T, B, inputs]`` to actions ``[T, B, outputs]`` from -1 to 1.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        neuron: MakeNeuron,
        hidden: Sequence[int] = (256, 256),
        population: int = 10,
        micro_steps: int = 5,
        memory: bool = False,
        encoding: Literal["spikes", "current"] = "spikes",
        norm: str = "layer",
    ) -> None:
        super().__init__()
        check_sizes("population", population=population, micro_steps=micro_steps)
        if encoding not in ("spikes", "current"):
            raise InputError(f"population: encoding is {encoding!r}, expected 'spikes' or 'current'.")
        self.micro_steps = micro_steps
        self.memory = memory
        self.encoder = PopulationEncoder(inputs, population)
        parts: dict[str, nn.Module] = {}
        if encoding == "spikes":
            parts["fields"] = IF(reset="soft", firing=Binary(_ENCODER_THRESHOLD))
        sizes = [inputs * population, *hidden, outputs * population]
        for index, (before, after) in enumerate(itertools.pairwise(sizes)):
            parts[f"layer{index}"] = spiking("linear", Linear(before, after), build_norm(norm, after), neuron(after))
        self.network = Sequential(parts)
        self.decoder = PopulationDecoder(outputs, population)
        self.stochastic = self.network.stochastic
        if memory:
            self.causal, self.streamable = self.network.causal, self.network.streamable
            self.length_bound = self.network.length_bound

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """See `Temporal.forward`; without `memory` the state is ``()``."""
        drive, valid = self.shown(self.encoder(zero_padding(x, lengths)), lengths)
        if self.memory:
            spikes, state = self.network(drive, state, valid)
        else:
            check_stateless("PopulationActor", state)
            spikes, state = self.network(drive, None, valid)[0], ()
        return zero_padding(self.decoder(self.rates(spikes, x)), lengths), state

    def shown(self, stimulation: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """What the neurons see of ``[T, B, D * P]``, and how many of their time steps are valid.

        With memory ``[T * micro_steps, B, D * P]``; without, ``[micro_steps, T * B, D * P]``.
        """
        if self.memory:
            valid = None if lengths is None else lengths * self.micro_steps
            return stimulation.repeat_interleave(self.micro_steps, 0), valid
        valid = None
        if lengths is not None:
            steps = torch.arange(len(stimulation), device=lengths.device).unsqueeze(1)
            valid = (steps < lengths).flatten() * self.micro_steps
        return stimulation.flatten(0, 1).expand(self.micro_steps, -1, -1), valid

    def rates(self, spikes: Tensor, x: Tensor) -> Tensor:
        """Firing rates ``[T, B, A * P]`` of the neurons' spikes for observations x ``[T, B, D]``."""
        if self.memory:
            return spikes.reshape(len(x), self.micro_steps, *spikes.shape[1:]).mean(1)
        return spikes.mean(0).view(*x.shape[:2], *spikes.shape[2:])

    def initial_state(self, x_t: Tensor) -> State:
        """The neurons at rest, or ``()``."""
        return self.network.initial_state(self.encoder(x_t)) if self.memory else ()
