"""What a report shows, as values; and how they are found for a run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from spikescan.analysis.agreement import Agreement, measure_split_agreement
from spikescan.analysis.energy import Energy
from spikescan.analysis.findings.classes import (
    ClassRates,
    Confusion,
    class_examples,
    class_names,
    class_rates_meter,
    confusion_meter,
)
from spikescan.analysis.findings.energy import energy, kept_energy
from spikescan.analysis.findings.example import Example, follow
from spikescan.analysis.findings.kept import read_kept
from spikescan.analysis.findings.language import GeneratedText, PositionLoss, generated_text, position_loss_meter
from spikescan.analysis.findings.steps import Bands, Track, label_bands, tracks
from spikescan.analysis.findings.survey import FiringMeter, Meter, Score, ScoreMeter, survey
from spikescan.analysis.findings.values import (
    ForecastErrors,
    Pairs,
    Window,
    forecast_errors_meter,
    forecast_windows,
    pairs_meter,
)
from spikescan.analysis.latency import Latency, measure_latency
from spikescan.analysis.recording import FiringRate
from spikescan.control import ControlRun
from spikescan.errors import InputError
from spikescan.neurons.base import spiking_neurons
from spikescan.training.run import Run

__all__ = ["Findings", "find"]


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
    """With traces."""
    firing: Mapping[str, FiringRate] | None = None
    """Over the test samples."""
    latency: Latency | None = None
    config: Mapping[str, object] | None = None
    environment: Mapping[str, object] | None = None
    class_names: Sequence[str] | None = None
    confusion: Confusion | None = None
    class_rates: ClassRates | None = None
    class_examples: Sequence[Example] = ()
    """One of each class."""
    label_bands: Sequence[Bands] = ()
    tracks: Sequence[Track] = ()
    forecast_errors: ForecastErrors | None = None
    forecast_windows: Sequence[Window] = ()
    pairs: Pairs | None = None
    generated_text: GeneratedText | None = None
    position_loss: PositionLoss | None = None
    energy: Energy | None = None


_METERS: Mapping[str, Callable[[Run], Meter | None]] = {
    "test": lambda run: ScoreMeter(run.task, run.dataset.test),
    "firing": lambda run: FiringMeter(),
    "confusion": confusion_meter,
    "class_rates": class_rates_meter,
    "forecast_errors": forecast_errors_meter,
    "pairs": pairs_meter,
    "position_loss": position_loss_meter,
}
"""What is counted over the test split, by field of `Findings`; None where it does not apply to a run."""

_SHOWN: Mapping[str, Callable[[Run], Any]] = {
    "class_names": class_names,
    "class_examples": class_examples,
    "label_bands": label_bands,
    "tracks": tracks,
    "forecast_windows": forecast_windows,
    "generated_text": generated_text,
    "energy": energy,
}
"""What is found by other means, by field of `Findings`; None or empty where it does not apply to a run."""


def find(run: Run | ControlRun, *, agreement: Agreement | None = None, sample: int = 0) -> Findings:
    """Measure all that the report of a run shows; the arguments are those of `report.report_run`."""
    if isinstance(run, ControlRun):
        return _find_control(run)
    test = run.dataset.test
    if not 0 <= sample < len(test):
        raise InputError(
            f"sample is {sample}, but the test split of {run.dataset.name} has samples 0 to {len(test) - 1}."
        )
    example = follow(run, sample, traces=True)
    if agreement is None and run.model.streamable:
        agreement = _kept_agreement(run) or measure_split_agreement(run.model, test)
    meters = {field: meter for field, make in _METERS.items() if (meter := make(run)) is not None}
    survey(run.model, test, meters.values())
    kinds = dict.fromkeys(type(layer.neuron).__name__ for layer in example.recording.layers.values())
    x = example.recording.x
    return Findings(
        title=f"{', '.join(kinds) or type(run.model).__name__} on {run.dataset.name}",
        subtitle=f"{_steps(run)}, run {run.folder.resolve().name}, spikescan {version('spikescan')}",
        parameters=sum(parameter.numel() for parameter in run.model.parameters()),
        metrics=run.metrics,
        best_epoch=run.epoch,
        agreement=agreement,
        example=example,
        latency=measure_latency(run.model, x) if run.model.streamable else None,
        config=asdict(run.experiment),
        environment=read_kept(run.folder / "environment.json"),
        **{field: meter.result() for field, meter in meters.items()},
        **{field: look(run) for field, look in _SHOWN.items()},
    )


def _steps(run: Run) -> str:
    lengths = run.dataset.test.lengths
    if lengths is None:
        return f"{run.dataset.test.inputs.shape[1]:,} time steps"
    return f"{int(lengths.min()):,} to {int(lengths.max()):,} time steps"


def _kept_agreement(run: Run) -> Agreement | None:
    """What `spikescan check` left in the run folder."""
    values = read_kept(run.folder / "agreement.json")
    return None if values is None else Agreement.from_dict(values)


def _find_control(run: ControlRun) -> Findings:
    """Of a run in an environment: how it learned, and what `spikescan eval` and `spikescan energy` left of the test."""
    kinds = dict.fromkeys(type(neuron).__name__ for neuron in spiking_neurons(run.model).values())
    tested = read_kept(run.folder / "evaluation-test.json")
    return Findings(
        title=f"{', '.join(kinds) or type(run.model).__name__} in {run.experiment.environment['name']}",
        subtitle=f"run {run.folder.resolve().name}, spikescan {version('spikescan')}",
        parameters=sum(parameter.numel() for parameter in run.model.parameters()),
        metrics=run.metrics,
        best_epoch=run.epoch,
        test=None if tested is None else Score("return", tested["mean_return"], len(tested["returns"]), "episodes"),
        energy=kept_energy(run.folder),
        config=asdict(run.experiment),
        environment=read_kept(run.folder / "environment.json"),
    )
