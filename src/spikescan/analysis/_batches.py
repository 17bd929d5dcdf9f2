"""A split in batches that fit in memory, however many and long its samples are."""

from collections.abc import Iterator

import torch
from torch import Tensor

from spikescan.data import Batch, Split
from spikescan.neurons.base import Temporal

__all__ = ["batch_size", "batches"]

_SAMPLES = 100
_STEPS = 50_000
"""Time steps times samples: the spikes of all layers are in memory for so many."""
_NUMBERS = 1 << 24
"""Of the inputs, which may be one-hot."""


def batches(model: Temporal, split: Split, order: Tensor) -> Iterator[Batch]:
    """The samples at `order`, none augmented if the split is not; cut to the longest of a batch if the model allows it."""
    for indices in torch.split(order, batch_size(split)):
        yield split.batch(indices, trim=not model.length_bound)


def batch_size(split: Split) -> int:
    """Samples at once, of a split that has some."""
    sample = split.encoded(slice(0, 1))
    steps, numbers = max(sample.shape[1], 1), max(sample.numel(), 1)
    return max(1, min(_SAMPLES, _STEPS // steps, _NUMBERS // numbers))
