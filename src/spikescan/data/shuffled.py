"""Samples without their order in time: what a network still learns of them needs no memory of when things came."""

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from spikescan.data.dataset import Batch, Dataset, Split

__all__ = ["ShuffledSplit", "shuffle_time"]


def shuffle_time(dataset: Dataset, seed: int = 0) -> Dataset:
    """Every sample of every split with its valid time steps in an order of its own; targets a step move with their steps.

    Args:
        dataset: the samples, each as it is encoded and augmented.
        seed: of the orders. They do not depend on the batch that a sample is in, nor on the epoch.
    """

    def shuffled(split: Split, part: int) -> ShuffledSplit:
        values = {field.name: getattr(split, field.name) for field in fields(Split)}
        return ShuffledSplit(**values, seed=3 * seed + part)

    return replace(
        dataset,
        name=f"{dataset.name}, time shuffled",
        train=shuffled(dataset.train, 0),
        validation=shuffled(dataset.validation, 1),
        test=shuffled(dataset.test, 2),
    )


@dataclass(frozen=True)
class ShuffledSplit(Split):
    """A split whose batches have their time shuffled, after encoding and augmentation.

    Args:
        seed: of the orders.
    """

    seed: int = 0

    def batch(self, indices: Tensor | slice, *, trim: bool = False) -> Batch:
        """The samples at `indices`, as `Split.batch` has them, each in its order."""
        batch = super().batch(indices, trim=trim)
        order = self.order(torch.arange(len(self))[indices], len(batch.inputs), batch.lengths)
        inputs = batch.inputs.gather(0, _like(order.t(), batch.inputs))
        targets = batch.targets
        return Batch(
            inputs, targets.gather(1, _like(order, targets)) if self.has_step_targets else targets, batch.lengths
        )

    def order(self, indices: Tensor, steps: int, lengths: Tensor | None) -> Tensor:
        """The places ``[n, steps]`` from which the steps of samples are taken; those beyond a sample's length stay."""
        time = torch.arange(steps)
        keys = _mix(_mix(_mix(torch.tensor(self.seed)) + indices.unsqueeze(1)) + time)
        if lengths is not None:
            keys = keys.masked_fill(time >= lengths.unsqueeze(1), torch.iinfo(torch.int64).max)
        return torch.argsort(keys, dim=1, stable=True)


def _like(order: Tensor, values: Tensor) -> Tensor:
    """An index ``[a, b]`` for all that ``values [a, b, *]`` has there."""
    return order.view(*order.shape, *[1] * (values.dim() - 2)).expand(*order.shape, *values.shape[2:])


def _mix(x: Tensor) -> Tensor:
    """SplitMix64's next (Steele et al. 2014): neighbouring int64 to unrelated ones, the same on every machine."""
    x = x + -7046029254386353131  # 0x9e3779b97f4a7c15
    x = (x ^ _shift(x, 30)) * -4658895280553007687  # 0xbf58476d1ce4e5b9
    x = (x ^ _shift(x, 27)) * -7723592293110705685  # 0x94d049bb133111eb
    return x ^ _shift(x, 31)


def _shift(x: Tensor, bits: int) -> Tensor:
    """To the right, as of an unsigned number."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
