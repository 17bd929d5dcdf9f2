"""The folder of a control run, read back."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from spikescan.control.actors import build_actor
from spikescan.control.environment import Environment
from spikescan.control.experiment import ControlExperiment, control_experiment_from
from spikescan.control.td3 import TD3, Agent
from spikescan.errors import CheckpointError
from spikescan.names import choose_named
from spikescan.neurons.base import Temporal
from spikescan.training.checkpoint import Index, ModelShape, load_weights, read_index
from spikescan.training.choices import construct, split_choice
from spikescan.training.metrics import read_metrics
from spikescan.training.run import check_unchanged, read_config

__all__ = ["ControlRun", "build_agent", "build_algorithm", "check_same_experiment", "load_run", "read_experiment"]

_MAY_CHANGE = ("epochs", "evaluation_episodes")


@dataclass(frozen=True)
class ControlRun:
    """A control run that was read back."""

    folder: Path
    experiment: ControlExperiment
    model: Temporal
    """From observations, as the environment gives them to the actor, to actions from -1 to 1; in eval mode."""
    epoch: int
    """Whose weights these are."""
    index: Index
    """All that is known of the checkpoints."""
    metrics: list[dict[str, float]]
    """The rows of ``metrics.csv``."""
    scaling: None = None
    """Nothing has to be done to an observation: the model begins with its normaliser."""


def load_run(folder: Path | str, *, last: bool = False) -> ControlRun:
    """Read a control run back.

    Args:
        folder: the run folder.
        last: take the weights of the last epoch; else of the epoch with the best mean return.

    Raises:
        CheckpointError: it is no run folder, no epoch was finished, or a file in it is damaged or foreign.
        InputError: the environment is not installed.
    """
    folder = Path(folder)
    experiment = read_experiment(folder)
    index = read_index(folder / "checkpoint")
    if index is None:
        raise CheckpointError(f"{folder} holds no finished epoch. Go on with: spikescan train --resume {folder}")
    environment = Environment(experiment.environment)
    agent = build_agent(experiment, environment)
    environment.close()
    epoch = index.epoch if last else index.best_epoch
    load_weights(folder / "checkpoint", epoch, agent)
    return ControlRun(folder, experiment, agent.policy.eval(), epoch, index, read_metrics(folder / "metrics.csv"))


def read_experiment(folder: Path) -> ControlExperiment:
    """The experiment of a run folder.

    Raises:
        CheckpointError: it is no run folder.
    """
    return control_experiment_from(read_config(folder), str(folder / "config.yaml"))


def check_same_experiment(folder: Path, experiment: ControlExperiment) -> None:
    """Raise `InputError` unless `experiment` is that of the run in `folder`, where it decides the numbers."""
    check_unchanged(folder, _decisive(read_experiment(folder)), _decisive(experiment), _MAY_CHANGE)


def shape_for(environment: Environment) -> ModelShape:
    """What the actor must be built for; how many time steps its neurons see is the actor's own."""
    return ModelShape(inputs=len(environment.visible), outputs=environment.actions, time_steps=0)


def build_algorithm(experiment: ControlExperiment) -> TD3:
    """The options of the algorithm."""
    name, options = split_choice("algorithm", experiment.algorithm)
    return construct(f"algorithm {name}", choose_named("algorithm", {"td3": TD3}, name), {}, options)


def build_agent(experiment: ControlExperiment, environment: Environment) -> Agent:
    """The networks, with initial weights drawn from the experiment's seed."""
    torch.manual_seed(experiment.seed)
    actor = build_actor(experiment, len(environment.visible), environment.actions)
    hidden = build_algorithm(experiment).critic_hidden
    return Agent(actor, environment.visible, environment.observations, environment.actions, hidden)


def _decisive(experiment: ControlExperiment) -> dict[str, Any]:
    return {name: value for name, value in asdict(experiment).items() if name not in _MAY_CHANGE}
