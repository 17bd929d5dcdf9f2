"""One class for each sequence."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from spikescan.data.dataset import Batch, Dataset
from spikescan.errors import InputError
from spikescan.layers import final_step
from spikescan.tasks.task import Task, class_count

__all__ = ["Classification", "check_class_options", "class_weight_tensor"]


@dataclass(frozen=True)
class Classification(Task):
    """Cross-entropy and accuracy of the output at each sample's last valid step.

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
        return class_count(self, dataset, step_targets=False)

    def losses(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy, in nats."""
        logits = final_step(outputs, batch.lengths)
        weight = class_weight_tensor(self.class_weights, logits)
        return F.cross_entropy(
            logits, batch.targets, weight=weight, reduction="none", label_smoothing=self.label_smoothing
        )

    def scores(self, outputs: Tensor, batch: Batch) -> Tensor:
        """1 where the largest output is that of the target, else 0."""
        return (final_step(outputs, batch.lengths).detach().argmax(-1) == batch.targets).float()


def check_class_options(label_smoothing: float, class_weights: list[float] | None) -> None:
    """Raise `InputError` for what no loss over classes can take."""
    if not 0.0 <= label_smoothing < 1.0:
        raise InputError(f"label_smoothing is {label_smoothing}, expected at least 0 and below 1.")
    if class_weights is not None and not all(weight >= 0.0 for weight in class_weights):
        raise InputError(f"class_weights are {class_weights}, expected a number of at least 0 for each class.")


def class_weight_tensor(class_weights: list[float] | None, logits: Tensor) -> Tensor | None:
    """The weights beside logits ``[B, K, *]``, one for each of the K classes."""
    if class_weights is None:
        return None
    if len(class_weights) != logits.shape[1]:
        raise InputError(
            f"class_weights has {len(class_weights)} numbers, expected one for each of {logits.shape[1]} classes."
        )
    return logits.new_tensor(class_weights)
