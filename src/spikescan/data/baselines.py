"""Forecasts that need no network: the rows beside every result."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from spikescan.data.dataset import Dataset, Split
from spikescan.errors import InputError

__all__ = ["Forecast", "forecast_baselines", "repeat_last", "ridge"]

_AT_ONCE = 256
"""Samples at once."""


@dataclass(frozen=True)
class Forecast:
    """Means over all samples, steps and variables of a split, in the units of its targets."""

    mse: float
    mae: float


def forecast_baselines(dataset: Dataset) -> dict[str, Forecast]:
    """Errors of `repeat_last` and `ridge` on the test split of a forecasting dataset, such as `ett`."""
    return {"repeat_last": repeat_last(dataset.test), "ridge": ridge(dataset.train, dataset.test)}


def repeat_last(test: Split) -> Forecast:
    """Every step ahead equals the last step of the window."""
    steps = _horizon(test)
    return _errors(test, lambda past: past[..., -1:].expand(*past.shape[:-1], steps))


def ridge(train: Split, test: Split, strength: float = 1.0) -> Forecast:
    """One linear map from window to horizon for all variables, fitted in float64.

    Both are taken relative to the last step of the window, and there is an intercept.

    Args:
        train: windows ``[N, T, C]``, or ``[N, T, frame, C]``, and targets ``[N, horizon * C]``.
        test: as `train`.
        strength: of the penalty on the squared weights; the intercept has none.
    """
    if strength < 0:
        raise InputError(f"strength is {strength}, expected 0 or more.")
    steps = math.prod(train.inputs.shape[1:-1])
    moments = torch.zeros(steps + 1, steps + 1, dtype=torch.float64)
    products = torch.zeros(steps + 1, _horizon(train), dtype=torch.float64)
    for past, future in _pairs(train):
        features = _features(past).flatten(0, 1)
        moments += features.T @ features
        products += features.T @ (future - past[..., -1:]).flatten(0, 1)
    penalty = torch.full((steps + 1,), strength, dtype=torch.float64)
    penalty[-1] = 0.0
    weights = torch.linalg.solve(moments + penalty.diag(), products)
    return _errors(test, lambda past: _features(past) @ weights + past[..., -1:])


def _features(past: Tensor) -> Tensor:
    """The window relative to its last step, and 1: ``[n, C, T + 1]``."""
    return torch.cat([past - past[..., -1:], torch.ones_like(past[..., :1])], dim=-1)


def _horizon(split: Split) -> int:
    channels = split.inputs.shape[-1]
    if not split.targets.is_floating_point() or split.targets.dim() != 2 or split.targets.shape[1] % channels:
        raise InputError(
            f"targets are {split.targets.dtype} {list(split.targets.shape)}, expected float [N, horizon * {channels}]."
        )
    return split.targets.shape[1] // channels


def _pairs(split: Split) -> Iterator[tuple[Tensor, Tensor]]:
    """Window ``[n, C, T]`` and horizon ``[n, C, H]`` in float64, a few samples at a time."""
    horizon = _horizon(split)
    for start in range(0, len(split), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        past = split.encoded(part).flatten(1, -2)
        future = split.targets[part].reshape(len(past), horizon, past.shape[2])
        yield past.transpose(1, 2).double(), future.transpose(1, 2).double()


def _errors(split: Split, predict: Callable[[Tensor], Tensor]) -> Forecast:
    squares = absolutes = 0.0
    for past, future in _pairs(split):
        difference = predict(past) - future
        squares += float(difference.square().sum())
        absolutes += float(difference.abs().sum())
    count = max(split.targets.numel(), 1)
    return Forecast(mse=squares / count, mae=absolutes / count)
