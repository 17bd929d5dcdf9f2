"""What the operations of a network would cost."""

from typing import TYPE_CHECKING

from spikescan.analysis.energy import Energy
from spikescan.analysis.theme import LIGHT, Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["energy"]

_LAYERS = 40


def energy(found: Energy, *, theme: Theme = LIGHT) -> "Figure":
    """The energy a sample of every layer that takes some, and of the same layer without spikes; the costliest of many."""
    layers = [layer for layer in found.layers if max(layer.joules, layer.dense_joules) > 0.0]
    costly = sorted(layers, key=lambda layer: max(layer.joules, layer.dense_joules), reverse=True)[:_LAYERS]
    shown = [layer for layer in layers if layer in costly]
    with theme.figure(11.0, 0.36 * len(shown) + 1.2) as figure:
        axes = figure.subplots()
        for offset, label, colour, values in (
            (-0.2, "with spikes", theme.first, [layer.joules for layer in shown]),
            (0.2, "without spikes", theme.faint, [layer.dense_joules for layer in shown]),
        ):
            places = [place + offset for place in range(len(shown))]
            axes.barh(places, [value * 1e6 for value in values], height=0.36, color=colour, label=label)
        axes.set_yticks(range(len(shown)), [layer.name for layer in shown])
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set_xlabel("microjoules a sample")
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.legend(labelcolor=theme.ink, fontsize=8, loc="lower right")
        return figure
