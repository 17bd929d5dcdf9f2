"""How often neurons fire."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from spikescan.analysis.recording import FiringRate
from spikescan.analysis.theme import LIGHT, Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["firing_rates"]


def firing_rates(rates: Mapping[str, FiringRate], *, theme: Theme = LIGHT) -> "Figure":
    """How often the neurons of every layer fire: a dot a neuron, a bar at the mean of the layer."""
    with theme.figure(11.0, 0.75 * len(rates) + 0.8) as figure:
        axes = figure.subplots()
        for row, rate in enumerate(rates.values()):
            values = _spread(rate.per_neuron.flatten(), 1000).tolist()
            # Neighbours in rank are set apart, so that equal rates do not hide each other.
            heights = [row + 0.28 * math.sin(2.4 * rank) for rank in range(len(values))]
            axes.scatter(values, heights, s=9, color=theme.first, alpha=0.55, linewidth=0)
            axes.plot([rate.mean, rate.mean], [row - 0.4, row + 0.4], color=theme.second, linewidth=2.5)
            axes.text(
                1.01,
                row,
                f"mean {rate.mean:.3g}\n{rate.silent:.1%} silent",
                transform=axes.get_yaxis_transform(),
                va="center",
                fontsize=8,
            )
        axes.set_yticks(range(len(rates)), list(rates))
        axes.set_ylim(len(rates) - 0.5, -0.5)
        axes.set_xlim(left=0)
        axes.set_xlabel("spikes per neuron per time step")
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        return figure


def _spread(values: Tensor, count: int) -> Tensor:
    """The values sorted, or `count` of them at even ranks if there are more."""
    ranks = torch.linspace(0, len(values) - 1, min(count, len(values))).long()
    return values.cpu().sort().values[ranks]
