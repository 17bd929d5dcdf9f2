"""A training run from its first to its last epoch."""

import math
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException

from spikescan.errors import InputError
from spikescan.tasks import Task
from spikescan.training.averaging import AveragedWeights
from spikescan.training.build import (
    build_dataset,
    build_model,
    build_optimiser,
    build_schedule,
    build_task,
    settle,
    shape_for,
)
from spikescan.training.checkpoint import Index, load_training_state, load_weights, read_index, save_checkpoint
from spikescan.training.config import Experiment
from spikescan.training.epoch import Learner, Trained, run_epoch
from spikescan.training.evaluation import Evaluation, evaluate
from spikescan.training.events import EpochEnd, Event
from spikescan.training.inputs import write_step_input
from spikescan.training.metrics import read_metrics, write_metrics, write_tensorboard
from spikescan.training.run import (
    check_new_folder,
    check_same_data,
    check_same_experiment,
    discard_measurements,
    epochs_kept,
    start_folder,
)
from spikescan.training.scaling import read_scaling, scaled_as
from spikescan.training.statistics import refresh_statistics

__all__ = ["launch_fabric", "train"]


def train(experiment: Experiment, folder: Path, *, resume: bool = False) -> Iterator[Event]:
    """Train, save every epoch into `folder`, and tell what happens; with several processes, on the first of them.

    Nothing runs until the events are asked for. Stopping between two of them, or Ctrl-C, loses the epoch under way and
    no other; resuming gives the same bits as never having stopped.

    Args:
        experiment: what to train.
        folder: the run folder, made if need be.
        resume: go on after the last finished epoch in `folder`.

    Raises:
        InputError: something in `experiment` does not fit, or `folder` holds a run already and `resume` is not set.
        CheckpointError: the run in `folder` is damaged or of another network.
        NonFiniteError: a loss or a gradient became NaN or infinite; the message names the layer and the time step.
    """
    dataset = build_dataset(experiment)
    experiment = settle(experiment, dataset)
    task = build_task(experiment)
    index = None
    if resume:
        check_same_experiment(folder, experiment)
        index = read_index(folder / "checkpoint")
        if index is not None and experiment.epochs < index.epoch:
            raise InputError(
                f"epochs is {experiment.epochs}, but {folder} has finished {index.epoch}: expected as many or more."
            )
        if index is not None:
            check_same_data(folder, dataset, task, index)
        dataset = scaled_as(dataset, read_scaling(folder))
    else:
        check_new_folder(folder)
    shape = shape_for(dataset, task)
    network = build_model(experiment, shape)
    plain_optimiser = build_optimiser(experiment, network)
    schedule = build_schedule(experiment)
    index = index or Index(0, 0, 0, -math.inf, shape)
    saved = None
    if index.epoch:
        load_weights(folder / "checkpoint", index.epoch, network)
        saved = load_training_state(folder / "checkpoint", index.epoch)

    fabric = launch_fabric(experiment)
    model, optimiser = fabric.setup(network, plain_optimiser)
    if saved:
        optimiser.load_state_dict(saved["optimiser"])
        fabric.strategy.precision.load_state_dict(saved["precision"])
    rows = [row for row in read_metrics(folder / "metrics.csv") if row["epoch"] <= index.epoch]
    if fabric.is_global_zero:
        start_folder(folder, experiment, dataset.scaling)
        write_step_input(folder, dataset)

    average = None
    if experiment.average:
        average = AveragedWeights(network, max(experiment.average * len(dataset.train) / experiment.batch_size, 1.0))
        if saved:
            average.load_state_dict(saved["average"])
    learner = Learner(
        fabric,
        model,
        optimiser,
        schedule,
        task,
        dataset.train,
        clip_norm=experiment.clip_norm,
        batch_size=experiment.batch_size,
        epochs=experiment.epochs,
        seed=experiment.seed,
        auxiliary_weight=experiment.auxiliary_weight,
        bucket=experiment.bucket,
        average=average,
    )
    while index.epoch < experiment.epochs and not _is_stale(index, experiment.patience):
        trained = yield from run_epoch(learner, index.epoch + 1)
        state = {"optimiser": optimiser.state_dict(), "precision": fabric.strategy.precision.state_dict()}
        if average:
            state["average"] = average.state_dict()
        with average.in_place() if average else nullcontext():
            refresh_statistics(network, dataset.train, experiment.batch_size, experiment.seed, fabric.device)
            validated = evaluate(fabric, model, task, dataset.validation, experiment.batch_size)
            score = validated.score if task.higher_is_better else -validated.score
            index = index.after_epoch(learner.steps, score, validated.loss)
            rows.append(_row(index, task, trained, validated))
            if fabric.is_global_zero:
                with epochs_kept(folder):
                    write_metrics(folder / "metrics.csv", rows)
                    discard_measurements(folder)
                    save_checkpoint(folder / "checkpoint", network, state, index)
                    if experiment.tensorboard:
                        write_tensorboard(folder / "tensorboard", rows[-1])
        if fabric.is_global_zero:
            yield EpochEnd(index.epoch, rows[-1], is_best=index.best_epoch == index.epoch)


def launch_fabric(experiment: Experiment) -> Fabric:
    """Lightning Fabric as the experiment asks for it, with its processes started.

    Raises:
        InputError: Fabric does not take these values, or this machine lacks the devices.
    """
    try:
        fabric = Fabric(
            accelerator=experiment.accelerator,
            strategy=experiment.strategy,
            devices=experiment.devices,
            num_nodes=experiment.num_nodes,
            precision=experiment.precision,  # type: ignore[arg-type]  # Fabric itself refuses what it does not know
        )
        fabric.launch()
    except (ValueError, TypeError, RuntimeError, MisconfigurationException) as error:
        raise InputError(
            f"Lightning Fabric cannot start with accelerator={experiment.accelerator}, devices={experiment.devices}, "
            f"strategy={experiment.strategy}, precision={experiment.precision}: {error}"
        ) from error
    return fabric


def _is_stale(index: Index, patience: int | None) -> bool:
    return patience is not None and index.epoch - index.best_epoch >= patience


def _row(index: Index, task: Task, trained: Trained, validated: Evaluation) -> dict[str, float]:
    rates = validated.firing_rates
    return {
        "epoch": index.epoch,
        "step": index.step,
        "train_loss": trained.loss,
        f"train_{task.score_name}": trained.score,
        "validation_loss": validated.loss,
        f"validation_{task.score_name}": validated.score,
        "learning_rate": trained.learning_rate,
        "seconds": trained.seconds,
        "neuron_steps_per_second": trained.neuron_steps_per_second,
        "firing_rate": sum(rates.values()) / max(len(rates), 1),
        **{f"firing_rate.{layer}": rate for layer, rate in rates.items()},
    }
