"""Loss, score and firing rates over a split."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from spikescan.data import Batch, Split
from spikescan.errors import InputError
from spikescan.tasks import Task
from spikescan.training.measure import NeuronMeter, measure
from spikescan.training.order import by_length

__all__ = [
    "Evaluation",
    "Share",
    "bare",
    "evaluate",
    "means",
    "over_processes",
    "shares",
    "sums_over",
    "trimmable",
]


@dataclass(frozen=True)
class Evaluation:
    """Over a split: means over its samples, or over their scored steps where targets are a step."""

    samples: int
    loss: float
    score: float
    firing_rates: dict[str, float]
    """Spikes a neuron and time step, by layer."""


@dataclass(frozen=True)
class Share:
    """What one process takes of a batch."""

    indices: Tensor
    weight: float
    """1; or 0 for a process that found no sample left and runs one idly, since all must take part in every exchange."""
    batch: Tensor
    """The indices of the whole batch, over all processes."""


def shares(order: Tensor, batch_size: int, rank: int, world_size: int) -> Iterator[Share]:
    """Cut `order` into batches and take this process's part of each."""
    for batch in torch.split(order, batch_size):
        mine = batch[rank::world_size]
        yield Share(mine if len(mine) else batch[:1], float(len(mine) > 0), batch)


def bare(model: nn.Module) -> nn.Module:
    """The network within what `fabric.setup` returned."""
    network = model.module
    assert isinstance(network, nn.Module)
    return network


def over_processes(fabric: Fabric, sums: Tensor) -> Tensor:
    """The sum over all processes."""
    reduced = fabric.all_reduce(sums, reduce_op="sum")
    assert isinstance(reduced, Tensor)
    return reduced


def evaluate(fabric: Fabric, model: nn.Module, task: Task, split: Split, batch_size: int) -> Evaluation:
    """Run a model over all of a split without gradients, in eval mode; its mode is put back afterwards.

    Args:
        fabric: launched.
        model: as `fabric.setup` returned it.
        task: loss and score.
        split: the samples.
        batch_size: samples at once, over all processes together; it does not change the result.

    Raises:
        InputError: `batch_size` is less than 1.
    """
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}, expected at least 1.")
    meter = NeuronMeter()
    sums = torch.zeros(3, device=fabric.device)
    network = bare(model)
    was_training = network.training  # what fabric wraps around the network starts in training mode
    model.eval()
    with torch.no_grad(), measure(network, meter):
        for share in shares(by_length(split), batch_size, fabric.global_rank, fabric.world_size):
            meter.weight = share.weight
            batch = split.batch(share.indices, trim=trimmable(network)).to(fabric.device)
            outputs, _ = model(batch.inputs, None, batch.lengths)
            sums += share.weight * sums_over(task, task.losses(outputs, batch), outputs, batch)
    model.train(was_training)
    loss, score = means(task, over_processes(fabric, sums), task.reference(split))
    rates = meter.rates(over_processes(fabric, meter.totals(fabric.device)))
    return Evaluation(len(split), loss, score, rates)


def sums_over(task: Task, losses: Tensor, outputs: Tensor, batch: Batch) -> Tensor:
    """Over a batch, the sums ``[3]`` of losses, scores and weights."""
    weights = task.weights(batch.targets, batch.lengths)
    return torch.stack([losses.detach().sum(), task.scores(outputs, batch).sum(), weights.sum()]).float()


def means(task: Task, sums: Tensor, reference: float) -> tuple[float, float]:
    """Loss and score from the sums over any batches; 0 is divided by 1, where nothing counts."""
    losses, scores, weights = sums.tolist()
    weights = weights or 1.0
    return losses / weights, task.score(scores / weights, reference)


def trimmable(network: nn.Module) -> bool:
    """Whether batches may be cut to their longest sample: not for neurons that are bound to a number of time steps."""
    return not getattr(network, "length_bound", True)
