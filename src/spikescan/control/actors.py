"""Actors by name: temporal modules from observations to actions between -1 and 1."""

import inspect
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from spikescan.control.experiment import ControlExperiment
from spikescan.control.population import PopulationActor
from spikescan.errors import InputError
from spikescan.layers import PerStep, Sequential
from spikescan.models import list_models, model_builder
from spikescan.names import choose_named
from spikescan.neurons.base import State, Temporal, at_rest, check_state
from spikescan.neurons.padding import at_last_valid, zero_padding
from spikescan.training.build import neuron_maker
from spikescan.training.choices import construct, split_choice

__all__ = ["GRUActor", "actor_builder", "ann", "build_actor", "list_actors", "perceptron"]


def perceptron(inputs: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    """Linear layers with rectifiers between them."""
    sizes = [inputs, *hidden, outputs]
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def ann(inputs: int, outputs: int, *, hidden: Sequence[int] = (256, 256)) -> Temporal:
    """The ordinary actor of TD3, without spikes and without memory."""
    return PerStep(nn.Sequential(*perceptron(inputs, hidden, outputs), nn.Tanh()))


class GRUState(NamedTuple):
    """What a GRU carries: ``[B, width]``."""

    hidden: Tensor


class GRUActor(Temporal):
    """An ordinary actor with memory: a GRU and a linear layer. Its time is walked step by step, in training too."""

    def __init__(self, inputs: int, outputs: int, *, width: int = 128) -> None:
        super().__init__()
        self.gru = nn.GRU(inputs, width)
        self.head = nn.Linear(width, outputs)

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """See `Temporal.forward`."""
        rest = self.initial_state(x.new_empty(x.shape[1:]))
        if state is None:
            state = rest
        check_state("GRUActor", state, rest)
        if not len(x):
            return self.head(x.new_zeros(0, *state.hidden.shape)), state
        hidden, _ = self.gru(zero_padding(x, lengths), state.hidden.unsqueeze(0))
        actions = torch.tanh(self.head(hidden))
        return zero_padding(actions, lengths), GRUState(at_last_valid(hidden, state.hidden, lengths))

    def initial_state(self, x_t: Tensor) -> GRUState:
        """Zeros."""
        return GRUState(at_rest(x_t.new_empty(len(x_t), self.gru.hidden_size)))


_ACTORS: dict[str, Callable[..., Temporal]] = {"ann": ann, "gru": GRUActor, "population": PopulationActor}


def list_actors() -> list[str]:
    """The names that `actor_builder` knows."""
    return sorted({*_ACTORS, *list_models()})


def actor_builder(name: str) -> Callable[..., Temporal]:
    """The function or class that builds the actor `name`.

    Raises:
        InputError: there is no such actor; the message has the nearest name.
    """
    return choose_named("actor", _ACTORS | {model: model_builder(model) for model in list_models()}, name)


def build_actor(experiment: ControlExperiment, inputs: int, outputs: int) -> Temporal:
    """The actor that an experiment names, with initial weights drawn from torch's generator.

    Raises:
        InputError: there is no such actor, neuron or option; the message has the nearest.
    """
    name, options = split_choice("actor", experiment.actor)
    builder = actor_builder(name)
    given: dict[str, Any] = {"inputs": inputs, "outputs": outputs}
    known = inspect.signature(builder).parameters
    if "neuron" in known:
        micro_steps = options.get("micro_steps", known["micro_steps"].default) if "micro_steps" in known else None
        given["neuron"] = neuron_maker(experiment.neuron, micro_steps)
    actor = construct(f"actor {name}", builder, given, options)
    if not actor.streamable or actor.length_bound:
        raise InputError(
            f"The actor {name} with neurons {experiment.neuron['name']} cannot act for as long as an episode lasts: it "
            f"{'has no step' if not actor.streamable else 'is bound to a number of time steps'}. Take a neuron that streams "
            f"(spikescan list neurons), or the actor population without memory."
        )
    return actor if name in _ACTORS else Sequential({"network": actor, "squash": nn.Tanh()})
