"""A dataset as plain tensors, and the batches that are cut from it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from spikescan.errors import DataError

__all__ = ["Batch", "Dataset", "Split", "check_finite"]


@dataclass(frozen=True)
class Batch:
    """What a model sees at once.

    Args:
        inputs: ``[T, B, C, *]``.
        targets: ``[B, *]``, read by the task.
        lengths: int64 ``[B]``, valid steps of each sample; None means that all steps are valid.
    """

    inputs: Tensor
    targets: Tensor
    lengths: Tensor | None = None

    def to(self, device: torch.device | str) -> Self:
        """The same batch on another device."""
        lengths = None if self.lengths is None else self.lengths.to(device)
        return type(self)(self.inputs.to(device), self.targets.to(device), lengths)


@dataclass(frozen=True)
class Split:
    """One part of a dataset: train, validation or test.

    Samples come first here, so that a batch is one gather of contiguous samples; `batch` hands them out time first.

    Args:
        inputs: ``[N, T, C, *]``.
        targets: ``[N, *]``.
        lengths: int64 ``[N]``, valid steps of each sample; None means that all steps are valid.
        augment: changes the inputs ``[n, T, C, *]`` of a batch at random each time it is cut, by torch's own generator;
            None leaves them as they are. Only a training split has one.
    """

    inputs: Tensor
    targets: Tensor
    lengths: Tensor | None = None
    augment: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        if self.inputs.dim() < 3:
            raise DataError(
                f"inputs are {list(self.inputs.shape)}, expected [N, T, C, *]: samples, time steps, channels."
            )
        tensors = {"inputs": self.inputs, "targets": self.targets, "lengths": self.lengths}
        counts = {name: len(tensor) for name, tensor in tensors.items() if tensor is not None}
        if len(set(counts.values())) > 1:
            raise DataError(f"The number of samples differs: {counts}.")
        if self.lengths is not None and len(self) > 0:
            low, high, steps = int(self.lengths.min()), int(self.lengths.max()), self.inputs.shape[1]
            if low < 1 or high > steps:
                raise DataError(f"lengths run from {low} to {high}, but a sample has 1 to {steps} valid time steps.")

    def __len__(self) -> int:
        return len(self.inputs)

    def batch(self, indices: Tensor | slice) -> Batch:
        """The samples at `indices`, time first."""
        lengths = None if self.lengths is None else self.lengths[indices]
        inputs = self.inputs[indices]
        if self.augment is not None:
            inputs = self.augment(inputs)
        return Batch(inputs.transpose(0, 1).contiguous(), self.targets[indices], lengths)


@dataclass(frozen=True)
class Dataset:
    """Three splits of one kind of sample.

    Training reads `train`; the choice of a model and early stopping read `validation`; `test` is read once, at the end.

    Args:
        name: how reports call it.
        classes: how many classes the targets distinguish.
    """

    name: str
    classes: int
    train: Split
    validation: Split
    test: Split

    @property
    def time_steps(self) -> int:
        """T, the time steps of a sample."""
        return self.train.inputs.shape[1]

    @property
    def channels(self) -> int:
        """C, the input channels of a time step."""
        return self.train.inputs.shape[2]


def check_finite(dataset: Dataset) -> None:
    """Raise `DataError` naming the split, sample and time step of the first input that is NaN or infinite."""
    for name in ("train", "validation", "test"):
        bad = (~torch.isfinite(getattr(dataset, name).inputs)).flatten(2).any(-1).nonzero()
        if len(bad):
            sample, step = bad[0].tolist()
            raise DataError(
                f"{dataset.name}: sample {sample} of the {name} split is NaN or infinite at time step {step} "
                f"({len(bad)} such steps in all). Repair or drop these samples before training."
            )
