"""In which order samples come, and batches of samples that are about equally long."""

import torch
from torch import Tensor

from spikescan.data import Split

__all__ = ["by_length", "shuffled"]

_POOL = 32
"""Batches among whose samples those of similar length are brought together; more leave less padding and less chance."""


def shuffled(split: Split, batch_size: int, generator: torch.Generator, *, bucket: bool) -> Tensor:
    """All samples of a split in random order.

    With `bucket`, where samples differ in length: the shuffled samples are cut into pools of a few batches, each pool is
    sorted by length and cut into batches, and the batches are shuffled. Every batch then holds samples of similar length, and
    which they are changes with the draw. Samples that fill no batch come last.
    """
    order = torch.randperm(len(split), generator=generator)
    if not bucket or split.lengths is None:
        return order
    lengths = split.lengths[order]
    # Before the sort, so that the last, smaller batch is no place for the longest samples.
    whole = len(order) - len(order) % batch_size
    pool = torch.arange(whole) // (_POOL * batch_size)
    # One stable sort by pool, then length.
    within = lengths[:whole].argsort(stable=True)
    within = within[pool[within].argsort(stable=True)]
    batches = order[within].view(-1, batch_size)
    return torch.cat([batches[torch.randperm(len(batches), generator=generator)].flatten(), order[whole:]])


def by_length(split: Split) -> Tensor:
    """All samples of a split, the shortest first; as they stand where all are equally long."""
    return torch.arange(len(split)) if split.lengths is None else split.lengths.argsort(stable=True)
