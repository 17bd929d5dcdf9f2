"""Real numbers for each sequence, or at every step."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from spikescan.data.dataset import Batch, Dataset, Split
from spikescan.errors import InputError
from spikescan.layers import final_step
from spikescan.tasks.task import Task, value_count

__all__ = ["Imitation", "Regression", "StepRegression"]


@dataclass(frozen=True)
class _Squared(Task):
    r"""What both regressions share: the squared error and the scores made of it.

    Over the targets y of a split and the outputs z, sums over samples, steps and columns (the K numbers of a target):

    .. math:: R^2 = 1 - \frac{\sum (z - y)^2}{\sum (y - \bar y)^2}, \quad
        \mathrm{RSE} = \sqrt{\frac{\sum (z - y)^2}{\sum (y - \bar y_k)^2}}

    with the mean over everything in R2 and the mean of each column in RSE, both of the evaluated split, as in SeqSNN (Lv et
    al., ICML 2024). R2 is therefore not 1 - RSE^2 where columns differ in level.

    Args:
        score_as: r2, rse or mse.
        huber: errors beyond it count linearly in the loss, not squared, so that outliers pull less (Huber, 1964); in units of
            the targets. Scores are of squared errors all the same. None squares them all.
    """

    score_as: Literal["r2", "rse", "mse"] = "r2"
    huber: float | None = None

    def __post_init__(self) -> None:
        if self.huber is not None and not 0.0 < self.huber < math.inf:
            raise InputError(f"huber is {self.huber}, expected more than 0, such as 0.5, or None for squared errors.")

    @property
    def score_name(self) -> str:  # type: ignore[override]
        """As chosen."""
        return self.score_as

    @property
    def higher_is_better(self) -> bool:  # type: ignore[override]
        """Of R2 alone."""
        return self.score_as == "r2"

    @abstractmethod
    def _differences(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Of the outputs from the targets, with the K numbers last."""

    @abstractmethod
    def _reduced(self, errors: Tensor, batch: Batch) -> Tensor:
        """The errors of the differences to one number a sample, ``[B]``."""

    def losses(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The squared error, or Huber's."""
        differences = self._differences(outputs, batch)
        if self.huber is None:
            return self._reduced(differences.square(), batch)
        # Twice what torch computes: half a square begins it, and here small errors count as without it.
        errors = F.huber_loss(differences, torch.zeros_like(differences), reduction="none", delta=self.huber)
        return self._reduced(2.0 * errors, batch)

    def scores(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The squared error."""
        return self._reduced(self._differences(outputs.detach(), batch).square(), batch)

    def reference(self, split: Split) -> float:
        """The mean squared distance of the targets from their mean: over everything for r2, of each column for rse."""
        rows = _rows(split)
        center = rows.mean() if self.score_as == "r2" else rows.mean(0)
        return float((rows - center).square().mean())

    def score(self, mean: float, reference: float) -> float:
        """From the mean squared error; targets that are all alike have neither r2 nor rse: NaN."""
        if self.score_as == "mse":
            return mean
        share = mean / reference if reference > 0.0 else math.nan
        return 1.0 - share if self.score_as == "r2" else math.sqrt(share)


@dataclass(frozen=True)
class Regression(_Squared):
    """Squared error of the output at each sample's last valid step, averaged over its K numbers.

    Args:
        score_as: r2 (1 - squared error / variance about the grand mean), rse (root of squared error / variance about the mean
            of each of the K columns) or mse.
        huber: errors beyond it count linearly in the loss, not squared, so that outliers pull less (Huber, 1964); in units of
            the targets. Scores are of squared errors all the same. None squares them all.
    """

    def outputs(self, dataset: Dataset) -> int:
        """One channel a number."""
        return value_count(self, dataset, step_targets=False)

    def _differences(self, outputs: Tensor, batch: Batch) -> Tensor:
        """``[B, K]``."""
        return final_step(outputs, batch.lengths) - batch.targets

    def _reduced(self, errors: Tensor, batch: Batch) -> Tensor:
        """The mean over the K numbers."""
        return errors.mean(-1)


@dataclass(frozen=True)
class StepRegression(_Squared):
    """Squared error over all valid steps, averaged over the K numbers of each.

    Args:
        score_as: r2 (1 - squared error / variance about the grand mean), rse (root of squared error / variance about the mean
            of each of the K columns) or mse.
        huber: errors beyond it count linearly in the loss, not squared, so that outliers pull less (Huber, 1964); in units of
            the targets. Scores are of squared errors all the same. None squares them all.
    """

    def outputs(self, dataset: Dataset) -> int:
        """One channel a number."""
        return value_count(self, dataset, step_targets=True)

    def _differences(self, outputs: Tensor, batch: Batch) -> Tensor:
        """``[B, T, K]``."""
        return outputs.transpose(0, 1) - batch.targets

    def _reduced(self, errors: Tensor, batch: Batch) -> Tensor:
        """The mean over the K numbers, summed over the valid steps."""
        return _over_steps(errors.mean(-1), batch.lengths)

    def weights(self, targets: Tensor, lengths: Tensor | None) -> Tensor:
        """The valid steps."""
        return _steps(targets, lengths)


@dataclass(frozen=True)
class Imitation(Task):
    """Spikes against a teacher's spikes at every step: squared error, and the share of steps in which they agree.

    The gradient is that of the neuron's surrogate. Each target number is imitated by `restarts` output channels, which learn
    apart if the model keeps them apart (`single`); loss and score are means over them.

    Args:
        restarts: channels for each number of a target.
    """

    restarts: int = 1

    score_name = "agreement"

    def __post_init__(self) -> None:
        if self.restarts < 1:
            raise InputError(f"restarts is {self.restarts}, expected at least 1.")

    def outputs(self, dataset: Dataset) -> int:
        """A channel a number and restart; those of one restart lie together."""
        return self.restarts * value_count(self, dataset, step_targets=True)

    def losses(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The squared error, summed over the valid steps."""
        return _over_steps(self._differences(outputs, batch).square().mean((-2, -1)), batch.lengths)

    def scores(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The valid steps with the same spikes."""
        agree = self._differences(outputs.detach(), batch) == 0.0
        return _over_steps(agree.float().mean((-2, -1)), batch.lengths)

    def weights(self, targets: Tensor, lengths: Tensor | None) -> Tensor:
        """The valid steps."""
        return _steps(targets, lengths)

    def _differences(self, outputs: Tensor, batch: Batch) -> Tensor:
        """``[B, T, restarts, K]``."""
        samples, steps, values = batch.targets.shape
        apart = outputs.transpose(0, 1).reshape(samples, steps, self.restarts, values)
        return apart - batch.targets.unsqueeze(2)


def _over_steps(each: Tensor, lengths: Tensor | None) -> Tensor:
    """The sum ``[B]`` of ``[B, T]`` over the valid steps."""
    if lengths is None:
        return each.sum(1)
    return each.masked_fill(torch.arange(each.shape[1], device=each.device) >= lengths.unsqueeze(1), 0.0).sum(1)


def _steps(targets: Tensor, lengths: Tensor | None) -> Tensor:
    """The valid steps ``[B]``."""
    if lengths is None:
        return torch.full((len(targets),), float(targets.shape[1]), device=targets.device)
    return lengths.float()


def _rows(split: Split) -> Tensor:
    """All targets that count, float64 ``[rows, K]``."""
    targets = split.targets.double()
    if not split.has_step_targets:
        return targets
    if split.lengths is None:
        return targets.flatten(0, 1)
    return targets[torch.arange(targets.shape[1]) < split.lengths.unsqueeze(1)]
