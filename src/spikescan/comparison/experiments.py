"""The kinds of experiment that can be compared, and what the comparison has to know of each."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from spikescan.control import ControlExperiment, control_experiment_from, is_control
from spikescan.control.environment import Environment
from spikescan.errors import InputError
from spikescan.training import Experiment, experiment_from
from spikescan.training.build import build_dataset, settle

__all__ = ["AnyExperiment", "differences", "read_any", "settled", "with_neuron", "with_time_shuffled"]

AnyExperiment = Experiment | ControlExperiment

# What decides where and how an experiment is run, not what comes out of it.
_WHERE = ("accelerator", "devices", "num_nodes", "strategy", "tensorboard", "check_inputs")


def settled(recipe: AnyExperiment) -> tuple[AnyExperiment, int]:
    """The recipe with what its data says of the task, and the time steps that a neuron sees in a sample.

    Of an actor's neurons these are the steps an observation is shown for; with memory, those of the sequences it is trained on.

    Raises:
        InputError: the data, the environment, or a package that they need is not there.
    """
    if isinstance(recipe, Experiment):
        dataset = build_dataset(recipe)
        return settle(recipe, dataset), dataset.time_steps
    Environment(recipe.environment).close()  # says what is missing before any cell fails of it
    shown = recipe.actor.get("micro_steps", 5 if recipe.actor["name"] == "population" else 1)
    carried = recipe.actor.get("memory", recipe.actor["name"] != "population")
    return recipe, shown * (recipe.algorithm.get("sequence", 1) if carried else 1)


def with_neuron(recipe: AnyExperiment, neuron: dict[str, Any], seed: int) -> AnyExperiment:
    """The recipe with another neuron and seed."""
    return replace(recipe, neuron=neuron, seed=seed)


def with_time_shuffled(experiment: AnyExperiment) -> AnyExperiment:
    """The experiment on samples without their order of time.

    Raises:
        InputError: its samples arise while it runs.
    """
    if not isinstance(experiment, Experiment):
        raise InputError(
            "what an actor sees next depends on what it did: there are no samples whose time could be shuffled"
        )
    return replace(experiment, shuffle_time=True)


def read_any(values: Mapping[str, Any], source: str) -> AnyExperiment:
    """An experiment from plain values; raises as `spikescan.training.experiment_from` does."""
    return control_experiment_from(values, source) if is_control(values) else experiment_from(values, source)


def differences(then: AnyExperiment, now: AnyExperiment) -> str:
    """In which of the fields that decide what comes out two experiments differ, in words; empty if in none."""
    old, new = _decisive(then), _decisive(now)
    names = dict.fromkeys([*old, *new])
    return "; ".join(
        f"{name} was {old.get(name)}, now is {new.get(name)}" for name in names if old.get(name) != new.get(name)
    )


def _decisive(experiment: AnyExperiment) -> dict[str, Any]:
    """The fields that decide what comes out, as JSON gives them back."""
    fields: dict[str, Any] = json.loads(json.dumps(asdict(experiment)))
    if "data" in fields:
        fields["data"].pop("path", None)
    return {name: value for name, value in fields.items() if name not in _WHERE}
