"""A dataset as plain tensors, and the batches that are cut from it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from spikescan.data.sources import Source
from spikescan.errors import DataError

__all__ = ["NOT_SCORED", "Batch", "Dataset", "Scaling", "Split", "check_finite"]

NOT_SCORED = -100
"""The class of a step that neither loss nor score looks at."""


@dataclass(frozen=True)
class Batch:
    """What a model sees at once.

    Args:
        inputs: ``[T, B, C, *]``.
        targets: as in `Split`, samples first.
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

    Targets are one of four kinds:

    ========== =========================================================== ==================
    .          classes                                                     real numbers
    ========== =========================================================== ==================
    a sample   int64 ``[N]``                                               float ``[N, K]``
    a step     int64 ``[N, T]``, `NOT_SCORED` (-100) where none is asked   float ``[N, T, K]``
    ========== =========================================================== ==================

    Args:
        inputs: ``[N, T, C, *]``; or what `encode` makes that of, ``[N, T, *]`` in a compact type.
        targets: see above; what steps beyond a sample's length hold is not read.
        lengths: int64 ``[N]``, valid steps of each sample; None means that all steps are valid.
        augment: changes a batch at random each time it is cut, by torch's own generator; it may change targets and lengths with
            the inputs, and T up to that of the split, but not B. None leaves batches as they are. Only a training split has
            one.
        encode: makes the float32 inputs ``[n, T, C, *]`` of a batch from stored ones, before `augment`; None if they
            are stored so.
    """

    inputs: Tensor
    targets: Tensor
    lengths: Tensor | None = None
    augment: Callable[[Batch], Batch] | None = None
    encode: Callable[[Tensor], Tensor] | None = None

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

    @property
    def has_step_targets(self) -> bool:
        """Whether each step has a target of its own, not each sample."""
        return self.targets.dim() == (3 if self.targets.is_floating_point() else 2)

    def batch(self, indices: Tensor | slice, *, trim: bool = False) -> Batch:
        """The samples at `indices`, time first; with `trim` no longer than the longest of them."""
        inputs, targets = self.inputs[indices], self.targets[indices]
        lengths = None if self.lengths is None else self.lengths[indices]
        if trim and lengths is not None and len(lengths):
            longest = int(lengths.max())
            inputs = inputs[:, :longest]
            targets = targets[:, :longest] if self.has_step_targets else targets
        inputs = inputs if self.encode is None else self.encode(inputs)
        batch = Batch(inputs.transpose(0, 1).contiguous(), targets, lengths)
        return batch if self.augment is None else self.augment(batch)

    def encoded(self, indices: Tensor | slice) -> Tensor:
        """The inputs ``[n, T, C, *]`` of the samples at `indices`, without augmentation."""
        inputs = self.inputs[indices]
        return inputs if self.encode is None else self.encode(inputs)


@dataclass(frozen=True)
class Scaling:
    """(x - mean) / deviation, for each channel: what was done to all inputs of a dataset, and so has to be done to a stream.

    Args:
        mean: ``[C, *]``.
        deviation: ``[C, *]``, above 0.
    """

    mean: Tensor
    deviation: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """``[..., C, *]`` scaled."""
        return (x - self.mean.to(x)) / self.deviation.to(x)

    def undone(self, x: Tensor) -> Tensor:
        """``[..., C, *]`` as it was before."""
        return x * self.deviation.to(x) + self.mean.to(x)


@dataclass(frozen=True)
class Dataset:
    """Three splits of one kind of sample.

    Training reads `train`; the choice of a model and early stopping read `validation`; `test` is read once, at the end.

    Args:
        name: how reports call it.
        classes: how many classes the targets distinguish; None for real targets.
        values: K, the real numbers of a target; None for classes.
        scaling: what was done to the inputs after they were read; None for nothing that a stream would have to repeat.
        source: what the samples were before they became sequences; None where nothing is known.
        class_names: what the classes are called; None for their numbers.

    Raises:
        DataError: the targets of a split are not what `classes` or `values` says (`Split` has the table).
    """

    name: str
    classes: int | None
    train: Split
    validation: Split
    test: Split
    values: int | None = None
    scaling: Scaling | None = None
    source: Source | None = None
    class_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if (self.classes is None) == (self.values is None):
            raise DataError(
                f"{self.name}: classes is {self.classes} and values is {self.values}; give the one that the targets "
                f"are: classes=10, or classes=None, values=1 for real numbers."
            )
        if self.class_names is not None and len(self.class_names) != self.classes:
            raise DataError(f"{self.name}: {len(self.class_names)} class_names for {self.classes} classes.")
        for name in ("train", "validation", "test"):
            _check_targets(f"{self.name}, {name} split", getattr(self, name), self.classes, self.values)

    @property
    def has_step_targets(self) -> bool:
        """Whether each step has a target of its own, not each sample."""
        return self.train.has_step_targets

    @property
    def time_steps(self) -> int:
        """T, the time steps of a sample."""
        return self.train.inputs.shape[1]

    @property
    def channels(self) -> int:
        """C, the input channels of a time step."""
        return self.train.encoded(slice(0, 1)).shape[2]


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
        targets = getattr(dataset, name).targets
        targets = targets if targets.dim() > 1 else targets.unsqueeze(1)
        missing = (~torch.isfinite(targets)).flatten(1).any(-1).nonzero()
        if len(missing):
            raise DataError(
                f"{dataset.name}: the target of sample {int(missing[0])} of the {name} split is NaN or infinite "
                f"({len(missing)} such samples in all). Repair or drop these samples before training."
            )


def _check_targets(owner: str, split: Split, classes: int | None, values: int | None) -> None:
    """Raise unless the targets are of one of the kinds in `Split`."""
    targets, (n, steps) = split.targets, split.inputs.shape[:2]
    given = f"{owner}: targets are {targets.dtype} {list(targets.shape)}"
    if classes is not None:
        if targets.dtype != torch.int64 or targets.shape not in ((n,), (n, steps)):
            raise DataError(f"{given}, expected classes: int64 [{n}], one a sample, or [{n}, {steps}], one a step.")
        wrong = targets[(targets < 0) | (targets >= classes)]
        wrong = wrong if targets.dim() == 1 else wrong[wrong != NOT_SCORED]
        if len(wrong):
            unscored = f", or {NOT_SCORED} for a step without one" if targets.dim() == 2 else ""
            raise DataError(
                f"{owner}: a target is {int(wrong[0])}, expected a class from 0 to {classes - 1}{unscored}."
            )
    elif not targets.is_floating_point() or targets.shape not in ((n, values), (n, steps, values)):
        raise DataError(
            f"{given}, expected real numbers: float [{n}, {values}], a row a sample, or [{n}, {steps}, {values}], "
            f"a row a step."
        )
