"""Loss, score and firing rates over a split."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from spikescan.data import Split
from spikescan.tasks import Task
from spikescan.training.measure import NeuronMeter, measure

__all__ = ["Evaluation", "Share", "bare", "evaluate", "over_processes", "shares"]


@dataclass(frozen=True)
class Evaluation:
    """Means over the samples of a split."""

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
    total: int
    """Samples in the whole batch, over all processes."""


def shares(order: Tensor, batch_size: int, rank: int, world_size: int) -> Iterator[Share]:
    """Cut `order` into batches and take this process's part of each."""
    for batch in torch.split(order, batch_size):
        mine = batch[rank::world_size]
        yield Share(mine if len(mine) else batch[:1], float(len(mine) > 0), len(batch))


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
    """
    meter = NeuronMeter()
    sums = torch.zeros(2, device=fabric.device)
    was_training = bare(model).training  # what fabric wraps around the network starts in training mode
    model.eval()
    with torch.no_grad(), measure(bare(model), meter):
        for share in shares(torch.arange(len(split)), batch_size, fabric.global_rank, fabric.world_size):
            meter.weight = share.weight
            batch = split.batch(share.indices).to(fabric.device)
            outputs, _ = model(batch.inputs, None, batch.lengths)
            sums += share.weight * torch.stack([task.losses(outputs, batch).sum(), task.scores(outputs, batch).sum()])
    model.train(was_training)
    loss, score = (total / len(split) for total in over_processes(fabric, sums).tolist())
    rates = meter.rates(over_processes(fabric, meter.totals(fabric.device)))
    return Evaluation(len(split), loss, score, rates)
