"""The kinds of experiment that can be compared, and what the comparison has to know of each."""

import inspect
import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, replace
from typing import Any

from spikescan.control import AnyExperiment, ControlExperiment, PopulationActor, control_experiment_from, is_control
from spikescan.control.environment import Environment
from spikescan.control.run import build_agent
from spikescan.errors import InputError
from spikescan.training import Experiment, experiment_from
from spikescan.training.build import (
    build_dataset,
    build_model,
    build_optimiser,
    build_schedule,
    build_task,
    settle,
    shape_for,
)

__all__ = ["AnyExperiment", "differences", "read_any", "settled", "steps_shown", "with_neuron", "with_time_shuffled"]

# What decides where and how an experiment is run, not what comes out of it.
_WHERE = ("accelerator", "devices", "num_nodes", "strategy", "tensorboard", "check_inputs")


def settled(recipe: AnyExperiment) -> tuple[AnyExperiment, int]:
    """The recipe with what its data says of the task, and the time steps that a neuron sees in a sample.

    Of an actor's neurons these are the steps an observation is shown for; with memory, those of the sequences it is trained on.

    Its network is built once, so that what is wrong with the recipe is said before all cells fail of it.

    Raises:
        InputError: the recipe does not fit together, or its data, environment or a package that it needs is not there.
    """
    if isinstance(recipe, Experiment):
        dataset = build_dataset(recipe)
        recipe = settle(recipe, dataset)
        build_optimiser(recipe, build_model(recipe, shape_for(dataset, build_task(recipe))))
        build_schedule(recipe)
        return recipe, dataset.time_steps
    with closing(Environment(recipe.environment)) as environment:
        build_agent(recipe, environment)
    carried = recipe.actor.get("memory", recipe.actor["name"] != "population")
    return recipe, steps_shown(recipe) * (recipe.algorithm.get("sequence", 1) if carried else 1)


def steps_shown(experiment: ControlExperiment) -> int:
    """The time steps of an actor's neurons for each observation."""
    default = 1
    if experiment.actor["name"] == "population":
        default = inspect.signature(PopulationActor).parameters["micro_steps"].default
    steps: int = experiment.actor.get("micro_steps", default)
    return steps


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
