"""One trial from its experiment to its scores: the unit of work."""

from collections.abc import Generator, Iterable
from dataclasses import replace
from pathlib import Path

from torch import nn

from spikescan.analysis.energy import Energy, measure_energy
from spikescan.comparison.outcome import Measured
from spikescan.errors import InputError
from spikescan.firing import Integer, Membrane
from spikescan.neurons.base import spiking_neurons
from spikescan.training import Event, Experiment, Run, evaluate, launch_fabric, load_run, train

__all__ = ["train_and_measure"]

_ENERGY_SAMPLES = 200
"""Of the test split, on which operations are counted."""


def train_and_measure(experiment: Experiment, folder: Path) -> Generator[Event, None, Measured]:
    """Train in a run folder, or go on with the run there; then measure the weights that validation chose on the test split.

    Args:
        experiment: what to train.
        folder: the run folder.

    Raises:
        InputError: the experiment does not fit together, or the run in `folder` is of another one.
        NonFiniteError: training met a NaN.
    """
    yield from train(experiment, folder, resume=(folder / "config.yaml").exists())
    return measure_run(load_run(folder))


def measure_run(run: Run) -> Measured:
    """The scores of a run, the test split's among them."""
    # One process: it needs no sharing out, whatever the training used.
    fabric = launch_fabric(replace(run.experiment, devices=1, num_nodes=1, strategy="auto"))
    model = fabric.setup_module(run.model)
    tested = evaluate(fabric, model, run.task, run.dataset.test, run.experiment.batch_size)
    run.model.cpu()
    neurons = list(spiking_neurons(run.model).values())
    levels = max((n.firing.levels for n in neurons if isinstance(n.firing, Integer)), default=1)
    spiking = {name for name, n in spiking_neurons(run.model).items() if not isinstance(n.firing, Membrane)}
    chosen = next(row for row in run.metrics if row["epoch"] == run.epoch)
    seconds = sum(row["seconds"] for row in run.metrics)
    energy = _energy(run)
    neuron_steps = sum(row["seconds"] * row["neuron_steps_per_second"] for row in run.metrics)
    return Measured(
        score_name=run.task.score_name,
        higher_is_better=run.task.higher_is_better,
        validation_score=chosen[f"validation_{run.task.score_name}"],
        epoch=run.epoch,
        test_score=tested.score,
        test_loss=tested.loss,
        parameters=_count([run.model]),
        neuron_parameters=_count(neurons),
        wall_seconds=seconds,
        neuron_steps_per_second=neuron_steps / seconds if seconds else 0.0,
        firing_rates={name: rate for name, rate in tested.firing_rates.items() if name in spiking},
        time_steps=run.index.shape.time_steps,
        sub_steps=run.index.shape.time_steps * levels,
        operations=energy.operations.to_dict() if energy else {},
        energy=energy.joules_by_role() if energy else {},
        dense_energy=energy.dense_joules if energy else None,
        samples={part: len(getattr(run.dataset, part)) for part in ("train", "validation", "test")},
    )


def _energy(run: Run) -> Energy | None:
    """None for a model with a part whose operations are not known."""
    try:
        return measure_energy(
            run.model, run.dataset.test, samples=_ENERGY_SAMPLES, batch_size=run.experiment.batch_size
        )
    except InputError:
        return None


def _count(modules: Iterable[nn.Module]) -> int:
    """Trained parameters, each once."""
    parameters = {p for module in modules for p in module.parameters() if p.requires_grad}
    return sum(p.numel() for p in parameters)
