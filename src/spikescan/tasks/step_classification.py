"""A class at every step: labels over time, and the next token of a text."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from spikescan.data.dataset import NOT_SCORED, Batch, Dataset
from spikescan.tasks.classification import check_class_options, class_weight_tensor
from spikescan.tasks.task import Task, class_count

__all__ = ["Language", "StepClassification"]


@dataclass(frozen=True)
class StepClassification(Task):
    """Cross-entropy and accuracy over all scored steps: valid ones whose target is not -100.

    Args:
        label_smoothing: the share of the target spread evenly over all classes, at least 0 and below 1.
        class_weights: a factor on the loss for each class; a recipe may say balanced for those that give the classes of the
            training split equal shares; null for 1.
    """

    label_smoothing: float = 0.0
    class_weights: list[float] | None = None

    score_name = "accuracy"

    def __post_init__(self) -> None:
        check_class_options(self.label_smoothing, self.class_weights)

    def outputs(self, dataset: Dataset) -> int:
        """One channel a class."""
        return class_count(self, dataset, step_targets=True)

    def losses(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy in nats, summed over the scored steps."""
        targets = _scored(batch.targets, batch.lengths)
        return _cross_entropy(outputs, targets, self.label_smoothing, self.class_weights)

    def scores(self, outputs: Tensor, batch: Batch) -> Tensor:
        """In how many scored steps the largest output is that of the target."""
        # No class is negative, so a step that is not scored never counts.
        return (outputs.detach().argmax(-1).t() == _scored(batch.targets, batch.lengths)).sum(1).float()

    def weights(self, targets: Tensor, lengths: Tensor | None) -> Tensor:
        """The scored steps."""
        return _scored_steps(targets, lengths)


@dataclass(frozen=True)
class Language(Task):
    """Cross-entropy of the next token, in nats; the targets are the inputs' tokens shifted by one step, -100 where none.

    Args:
        score_as: bits or nats a token, or perplexity = exp(nats).
    """

    score_as: Literal["bits", "nats", "perplexity"] = "perplexity"

    higher_is_better = False

    @property
    def score_name(self) -> str:  # type: ignore[override]
        """As chosen."""
        return self.score_as

    def outputs(self, dataset: Dataset) -> int:
        """One channel a token."""
        return class_count(self, dataset, step_targets=True)

    def losses(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy in nats, summed over the scored steps."""
        return _cross_entropy(outputs, _scored(batch.targets, batch.lengths))

    def scores(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The loss."""
        return self.losses(outputs.detach(), batch)

    def weights(self, targets: Tensor, lengths: Tensor | None) -> Tensor:
        """The scored steps."""
        return _scored_steps(targets, lengths)

    def score(self, mean: float, reference: float) -> float:
        """From the mean nats a token; a perplexity beyond all numbers is infinite."""
        if self.score_as == "perplexity":
            return math.exp(mean) if mean < 700.0 else math.inf
        return mean / math.log(2.0) if self.score_as == "bits" else mean


def _scored(targets: Tensor, lengths: Tensor | None) -> Tensor:
    """Targets ``[B, T]`` with `NOT_SCORED` beyond each sample's length."""
    if lengths is None:
        return targets
    return targets.masked_fill(
        torch.arange(targets.shape[1], device=targets.device) >= lengths.unsqueeze(1), NOT_SCORED
    )


def _scored_steps(targets: Tensor, lengths: Tensor | None) -> Tensor:
    return (_scored(targets, lengths) != NOT_SCORED).sum(1).float()


def _cross_entropy(
    outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0, class_weights: list[float] | None = None
) -> Tensor:
    """Of outputs ``[T, B, K]`` against targets ``[B, T]``, summed over the scored steps: ``[B]``."""
    logits = outputs.permute(1, 2, 0)
    weight = class_weight_tensor(class_weights, logits)
    each = F.cross_entropy(
        logits, targets, weight=weight, ignore_index=NOT_SCORED, reduction="none", label_smoothing=label_smoothing
    )
    return each.sum(1)
