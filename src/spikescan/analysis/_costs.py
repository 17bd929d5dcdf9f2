"""What parts cost that do the same whatever arrives: readouts, activations, norms, averages."""

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn

from spikescan.analysis.operations import Operations
from spikescan.layers import GLU, S4D, LastReadout, LeakyReadout, MaxReadout, RateReadout
from spikescan.neurons.base import Cost

__all__ = ["ACTIVATIONS", "STEADY", "averaged", "normalising", "per_step_of"]


def _cost_of_s4d(part: S4D) -> Cost:
    """A complex product and its input a mode; the output, two real products a mode and the direct path."""
    modes = part.states // 2
    return Cost(6 * modes + 1, 5 * modes, state_bytes=8 * modes)


# Of one output value in one step.
STEADY: dict[type, Callable[[Any], Cost]] = {
    S4D: _cost_of_s4d,
    RateReadout: lambda part: Cost(1, 1, state_bytes=4),
    MaxReadout: lambda part: Cost(state_bytes=4),
    LeakyReadout: lambda part: Cost(1, 1, state_bytes=4),  # 1 - a is a constant that the weights before it can hold
    LastReadout: lambda part: Cost(),
}
ACTIVATIONS = {
    nn.LeakyReLU: Operations(multiplications=1),
    nn.GELU: Operations(multiplications=3, additions=1, transcendentals=1),  # x (1/2 + erf(x / sqrt 2) / 2)
    nn.SiLU: Operations(multiplications=1, transcendentals=1),
    GLU: Operations(multiplications=1, transcendentals=1),
    nn.GLU: Operations(multiplications=1, transcendentals=1),
    nn.Sigmoid: Operations(transcendentals=1),
    nn.Tanh: Operations(transcendentals=1),
}


def per_step_of(cost: Cost) -> Operations:
    """Of one value in one step."""
    return Operations(
        multiplications=cost.multiplications,
        additions=cost.additions,
        shifts=cost.shifts,
        transcendentals=cost.transcendentals,
    )


def normalising(module: nn.Module, shape: torch.Size) -> Operations:
    """Of one sample in one step, by a norm that measures it: sums, a root for each group, then each value."""
    values = shape.numel()
    if isinstance(module, nn.LayerNorm | nn.RMSNorm):
        groups = values // math.prod(module.normalized_shape)
    else:
        groups = module.num_groups if isinstance(module, nn.GroupNorm) else shape[0]
    weight, bias = getattr(module, "weight", None) is not None, getattr(module, "bias", None) is not None
    centred = not isinstance(module, nn.RMSNorm)
    # The sum of squares and the scaling are a product a value each; sum and subtraction of the mean are an addition each.
    return Operations(
        multiplications=values * (2 + weight) + groups * (1 + centred),
        additions=values * (1 + 2 * centred + bias) + groups,
        transcendentals=groups,
    )


def averaged(pool: nn.Module, before: torch.Size, after: torch.Size) -> tuple[float | None, int]:
    """What an average is divided by, None where it is not the same for all; and how many values all of them sum up."""
    if isinstance(pool, nn.AdaptiveAvgPool1d | nn.AdaptiveAvgPool2d | nn.AdaptiveAvgPool3d):
        space = list(zip(before[1:], after[1:], strict=True))
        # Window i of n values for m averages reaches from floor(i n / m) to ceil((i + 1) n / m).
        summed = [sum(-(-(i + 1) * n // m) - i * n // m for i in range(m)) for n, m in space]
        even = all(n % m == 0 for n, m in space)
        return (math.prod(n // m for n, m in space) if even else None), before[0] * math.prod(summed)
    pool = cast(nn.AvgPool2d, pool)
    dimensions = len(before) - 1
    sides = [pool.kernel_size] * dimensions if isinstance(pool.kernel_size, int) else list(pool.kernel_size)
    size = math.prod(sides)
    padded = any(pool.padding if isinstance(pool.padding, tuple) else (pool.padding,))
    uneven = pool.ceil_mode or (padded and not pool.count_include_pad)
    divisor = getattr(pool, "divisor_override", None)
    return (divisor or (None if uneven else size)), after.numel() * size
