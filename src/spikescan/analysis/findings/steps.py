"""Targets at every step, beside what the model said."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spikescan.analysis.findings.example import Example, follow, spread_out
from spikescan.data import NOT_SCORED
from spikescan.data.sources import Crossings, Series
from spikescan.tasks import Imitation, StepClassification, StepRegression
from spikescan.training.run import Run

__all__ = ["Bands", "Track", "label_bands", "tracks"]


@dataclass(frozen=True)
class Bands:
    """A sample with a class at every step."""

    signals: Tensor
    """What the sample is, as its users know it, ``[T, C]``."""
    signal_names: Sequence[str]
    targets: Tensor
    """int64 ``[T]``, -100 where no class is asked for."""
    outputs: Tensor
    """int64 ``[T]``: what the model said."""

    @property
    def rows(self) -> Tensor:
        """Targets and outputs, ``[2, T]``; -1 where no class is asked for."""
        return torch.stack([self.targets.clamp(min=-1), self.outputs])

    @property
    def agreement(self) -> float:
        """The share of the scored steps in which they are equal; NaN if none is scored."""
        scored = self.targets != NOT_SCORED
        return float((self.outputs == self.targets)[scored].float().mean())


@dataclass(frozen=True)
class Track:
    """A sample with real numbers at every step."""

    targets: Tensor
    """``[T, K]``"""
    outputs: Tensor
    """``[T, K]``"""


def label_bands(run: Run) -> Sequence[Bands]:
    """Some samples with a class at every step."""
    if not isinstance(run.task, StepClassification):
        return ()
    return [
        Bands(*_signals(example), _target(example), example.recording.output[: example.steps, 0].argmax(-1))
        for example in _some(run)
    ]


def tracks(run: Run) -> Sequence[Track]:
    """Some samples with real numbers at every step; of restarts that which comes nearest."""
    if not isinstance(run.task, StepRegression | Imitation):
        return ()
    found = []
    for example in _some(run):
        targets = _target(example)
        restarts = example.recording.output[: example.steps, 0].view(len(targets), -1, targets.shape[1])
        nearest = (restarts - targets.unsqueeze(1)).square().mean((0, 2)).argmin()
        found.append(Track(targets, restarts[:, nearest]))
    return found


def _some(run: Run, count: int = 3) -> Sequence[Example]:
    return [follow(run, index) for index in spread_out(len(run.dataset.test), count)]


def _target(example: Example) -> Tensor:
    assert example.target is not None
    return example.target


def _signals(example: Example) -> tuple[Tensor, Sequence[str]]:
    source, x = example.source, example.input.flatten(1)
    if isinstance(source, Crossings):
        return source.signals(x), source.names
    if isinstance(source, Series) and len(source.names) == x.shape[1]:
        return x, source.names
    return x, [f"channel {number}" for number in range(x.shape[1])]
