"""One class for each sequence."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from spikescan.data.dataset import Batch, Dataset
from spikescan.errors import InputError
from spikescan.layers import final_step
from spikescan.tasks.task import Task

__all__ = ["Classification"]


@dataclass(frozen=True)
class Classification(Task):
    """Cross-entropy and accuracy of the output at each sample's last valid step.

    Args:
        label_smoothing: the share of the target spread evenly over all classes, at least 0 and below 1.
    """

    label_smoothing: float = 0.0

    score_name = "accuracy"

    def __post_init__(self) -> None:
        if not 0.0 <= self.label_smoothing < 1.0:
            raise InputError(f"label_smoothing is {self.label_smoothing}, expected at least 0 and below 1.")

    def outputs(self, dataset: Dataset) -> int:
        """One channel a class."""
        return dataset.classes

    def losses(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy, in nats."""
        logits = final_step(outputs, batch.lengths)
        return F.cross_entropy(logits, batch.targets, reduction="none", label_smoothing=self.label_smoothing)

    def scores(self, outputs: Tensor, batch: Batch) -> Tensor:
        """1 where the largest output is that of the target, else 0."""
        return (final_step(outputs, batch.lengths).detach().argmax(-1) == batch.targets).float()
