"""What a kind of problem asks of a model."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from spikescan.data.dataset import Batch, Dataset, Split
from spikescan.errors import InputError

__all__ = ["Task", "class_count", "value_count"]


class Task(ABC):
    """Loss and score of one kind of problem: sums for each sample, and what they are divided by.

    Over any samples, the mean loss is ``sum(losses) / sum(weights)``. Sums a sample, not means, so that sums over batches and
    over processes are exact, and a mean over steps counts every step alike however long the samples are.
    """

    score_name: str
    """What the score is called in tables and metrics."""
    higher_is_better: bool = True
    """Of the score."""

    @abstractmethod
    def outputs(self, dataset: Dataset) -> int:
        """How many channels the model must give out."""

    @abstractmethod
    def losses(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The loss ``[B]`` of the model's output ``[T, B, K]``, summed over what counts of each sample."""

    @abstractmethod
    def scores(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The score ``[B]`` of the model's output ``[T, B, K]``, summed likewise, without gradient."""

    def weights(self, targets: Tensor, lengths: Tensor | None) -> Tensor:
        """How much of each sample counts, float32 ``[B]``: 1 for a target a sample, the scored steps for one a step."""
        return torch.ones(len(targets), device=targets.device)

    def reference(self, split: Split) -> float:
        """What the targets of a split alone say that `score` needs, such as their variance."""
        return 1.0

    def score(self, mean: float, reference: float) -> float:
        """The score that is shown, from ``sum(scores) / sum(weights)`` and the split's `reference`."""
        return mean


def class_count(task: Task, dataset: Dataset, *, step_targets: bool) -> int:
    """The classes of a dataset; raises `InputError` unless its targets are classes, a sample or a step as said."""
    _check_fits(task, dataset, "classes", step_targets)
    assert dataset.classes is not None
    return dataset.classes


def value_count(task: Task, dataset: Dataset, *, step_targets: bool) -> int:
    """The real numbers of a target; raises `InputError` unless targets are such, a sample or a step as said."""
    _check_fits(task, dataset, "values", step_targets)
    assert dataset.values is not None
    return dataset.values


def _check_fits(task: Task, dataset: Dataset, kind: str, step_targets: bool) -> None:
    def words(kind: str, step_targets: bool) -> str:
        return f"{'a class' if kind == 'classes' else 'real numbers'} a {'step' if step_targets else 'sample'}"

    given = ("classes" if dataset.values is None else "values", dataset.has_step_targets)
    if given != (kind, step_targets):
        fitting = ("step_" if given[1] else "") + ("classification" if given[0] == "classes" else "regression")
        raise InputError(
            f"{type(task).__name__} needs {words(kind, step_targets)}, but the targets of {dataset.name} are "
            f"{words(*given)}: --task.name {fitting}."
        )
