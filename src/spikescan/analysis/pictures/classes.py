"""What is mistaken for what, and what the classes look like within the network."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from spikescan.analysis.pictures._parts import draw_image, draw_spikes, spike_colours
from spikescan.analysis.theme import LIGHT, Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spikescan.analysis.findings import ClassRates, Confusion, Example

__all__ = ["class_rasters", "confusion_matrix"]

_NUMBERED = 20
"""Classes up to which the cells hold their counts."""
_LABELLED = 40
"""Classes up to which each has its name beside it."""


def confusion_matrix(confusion: "Confusion", *, theme: Theme = LIGHT) -> "Figure":
    """A row for each class, shaded by what share of it was taken for what; beside it the share that was recognised."""
    from matplotlib.colors import LinearSegmentedColormap

    counts, names = confusion.counts, list(confusion.names)
    classes = len(names)
    shares = (counts / counts.sum(1, keepdim=True).clamp(min=1)).float()
    side = max(3.4, min(0.42 * classes, 9.0))
    with theme.figure(side + 1.8, side + 0.8) as figure:
        matrix, bars = figure.subplots(1, 2, sharey=True, width_ratios=[side, 1.4])
        shades = LinearSegmentedColormap.from_list("shares", [theme.paper, theme.first])
        matrix.imshow(shares.numpy(), cmap=shades, vmin=0.0, vmax=1.0, aspect="auto", interpolation="nearest")
        if classes <= _NUMBERED:
            for row in range(classes):
                for column in counts[row].nonzero().flatten().tolist():
                    ink = theme.paper if shares[row, column] > 0.5 else theme.ink
                    number = _short(int(counts[row, column]))
                    matrix.text(column, row, number, ha="center", va="center", color=ink, fontsize=7)
        ticks = range(0, classes, math.ceil(classes / _LABELLED))
        shown = [names[tick] for tick in ticks]
        long = max(map(len, shown)) > 3
        matrix.set_xticks(ticks, shown, rotation=45 if long else 0, ha="right" if long else "center")
        matrix.set_yticks(ticks, shown)
        matrix.set_xlabel("taken for")
        matrix.set_ylabel("is")
        matrix.set_title(f"{confusion.unit} of each class")
        recalls = confusion.recalls.nan_to_num(0.0)
        bars.barh(range(classes), recalls.tolist(), color=theme.first, height=0.75)
        bars.set_xlim(0, 1)
        bars.set_xticks([0, 0.5, 1], ["0", "50", "100"])
        bars.set_title("recognised, %", fontsize=8)
        bars.tick_params(labelleft=False, left=False)
        if classes <= _NUMBERED:
            for row, recall in enumerate(recalls.tolist()):
                inside = recall > 0.5
                bars.text(
                    recall + (-0.03 if inside else 0.03),
                    row,
                    f"{100 * recall:.0f}",
                    ha="right" if inside else "left",
                    va="center",
                    color=theme.paper if inside else theme.ink,
                    fontsize=7,
                )
        return figure


def class_rasters(
    examples: Sequence["Example"],
    names: Sequence[str],
    *,
    rates: "ClassRates | None" = None,
    images: Sequence[Tensor | None] = (),
    theme: Theme = LIGHT,
) -> "Figure":
    """The last layer's spikes for a sample of each class, all neurons in the same order.

    Args:
        examples: of different classes.
        names: of the classes.
        rates: sorts the neurons by the class that they fire most for; None leaves them in their own order.
        images: of each example something to look at, ``[channels, H, W]``, or None.
        theme: the colours.
    """
    images = images or [None] * len(examples)
    rows = math.ceil(len(examples) / 2)
    pictured = any(image is not None for image in images)
    with theme.figure(11.0, 1.55 * rows + 0.3) as figure:
        panels = figure.subplots(rows, 4, squeeze=False, width_ratios=[1.0 if pictured else 0.01, 5.0] * 2)
        for axes in panels.flat:
            axes.set_axis_off()
        for place, (example, image) in enumerate(zip(examples, images, strict=True)):
            beside, raster = panels[place // 2, 2 * (place % 2) : 2 * (place % 2) + 2]
            if image is not None:
                draw_image(beside, image, theme)
            layer = list(example.recording.layers.values())[-1]
            spikes = layer.spikes[: example.steps, 0].flatten(1).float().cpu()
            neurons = torch.arange(spikes.shape[1]) if rates is None else rates.order
            raster.set_axis_on()
            draw_spikes(raster, spikes[:, neurons], spike_colours(layer, theme))
            raster.set_yticks([])
            raster.tick_params(labelsize=7)
            raster.set_title(_heading(example, names), fontsize=9)
        for raster in panels[-1, 1::2]:
            raster.set_xlabel("time step")
        return figure


def _heading(example: "Example", names: Sequence[str]) -> str:
    assert example.label is not None
    if example.prediction == example.label:
        return f"{names[example.label]} ✓"
    return f"{names[example.label]} ✗ taken for {names[example.prediction]}"


def _short(number: int) -> str:
    return str(number) if number < 10_000 else f"{number / 1000:.0f}k"
