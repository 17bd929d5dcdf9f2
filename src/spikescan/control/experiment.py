"""A control experiment as a value; its YAML is told apart from other experiments by the field `environment`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from spikescan.errors import InputError
from spikescan.training.config import Experiment, check_seed, experiment_from

__all__ = ["AnyExperiment", "ControlExperiment", "control_experiment_from", "is_control"]


@dataclass(frozen=True)
class ControlExperiment:
    """Everything that decides the outcome of a control run.

    `environment`, `actor`, `neuron` and `algorithm` are each a name and the options of what bears that name.

    Args:
        environment: an environment of Gymnasium with continuous actions, and options of its own; ``hide: [2]`` keeps these
            observations from the actor, though not from the critics, which only training needs.
        actor: population, a model (`spikescan list models`), or without spikes: ann, gru.
        neuron: the actor's neurons (`spikescan list neurons`).
        algorithm: td3 and its options, see `spikescan.control.td3.TD3`.
        epochs: how often the actor is evaluated and saved.
        epoch_steps: steps in the environment an epoch; an episode under way at its end is cut there.
        evaluation_episodes: without exploration, after each epoch; by their mean return the best epoch is chosen.
        seed: of the initial weights, the environment, exploration and the sampling of experience.
    """

    environment: dict[str, Any] = field(default_factory=lambda: {"name": "InvertedPendulum-v5"})
    actor: dict[str, Any] = field(default_factory=lambda: {"name": "population"})
    neuron: dict[str, Any] = field(default_factory=lambda: {"name": "dsn"})
    algorithm: dict[str, Any] = field(default_factory=lambda: {"name": "td3"})
    epochs: int = 10
    epoch_steps: int = 2000
    evaluation_episodes: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "epoch_steps", "evaluation_episodes"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected at least 1.")
        check_seed(self.seed)


AnyExperiment = Experiment | ControlExperiment
"""Of every kind: supervised, on a dataset, and of control, in an environment."""


def control_experiment_from(values: Mapping[str, Any], source: str = "The experiment") -> ControlExperiment:
    """A control experiment from plain values; raises as `spikescan.training.experiment_from` does."""
    return experiment_from(values, source, ControlExperiment)


def is_control(values: Mapping[str, Any]) -> bool:
    """Whether plain values, such as those of a recipe, describe a control experiment."""
    return "environment" in values
