"""From an experiment to the objects it names."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from spikescan.data import Dataset, check_finite, data_loader, shuffle_time
from spikescan.models import model_builder
from spikescan.neurons.base import Neuron, Temporal
from spikescan.neurons.registry import create_neuron, neuron_class
from spikescan.tasks import Task, balanced_class_weights, task_for, task_type
from spikescan.training.checkpoint import ModelShape
from spikescan.training.choices import checked_options, construct, split_choice
from spikescan.training.config import Experiment
from spikescan.training.optimisers import optimiser_maker
from spikescan.training.schedules import Schedule, schedule_maker

__all__ = [
    "build_dataset",
    "build_model",
    "build_optimiser",
    "build_schedule",
    "build_task",
    "neuron_maker",
    "settle",
    "shape_for",
]


def build_dataset(experiment: Experiment) -> Dataset:
    """Load the data, in its order of time or without."""
    name, options = split_choice("data", experiment.data)
    dataset = construct(f"data {name}", data_loader(name), {}, options)
    if experiment.check_inputs:
        check_finite(dataset)
    return shuffle_time(dataset) if experiment.shuffle_time else dataset


def settle(experiment: Experiment, dataset: Dataset) -> Experiment:
    """The experiment with what only the data can say: the task instead of auto, the class weights instead of balanced."""
    name, options = split_choice("task", experiment.task)
    name = task_for(dataset) if name == "auto" else name
    if options.get("class_weights") == "balanced":
        options["class_weights"] = balanced_class_weights(dataset)
    return replace(experiment, task={"name": name, **options})


def build_task(experiment: Experiment) -> Task:
    """The loss and the score."""
    name, options = split_choice("task", experiment.task)
    return construct(f"task {name}", task_type(name), {}, options)


def shape_for(dataset: Dataset, task: Task) -> ModelShape:
    """What the network must be built for."""
    return ModelShape(inputs=dataset.channels, outputs=task.outputs(dataset), time_steps=dataset.time_steps)


def build_model(experiment: Experiment, shape: ModelShape) -> Temporal:
    """The network with initial weights drawn from the experiment's seed."""
    name, options = split_choice("model", experiment.model)
    given = {
        "inputs": shape.inputs,
        "outputs": shape.outputs,
        "neuron": neuron_maker(experiment.neuron, shape.time_steps),
    }
    torch.manual_seed(experiment.seed)
    return construct(f"model {name}", model_builder(name), given, options)


def build_optimiser(experiment: Experiment, model: torch.nn.Module) -> torch.optim.Optimizer:
    """The optimiser of the model's parameters."""
    name, options = split_choice("optimiser", experiment.optimiser)
    return construct(f"optimiser {name}", optimiser_maker(name), {"model": model}, options)


def build_schedule(experiment: Experiment) -> Schedule:
    """The factor on the learning rate."""
    name, options = split_choice("schedule", experiment.schedule)
    return construct(f"schedule {name}", schedule_maker(name), {}, options)


def neuron_maker(choice: Mapping[str, Any], time_steps: int | None) -> Callable[[int], Neuron]:
    """From a number of neurons to a layer of them; `time_steps` is for those that are bound to a length."""
    name, options = split_choice("neuron", choice)
    # `firing` is for create_neuron: it may be a name.
    plain = {option: value for option, value in options.items() if option != "firing"}
    checked = checked_options(f"neuron {name}", neuron_class(name), ("channels", "time_steps"), plain)
    return lambda channels: create_neuron(name, channels, time_steps, {**options, **checked})
