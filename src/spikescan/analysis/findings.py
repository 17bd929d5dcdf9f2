"""What a report shows, as values; and how they are found for a run.

Needs ``pip install 'spikescan[train]'``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spikescan.analysis._watch import evaluating
from spikescan.analysis.agreement import Agreement, measure_agreement
from spikescan.analysis.latency import Latency, measure_latency
from spikescan.analysis.recording import FiringRate, Recording, measure_firing, record
from spikescan.data import Batch, Split
from spikescan.errors import CheckpointError, InputError
from spikescan.training.evaluation import means, sums_over
from spikescan.training.run import Run

__all__ = ["Example", "Findings", "Score", "find"]


@dataclass(frozen=True)
class Example:
    """One sample that the report follows through the model."""

    recording: Recording
    """Of this sample alone, ``B = 1``, with traces."""
    image: Tensor | None = None
    """``[H, W]``: what the sequence was made from."""
    target: int | None = None
    """The output channel that should be the largest."""


@dataclass(frozen=True)
class Score:
    """The score on samples that training never saw."""

    name: str
    """Such as ``"accuracy"``."""
    value: float
    samples: int


@dataclass(frozen=True)
class Findings:
    """All that a report shows. What is None or empty is left out."""

    title: str
    subtitle: str
    parameters: int
    """Of the model, all of them."""
    metrics: Sequence[Mapping[str, float]] = ()
    """One row an epoch, as in ``metrics.csv``."""
    best_epoch: int | None = None
    """The epoch whose weights were used."""
    test: Score | None = None
    agreement: Agreement | None = None
    example: Example | None = None
    firing: Mapping[str, FiringRate] | None = None
    """Over the test samples."""
    latency: Latency | None = None
    config: Mapping[str, object] | None = None
    environment: Mapping[str, object] | None = None


def find(run: Run, *, agreement: Agreement | None = None, sample: int = 0) -> Findings:
    """Measure all that the report of a run shows; the arguments are those of `report.report_run`."""
    test = run.dataset.test
    if not 0 <= sample < len(test):
        raise InputError(
            f"sample is {sample}, but the test split of {run.dataset.name} has samples 0 to {len(test) - 1}."
        )
    everything = test.batch(slice(None))
    one = test.batch(slice(sample, sample + 1))
    example = record(run.model, one.inputs, lengths=one.lengths)
    if agreement is None and run.model.streamable:
        agreement = _kept_agreement(run) or measure_agreement(run.model, everything.inputs, lengths=everything.lengths)
    kinds = dict.fromkeys(type(layer.neuron).__name__ for layer in example.layers.values())
    return Findings(
        title=f"{', '.join(kinds) or type(run.model).__name__} on {run.dataset.name}",
        subtitle=f"{len(one.inputs):,} time steps, run {run.folder.resolve().name}, spikescan {version('spikescan')}",
        parameters=sum(parameter.numel() for parameter in run.model.parameters()),
        metrics=run.metrics,
        best_epoch=run.epoch,
        test=_score(run, test),
        agreement=agreement,
        example=Example(example, _image(run, one.inputs[:, 0]), _target(one)),
        firing=measure_firing(run.model, everything.inputs, everything.lengths),
        latency=measure_latency(run.model, one.inputs) if run.model.streamable else None,
        config=asdict(run.experiment),
        environment=_read_json(run.folder / "environment.json"),
    )


def _kept_agreement(run: Run) -> Agreement | None:
    """What `spikescan check` left in the run folder."""
    values = _read_json(run.folder / "agreement.json")
    return None if values is None else Agreement.from_dict(values)


def _read_json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))  # type: ignore[no-any-return]
    except ValueError as error:
        raise CheckpointError(
            f"{path} is damaged ({error}); delete it, and what it held is left out or measured anew."
        ) from error


def _score(run: Run, split: Split, batch_size: int = 100) -> Score:
    sums = torch.zeros(3)
    with torch.no_grad(), evaluating(run.model):
        for start in range(0, len(split), batch_size):
            batch = split.batch(slice(start, start + batch_size))
            output, _ = run.model(batch.inputs, None, batch.lengths)
            sums += sums_over(run.task, run.task.losses(output, batch), output, batch)
    _, score = means(run.task, sums, run.task.reference(split))
    return Score(run.task.score_name, score, len(split))


def _target(one: Batch) -> int | None:
    """The class of the one sample of a batch, where it has one."""
    return int(one.targets[0]) if one.targets.ndim == 1 else None


def _image(run: Run, x: Tensor) -> Tensor | None:
    """The image that a sequence ``[T, C]`` of pixels or columns was made from, where it was; None otherwise."""
    options = run.experiment.data
    if options["name"] not in ("mnist", "mnist_small") or options.get("permutation_seed") is not None:
        return None
    return x.t() if options.get("columns") else x.view(28, 28)
