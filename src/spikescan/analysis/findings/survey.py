"""One pass over a split in batches, and what is counted on the way."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spikescan.analysis._batches import batches
from spikescan.analysis.recording import FiringRate, Recording, record
from spikescan.data import Batch, Split
from spikescan.neurons.base import Temporal
from spikescan.tasks import Task
from spikescan.training.evaluation import means, sums_over
from spikescan.training.order import by_length

__all__ = ["FiringMeter", "Meter", "Score", "ScoreMeter", "Seen", "survey", "valid_steps"]


@dataclass(frozen=True)
class Seen:
    """A batch, and what the model did with it."""

    batch: Batch
    recording: Recording
    """Without traces."""


class Meter(ABC):
    """Counts something while a split goes by."""

    @abstractmethod
    def add(self, seen: Seen) -> None:
        """Count one batch; batches come in any order and size."""

    @abstractmethod
    def result(self) -> Any:
        """What was counted over all batches."""


def survey(model: Temporal, split: Split, meters: Iterable[Meter]) -> None:
    """Show all samples of a split to all `meters`, in batches that fit in memory however many and long the samples are."""
    meters = tuple(meters)
    for batch in batches(model, split, by_length(split)):
        seen = Seen(batch, record(model, batch.inputs, lengths=batch.lengths, traces=False))
        for meter in meters:
            meter.add(seen)


def valid_steps(seen: Seen) -> Tensor:
    """Which steps are no padding, bool ``[T, B]``."""
    return torch.arange(len(seen.batch.inputs)).unsqueeze(1) < seen.recording.lengths


@dataclass(frozen=True)
class Score:
    """The score on samples that training never saw."""

    name: str
    """Such as ``"accuracy"``."""
    value: float
    samples: int
    unit: str = "samples"
    """What the samples are."""


class ScoreMeter(Meter):
    """The score of a task."""

    def __init__(self, task: Task, split: Split) -> None:
        self._task, self._split = task, split
        self._sums = torch.zeros(3, dtype=torch.float64)

    def add(self, seen: Seen) -> None:
        """See `Meter.add`."""
        output = seen.recording.output
        self._sums += sums_over(self._task, self._task.losses(output, seen.batch), output, seen.batch)

    def result(self) -> Score:
        """The score over all samples."""
        _, score = means(self._task, self._sums, self._task.reference(self._split))
        return Score(self._task.score_name, score, len(self._split))


class FiringMeter(Meter):
    """How often each neuron fires."""

    def __init__(self) -> None:
        self._spikes: dict[str, Tensor] = {}
        self._steps = 0

    def add(self, seen: Seen) -> None:
        """See `Meter.add`."""
        self._steps += int(seen.recording.lengths.sum())
        for name, layer in seen.recording.layers.items():
            # In float64, which counts beyond 2^24.
            self._spikes[name] = self._spikes.get(name, 0) + layer.spikes.sum((0, 1), dtype=torch.float64)

    def result(self) -> dict[str, FiringRate]:
        """By layer."""
        return {name: FiringRate(spikes / max(self._steps, 1)) for name, spikes in self._spikes.items()}
