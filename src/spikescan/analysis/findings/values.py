"""Real numbers a sample: forecasts of a series, and all others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spikescan.analysis.findings.example import follow, spread_out
from spikescan.analysis.findings.survey import Meter, Seen
from spikescan.data import Forecast, forecast_baselines
from spikescan.data.sources import Series
from spikescan.layers import final_step
from spikescan.tasks import Regression
from spikescan.training.run import Run

__all__ = [
    "ForecastErrors",
    "Pairs",
    "Window",
    "forecast_errors_meter",
    "forecast_windows",
    "pairs_meter",
]

_PAIRS_SHOWN = 2000


@dataclass(frozen=True)
class Window:
    """One forecast."""

    names: Sequence[str]
    """Of the variables."""
    past: Tensor
    """``[steps, variables]``: what the model saw."""
    future: Tensor
    """``[horizon, variables]``: what came."""
    forecast: Tensor
    """``[horizon, variables]``: what the model said would come."""


@dataclass(frozen=True)
class ForecastErrors:
    """How far forecasts were off, over all windows of the test split."""

    by_step: Tensor
    """The mean squared error of the model, ``[horizon]``: 1 step ahead, 2 steps, ..."""
    repeat_last: Tensor
    """That of saying the last value again, ``[horizon]``."""
    overall: Mapping[str, Forecast]
    """The model's, and those of what needs no network."""


@dataclass(frozen=True)
class Pairs:
    """Targets and outputs of samples with K real numbers each."""

    targets: Tensor
    """``[N, K]``"""
    outputs: Tensor
    """``[N, K]``"""


class _ForecastErrorsMeter(Meter):
    def __init__(self, run: Run, horizon: int) -> None:
        self._dataset, self._horizon = run.dataset, horizon
        self._squares = torch.zeros(2, horizon, dtype=torch.float64)
        self._absolute = 0.0
        self._count = 0

    def add(self, seen: Seen) -> None:
        """See `Meter.add`."""
        shape = (len(seen.batch.targets), self._horizon, -1)
        future = seen.batch.targets.double().view(shape)
        said = final_step(seen.recording.output, seen.batch.lengths).double().view(shape)
        last = final_step(seen.batch.inputs, seen.batch.lengths).double().view(len(future), -1, future.shape[2])[:, -1:]
        for row, forecast in enumerate((said, last)):
            self._squares[row] += (forecast - future).square().sum((0, 2))
        self._absolute += float((said - future).abs().sum())
        self._count += future[:, 0].numel()

    def result(self) -> ForecastErrors:
        """Over all windows."""
        model, last = self._squares / max(self._count, 1)
        own = Forecast(float(model.mean()), self._absolute / max(self._count * self._horizon, 1))
        return ForecastErrors(model, last, {"this model": own, **forecast_baselines(self._dataset)})


class _PairsMeter(Meter):
    def __init__(self) -> None:
        self._targets: list[Tensor] = []
        self._outputs: list[Tensor] = []

    def add(self, seen: Seen) -> None:
        """See `Meter.add`."""
        self._targets.append(seen.batch.targets)
        self._outputs.append(final_step(seen.recording.output, seen.batch.lengths))

    def result(self) -> Pairs:
        """Of some samples, if there are many."""
        targets, outputs = torch.cat(self._targets), torch.cat(self._outputs)
        shown = torch.tensor(spread_out(len(targets), _PAIRS_SHOWN), dtype=torch.int64)
        return Pairs(targets[shown], outputs[shown])


def forecast_errors_meter(run: Run) -> Meter | None:
    """`ForecastErrors`, where the targets are the future of the inputs."""
    horizon = _horizon(run)
    return None if horizon is None else _ForecastErrorsMeter(run, horizon)


def forecast_windows(run: Run, count: int = 3) -> Sequence[Window]:
    """Some windows of the test split, where the targets are the future of the inputs."""
    horizon, source = _horizon(run), run.dataset.source
    if horizon is None or not isinstance(source, Series):
        return ()
    windows = []
    for index in spread_out(len(run.dataset.test), count):
        example = follow(run, index)
        said = final_step(example.recording.output, example.recording.lengths)[0]
        assert example.target is not None
        future, forecast = (values.view(horizon, -1) for values in (example.target, said))
        windows.append(Window(source.names, source.values(example.input), future, forecast))
    return windows


def pairs_meter(run: Run) -> Meter | None:
    """`Pairs`, where the targets are real numbers and no forecasts."""
    return _PairsMeter() if isinstance(run.task, Regression) and _horizon(run) is None else None


def _horizon(run: Run) -> int | None:
    source = run.dataset.source
    return source.horizon if isinstance(run.task, Regression) and isinstance(source, Series) else None
