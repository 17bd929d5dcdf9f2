"""What a kind of problem asks of a model."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from spikescan.data.dataset import Batch, Dataset

__all__ = ["Task"]


class Task(ABC):
    """Loss and score of one kind of problem, a value for each sample.

    One value a sample, not their mean, so that sums over batches and over processes are exact.
    """

    score_name: ClassVar[str]
    """What the score is called in tables and metrics; higher is better."""

    @abstractmethod
    def outputs(self, dataset: Dataset) -> int:
        """How many channels the model must give out."""

    @abstractmethod
    def losses(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The loss ``[B]`` of the model's output ``[T, B, K]``."""

    @abstractmethod
    def scores(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The score ``[B]`` of the model's output ``[T, B, K]``, without gradient."""
