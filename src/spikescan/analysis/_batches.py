"""A split in batches that fit in memory, however many, long and wide its samples are."""

from collections.abc import Iterator

import torch
from torch import Tensor

from spikescan.analysis.recording import record
from spikescan.data import Batch, Split
from spikescan.neurons.base import Temporal

__all__ = ["batch_size", "batches"]

_SAMPLES = 100
_NUMBERS = 1 << 25
"""In the inputs, which may be one-hot, the outputs and the spikes of all layers of a batch."""


def batches(model: Temporal, split: Split, order: Tensor) -> Iterator[Batch]:
    """The samples at `order`; cut to the longest of a batch if the model allows it."""
    for indices in torch.split(order, batch_size(model, split)):
        yield split.batch(indices, trim=not model.length_bound)


def batch_size(model: Temporal, split: Split) -> int:
    """Samples at once, of a split that has some; found by running one of them at full length."""
    batch = split.batch(slice(0, 1))
    run = record(model, batch.inputs, lengths=batch.lengths, traces=False)
    numbers = sum(values.numel() for values in (run.x, run.output, *(layer.spikes for layer in run.layers.values())))
    return max(1, min(_SAMPLES, _NUMBERS // max(numbers, 1)))
