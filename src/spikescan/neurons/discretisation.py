"""Linear dynamics du/dt = z u + x, z = -rate + i frequency, as a recurrence over time steps; complex numbers are pairs."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from spikescan.errors import InputError

__all__ = ["exponential", "log_uniform", "zero_order_hold"]

Complex = tuple[Tensor, Tensor]  # real and imaginary part: torch.compile and bfloat16 know no complex tensors


def exponential(rate: Tensor, frequency: Tensor, step: Tensor) -> Complex:
    """exp(z step): what is left of u after a step, and how far it has turned."""
    decay, angle = torch.exp(-rate * step), frequency * step
    return decay * torch.cos(angle), decay * torch.sin(angle)


def zero_order_hold(rate: Tensor, frequency: Tensor, step: Tensor) -> Complex:
    """(exp(z step) - 1) / z: what an input that is constant during a step adds to u, without cancellation for short steps."""
    growth, angle = torch.expm1(-rate * step), frequency * step
    real = growth * torch.cos(angle) - 2.0 * torch.sin(0.5 * angle) ** 2
    imaginary = (growth + 1.0) * torch.sin(angle)
    square = rate**2 + frequency**2
    return (imaginary * frequency - real * rate) / square, -(imaginary * rate + real * frequency) / square


def log_uniform(owner: str, channels: int, step_range: Sequence[float]) -> Tensor:
    """Logarithms ``[C]`` of steps that are log-uniform within ``(low, high)``.

    Raises:
        InputError: no channels, or not a range of numbers above 0; `owner` is the name that the message shows.
    """
    if channels < 1:
        raise InputError(f"{owner}: channels is {channels}, expected at least 1.")
    if len(step_range) != 2 or not 0.0 < step_range[0] <= step_range[1]:
        raise InputError(f"{owner}: step_range is {step_range}, expected a pair 0 < low <= high, e.g. (0.001, 0.1).")
    low, high = map(math.log, step_range)
    return low + (high - low) * torch.rand(channels)
