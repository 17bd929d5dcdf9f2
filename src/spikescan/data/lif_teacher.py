"""A LIF neuron as a teacher: random currents, and the spikes it answers with."""

from typing import Literal

import torch

from spikescan.data.dataset import Dataset, Split
from spikescan.errors import DataError
from spikescan.firing import Binary, Integer
from spikescan.neurons import LIF

__all__ = ["lif_teacher", "teacher"]


def teacher(tau: float, reset: Literal["hard", "soft"], levels: int | None) -> LIF:
    """V = V (1 - 1/tau) + x with a threshold of 1, binary spikes or integer ones of so many levels."""
    firing = Binary() if levels is None else Integer(levels)
    return LIF(tau, reset=reset, scale_input=False, firing=firing)


def lif_teacher(
    *,
    tau: float = 2.0,
    reset: Literal["hard", "soft"] = "soft",
    levels: int | None = None,
    time_steps: int = 100,
    samples: int = 256,
    mean: float = 0.5,
    deviation: float = 0.5,
    seed: int = 0,
) -> Dataset:
    """Random currents, and at each step the spikes with which a LIF answers: for how well another neuron can imitate it.

    The currents are independent normal numbers. As many samples again are made for validation, and for the test.

    Args:
        tau: time constant of the teacher, in steps.
        reset: soft or hard.
        levels: of integer spikes; null for binary ones.
        time_steps: of a sample.
        samples: of each split.
        mean: of the currents; the threshold is 1, the input is not divided by tau.
        deviation: of the currents.
        seed: of the currents.

    Raises:
        DataError: a number below 1 of samples or steps.
    """
    if time_steps < 1 or samples < 1:
        raise DataError(f"lif_teacher: {time_steps} time_steps and {samples} samples, expected at least 1 of each.")
    generator = torch.Generator().manual_seed(seed)
    neuron = teacher(tau, reset, levels)
    splits = []
    for _ in range(3):
        currents = mean + deviation * torch.randn(time_steps, samples, 1, generator=generator)
        spikes, _ = neuron(currents)
        splits.append(Split(currents.transpose(0, 1).contiguous(), spikes.transpose(0, 1).contiguous()))
    train, validation, test = splits
    return Dataset(f"LIF, tau {tau:g}, {reset} reset", None, train, validation, test, values=1)
