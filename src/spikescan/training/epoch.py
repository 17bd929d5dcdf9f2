"""One pass over the training split."""

import math
import time
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from spikescan.data import Batch, Split
from spikescan.errors import InputError
from spikescan.neurons.auxiliary import auxiliary_losses
from spikescan.neurons.progress import follow_training
from spikescan.tasks import Task
from spikescan.training.averaging import AveragedWeights
from spikescan.training.evaluation import Share, bare, means, over_processes, shares, sums_over, trimmable
from spikescan.training.events import Event, Notice, Step
from spikescan.training.measure import NeuronMeter, measure
from spikescan.training.nonfinite import NonFiniteError, explain_nonfinite, nonfinite_gradients
from spikescan.training.order import shuffled
from spikescan.training.schedules import Schedule

__all__ = ["Learner", "Trained", "run_epoch"]

_STEPS_LOOKED_AT = 32
"""Time steps of a training batch from which the displayed firing rate is taken."""


@dataclass(frozen=True)
class Learner:
    """What one update needs.

    Args:
        model: as `fabric.setup` returned it.
        optimiser: as `fabric.setup` returned it.
        clip_norm: longest gradient; None does not clip.
        batch_size: samples an update, over all processes together.
        epochs: of the whole run, over which the schedule is stretched.
        seed: of the order of the samples and of everything random in the model.
        auxiliary_weight: of the sum of the neurons' auxiliary losses; that of the task keeps the rest of 1.
        bucket: whether samples of similar length share a batch.
        average: takes in the weights after each update.
    """

    fabric: Fabric
    model: nn.Module
    optimiser: torch.optim.Optimizer
    schedule: Schedule
    task: Task
    split: Split
    clip_norm: float | None
    batch_size: int
    epochs: int
    seed: int
    auxiliary_weight: float = 0.0
    bucket: bool = True
    average: AveragedWeights | None = None

    @property
    def steps(self) -> int:
        """Updates an epoch."""
        return math.ceil(len(self.split) / self.batch_size)


@dataclass(frozen=True)
class Trained:
    """Over one epoch and all processes: means over samples, or over scored steps where targets are a step."""

    loss: float
    """Of the task alone, as that of the validation."""
    score: float
    seconds: float
    neuron_steps_per_second: float
    learning_rate: float
    """At the last update."""


def run_epoch(learner: Learner, epoch: int) -> Generator[Event, None, Trained]:
    """Train for one epoch, counted from 1; a `Step` after each update, on the first process only."""
    fabric, split, steps = learner.fabric, learner.split, learner.steps
    order = _seed_epoch(learner, epoch)
    meter = NeuronMeter(stride=max(1, split.inputs.shape[1] // _STEPS_LOOKED_AT))
    sums = torch.zeros(3, device=fabric.device)
    reference = learner.task.reference(split)
    learning_rate = 0.0
    started = time.perf_counter()
    learner.model.train()
    with measure(bare(learner.model), meter):
        for number, share in enumerate(
            shares(order, learner.batch_size, fabric.global_rank, fabric.world_size), start=1
        ):
            step = (epoch - 1) * steps + number
            passed = (step - 1) / (learner.epochs * steps)
            learning_rate = _set_learning_rate(learner, passed)
            follow_training(bare(learner.model), passed)
            sums += _update(learner, share, f"epoch {epoch}, update {number} of {steps}")
            if fabric.is_global_zero:
                if number == 1:
                    yield from _unreached_parameters(bare(learner.model))
                seconds = time.perf_counter() - started
                loss, score = means(learner.task, sums, reference)
                rates = meter.rates(meter.totals(fabric.device))
                yield Step(
                    epoch=epoch,
                    step=step,
                    steps=learner.epochs * steps,
                    loss=loss,
                    score=score,
                    firing_rate=sum(rates.values()) / max(len(rates), 1),
                    neuron_steps_per_second=meter.neuron_steps * fabric.world_size / seconds,
                    seconds_left=seconds / number * (learner.epochs * steps - step),
                )
    seconds = time.perf_counter() - started
    loss, score = means(learner.task, over_processes(fabric, sums), reference)
    neuron_steps = meter.neuron_steps * fabric.world_size
    return Trained(loss, score, seconds, neuron_steps / seconds, learning_rate)


def _update(learner: Learner, share: Share, where: str) -> Tensor:
    """One update; the sums of losses, scores and weights."""
    trim = trimmable(bare(learner.model))
    batch = learner.split.batch(share.indices, trim=trim).to(learner.fabric.device)
    outputs, auxiliary = _run(learner, batch)
    losses = learner.task.losses(outputs, batch)
    minimised = losses
    if auxiliary is not None:
        # It is a mean over a sample's steps, and weighs as much as what the task sums over them.
        weights = learner.task.weights(batch.targets, batch.lengths)
        minimised = torch.lerp(losses, (weights * auxiliary).to(losses.dtype), learner.auxiliary_weight)
    # Processes average their gradients: weighted so, that average is the gradient of the mean over the whole batch.
    loss = minimised.sum() * (share.weight * learner.fabric.world_size / _total_weight(learner, share))
    if not loss.isfinite():
        raise NonFiniteError(f"The loss is {loss.item()} at {where}. {_explain(learner, batch)}")
    learner.optimiser.zero_grad()
    learner.fabric.backward(loss)
    _clip(learner, where)
    learner.optimiser.step()
    if learner.average:
        learner.average.update()
    return share.weight * sums_over(learner.task, losses, outputs, batch)


def _total_weight(learner: Learner, share: Share) -> float:
    """What the losses of the whole batch, over all processes, are divided by; 1 where nothing counts."""
    targets, lengths = learner.split.targets[share.batch], learner.split.lengths
    weights = learner.task.weights(targets, None if lengths is None else lengths[share.batch])
    return float(weights.sum()) or 1.0


def _run(learner: Learner, batch: Batch) -> tuple[Tensor, Tensor | None]:
    """The outputs, and the sum of the neurons' auxiliary losses ``[B]`` if they have a weight."""
    if learner.auxiliary_weight == 0.0:
        return learner.model(batch.inputs, None, batch.lengths)[0], None
    with auxiliary_losses() as collected:
        outputs, _ = learner.model(batch.inputs, None, batch.lengths)
    if not collected:
        raise InputError(
            f"auxiliary_weight is {learner.auxiliary_weight}, but no neuron of this model gave an auxiliary loss: mpe_psn has "
            f"one, unless it is compiled. Set auxiliary_weight to 0 for other neurons."
        )
    return outputs, torch.stack(collected).sum(0)


def _clip(learner: Learner, where: str) -> None:
    if learner.clip_norm is None:
        return
    # float16 has a gradient scaler, which skips an update that overflowed.
    scaled = learner.fabric.strategy.precision.precision == "16-mixed"
    try:
        learner.fabric.clip_gradients(
            learner.model, learner.optimiser, max_norm=learner.clip_norm, error_if_nonfinite=not scaled
        )
    except RuntimeError as error:
        names = nonfinite_gradients(bare(learner.model))
        if not names:
            raise
        raise NonFiniteError(
            f"The loss is finite, but the gradient is not at {where}: that of {names[0]}"
            + (f" and {len(names) - 1} more parameters." if len(names) > 1 else ".")
        ) from error


def _explain(learner: Learner, batch: Batch) -> str:
    with learner.fabric.autocast():
        return explain_nonfinite(bare(learner.model), batch)


def _seed_epoch(learner: Learner, epoch: int) -> Tensor:
    """Seed everything random of this epoch and return its order of samples.

    A function of seed, epoch and process: nothing needs to be saved for a resumed run to draw the same numbers.
    """
    torch.manual_seed(_mix(learner.seed, epoch, learner.fabric.global_rank))
    generator = torch.Generator().manual_seed(_mix(learner.seed, epoch))
    return shuffled(learner.split, learner.batch_size, generator, bucket=learner.bucket)


def _mix(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _set_learning_rate(learner: Learner, passed: float) -> float:
    """Put the learning rate of this fraction of the run into all groups; returns that of the first."""
    for group in learner.optimiser.param_groups:
        group["lr"] = group.setdefault("initial_lr", group["lr"]) * learner.schedule(passed)
    return float(learner.optimiser.param_groups[0]["lr"])


def _unreached_parameters(model: nn.Module) -> list[Event]:
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None]
    if not names:
        return []
    return [
        Notice(f"No gradient reaches {', '.join(names)}: the loss does not depend on them, and they stay as they are.")
    ]
