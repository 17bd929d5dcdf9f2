"""One trial from its experiment to its scores: the unit of work."""

import math
from collections.abc import Generator, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median

from torch import nn

from spikescan import control, training
from spikescan.analysis.energy import Energy, measure_energy
from spikescan.comparison.experiments import AnyExperiment, steps_shown
from spikescan.comparison.outcome import Measured
from spikescan.control import ControlExperiment, ControlRun, ControlStep
from spikescan.errors import InputError
from spikescan.firing import Integer, Membrane
from spikescan.neurons.base import spiking_neurons
from spikescan.training import Event, Run

__all__ = ["train_and_measure"]

_ENERGY_SAMPLES = 200
"""Of the test split, on which operations are counted."""
_TEST_EPISODES = 20


def train_and_measure(experiment: AnyExperiment, folder: Path) -> Generator[Event | ControlStep, None, Measured]:
    """Train in a run folder, or go on with the run there; then measure the weights that validation chose on what was held out.

    Args:
        experiment: what to train.
        folder: the run folder.

    Raises:
        InputError: the experiment does not fit together, or the run in `folder` is of another one.
        NonFiniteError: training met a NaN.
    """
    resume = (folder / "config.yaml").exists()
    if isinstance(experiment, ControlExperiment):
        yield from control.train(experiment, folder, resume=resume)
        return _measure_control(control.load_run(folder))
    yield from training.train(experiment, folder, resume=resume)
    return _measure(training.load_run(folder))


def _measure(run: Run) -> Measured:
    """The scores of a run, on the test split."""
    # One process: it needs no sharing out, whatever the training used.
    fabric = training.launch_fabric(replace(run.experiment, devices=1, num_nodes=1, strategy="auto"))
    model = fabric.setup_module(run.model)
    tested = training.evaluate(fabric, model, run.task, run.dataset.test, run.experiment.batch_size)
    run.model.cpu()
    energy = _energy(run)
    return Measured(
        score_name=run.task.score_name,
        higher_is_better=run.task.higher_is_better,
        validation_score=_chosen(run)[f"validation_{run.task.score_name}"],
        epoch=run.epoch,
        test_score=tested.score,
        test_loss=tested.loss,
        parameters=_count([run.model]),
        neuron_parameters=_count(spiking_neurons(run.model).values()),
        wall_seconds=_seconds(run),
        neuron_steps_per_second=_speed(run),
        firing_rates=_spiking(run.model, tested.firing_rates),
        time_steps=run.index.shape.time_steps,
        sub_steps=run.index.shape.time_steps * _levels(run.model),
        samples={
            "training samples": len(run.dataset.train),
            "validation samples": len(run.dataset.validation),
            "test samples": len(run.dataset.test),
        },
        operations=energy.operations.to_dict() if energy else {},
        energy=energy.joules_by_role() if energy else {},
        dense_energy=energy.dense_joules if energy else None,
    )


def _measure_control(run: ControlRun) -> Measured:
    """The mean return of the actor that validation chose, over episodes that chose nothing."""
    tested = control.evaluate(run, episodes=_TEST_EPISODES)
    shown = steps_shown(run.experiment)
    return Measured(
        score_name="return",
        higher_is_better=True,
        validation_score=_chosen(run)["validation_return"],
        epoch=run.epoch,
        test_score=tested.mean_return,
        test_loss=None,
        parameters=_count([run.model]),
        neuron_parameters=_count(spiking_neurons(run.model).values()),
        wall_seconds=_seconds(run),
        neuron_steps_per_second=_speed(run),
        firing_rates=_spiking(run.model, tested.firing_rates),
        time_steps=shown,
        sub_steps=shown * _levels(run.model),
        samples={
            "training steps in the environment": run.experiment.epochs * run.experiment.epoch_steps,
            "validation episodes an epoch": run.experiment.evaluation_episodes,
            "test episodes": _TEST_EPISODES,
        },
    )


def _chosen(run: Run | ControlRun) -> Mapping[str, float]:
    """The row of the epoch with the best validation score."""
    return next(row for row in run.metrics if row["epoch"] == run.epoch)


def _seconds(run: Run | ControlRun) -> float:
    return math.fsum(row["seconds"] for row in run.metrics)


def _speed(run: Run | ControlRun) -> float:
    """The median over the epochs: the first may have compiled the kernels."""
    return median(row["neuron_steps_per_second"] for row in run.metrics)


def _levels(model: nn.Module) -> int:
    """N, the most spikes that a neuron sends in a step."""
    levels = [n.firing.levels for n in spiking_neurons(model).values() if isinstance(n.firing, Integer)]
    return max(levels, default=1)


def _spiking(model: nn.Module, rates: Mapping[str, float]) -> dict[str, float]:
    """The rates of the layers that spike."""
    neurons: Mapping[str, object] = spiking_neurons(model)
    silent = [name for name, neuron in neurons.items() if isinstance(getattr(neuron, "firing", None), Membrane)]
    return {name: rate for name, rate in rates.items() if name not in silent}


def _energy(run: Run) -> Energy | None:
    """None for a model with a part whose operations are not known."""
    batch_size = run.experiment.batch_size
    try:
        return measure_energy(run.model, run.dataset.test, samples=_ENERGY_SAMPLES, batch_size=batch_size)
    except InputError:
        return None


def _count(modules: Iterable[nn.Module]) -> int:
    """Trained parameters, each once."""
    parameters = {p for module in modules for p in module.parameters() if p.requires_grad}
    return sum(p.numel() for p in parameters)
