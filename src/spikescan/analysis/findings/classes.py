"""What is mistaken for what, and which neurons speak for which class."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spikescan.analysis.findings.example import Example, follow
from spikescan.analysis.findings.survey import Meter, Seen, valid_steps
from spikescan.data import NOT_SCORED
from spikescan.layers import final_step
from spikescan.tasks import Classification, StepClassification
from spikescan.training.run import Run

__all__ = [
    "ClassRates",
    "Confusion",
    "class_examples",
    "class_names",
    "class_rates_meter",
    "confusion_meter",
]

_CLASSES_SHOWN = 12


@dataclass(frozen=True)
class Confusion:
    """How often each class was taken for each."""

    counts: Tensor
    """int64 ``[K, K]``, a row for each class that it is, a column for each that it was taken for."""
    names: Sequence[str]
    """Of the classes."""
    unit: str
    """What was counted: ``"samples"`` or ``"steps"``."""

    @property
    def recalls(self) -> Tensor:
        """The share of each class that was recognised, float ``[K]``; NaN for a class that never occurred."""
        return self.counts.diagonal() / self.counts.sum(1)

    def mistakes(self, count: int) -> list[tuple[str, str, int]]:
        """The most frequent mistakes: the class that it was, what it was taken for, and how often."""
        wrong = self.counts - self.counts.diagonal().diag()
        most = wrong.flatten().argsort(descending=True, stable=True)[:count].tolist()
        pairs = [(*divmod(place, len(wrong)), int(wrong.flatten()[place])) for place in most]
        return [(self.names[true], self.names[taken], times) for true, taken, times in pairs if times]


@dataclass(frozen=True)
class ClassRates:
    """How much the last layer fires for each class."""

    layer: str
    rates: Tensor
    """Mean spikes a step, float ``[K, N]``, of the neurons ``[C, *]`` flattened; zero for a class that never occurred."""

    @property
    def order(self) -> Tensor:
        """Neurons by the class that they fire most for, and within it those first that tell it best from the others."""
        favourite = self.rates.argmax(0)
        telling = self.rates.amax(0) - self.rates.mean(0)
        order = telling.argsort(descending=True, stable=True)
        return order[favourite[order].argsort(stable=True)]


class _ConfusionMeter(Meter):
    def __init__(self, names: Sequence[str], unit: str) -> None:
        self._names, self._unit = names, unit
        self._counts = torch.zeros(len(names), len(names), dtype=torch.int64)

    def add(self, seen: Seen) -> None:
        """See `Meter.add`."""
        if self._unit == "samples":
            targets = seen.batch.targets
            taken = final_step(seen.recording.output, seen.batch.lengths).argmax(-1)
        else:
            scored = valid_steps(seen) & (seen.batch.targets.t() != NOT_SCORED)
            targets, taken = seen.batch.targets.t()[scored], seen.recording.output.argmax(-1)[scored]
        classes = len(self._names)
        self._counts += torch.bincount(targets * classes + taken, minlength=classes**2).view(classes, classes)

    def result(self) -> Confusion:
        """Over all samples."""
        return Confusion(self._counts, self._names, self._unit)


class _ClassRatesMeter(Meter):
    def __init__(self, classes: int) -> None:
        self._layer: str | None = None
        self._spikes = torch.zeros(classes, 0)
        self._steps = torch.zeros(classes, dtype=torch.int64)

    def add(self, seen: Seen) -> None:
        """See `Meter.add`."""
        if not seen.recording.layers:
            return
        self._layer, layer = list(seen.recording.layers.items())[-1]
        spikes = layer.spikes.sum(0, dtype=torch.float64).flatten(1)
        if not self._spikes.numel():
            self._spikes = spikes.new_zeros(len(self._steps), spikes.shape[1])
        self._spikes.index_add_(0, seen.batch.targets, spikes)
        self._steps.index_add_(0, seen.batch.targets, seen.recording.lengths)

    def result(self) -> ClassRates | None:
        """Over all samples; None if nothing in the model spikes."""
        if self._layer is None:
            return None
        return ClassRates(self._layer, (self._spikes / self._steps.clamp(min=1).unsqueeze(1)).float())


def class_names(run: Run) -> Sequence[str] | None:
    """What the classes are called, their numbers if nothing else is known; None where the targets are no classes."""
    classes = run.dataset.classes
    return run.dataset.class_names or (None if classes is None else [str(number) for number in range(classes)])


def confusion_meter(run: Run) -> Meter | None:
    """`Confusion`, of samples or of steps."""
    names = class_names(run)
    unit = {Classification: "samples", StepClassification: "steps"}.get(type(run.task))
    return None if names is None or unit is None else _ConfusionMeter(names, unit)


def class_rates_meter(run: Run) -> Meter | None:
    """`ClassRates`, where each sample has a class."""
    return _ClassRatesMeter(run.dataset.classes or 0) if isinstance(run.task, Classification) else None


def class_examples(run: Run) -> Sequence[Example]:
    """The first sample of the test split of each class, of a dozen classes at most."""
    if not isinstance(run.task, Classification):
        return ()
    targets = run.dataset.test.targets
    firsts = [int((targets == label).nonzero()[0]) for label in torch.unique(targets)[:_CLASSES_SHOWN]]
    return [follow(run, index) for index in firsts]
