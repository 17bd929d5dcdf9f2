"""One sample on its way through a model: its input, the spikes of every layer, the insides of neurons, the output."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from spikescan.analysis._neurons import thresholds
from spikescan.analysis.agreement import Agreement
from spikescan.analysis.pictures._parts import MANY, draw_channels, draw_image, draw_spikes, spike_colours
from spikescan.analysis.recording import LayerRecording, Recording
from spikescan.analysis.theme import LIGHT, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["activity", "demo", "inside"]


def activity(
    recording: Recording,
    *,
    sample: int = 0,
    image: Tensor | None = None,
    target: int | None = None,
    names: Sequence[str] | None = None,
    theme: Theme = LIGHT,
) -> "Figure":
    """One sample on its way through the model: input, spikes of every layer, output, over a common time axis.

    Neurons are sorted by their mean decay where it was recorded, quick ones on top, else they are in their own order.

    Args:
        recording: what happened.
        sample: which sample of the batch.
        image: ``[H, W]`` or ``[channels, H, W]``, drawn beside the input: what the sequence was made from.
        target: the output channel that should be the largest; None for outputs that are no classes.
        names: of the classes; None for their numbers.
        theme: the colours.
    """
    steps = int(recording.lengths[sample])
    with theme.figure(11.0, 2.9 + 3.0 * len(recording.layers)) as figure:
        (top, beside), *middle, (bottom, _) = _rows(figure, [0.9, *[2.6] * len(recording.layers), 1.2], steps)
        _draw_input(top, recording.x[:steps, sample], theme)
        if image is not None:
            draw_image(beside, image, theme)
        for (axes, side), (name, layer) in zip(middle, recording.layers.items(), strict=True):
            _draw_raster(axes, side, name, layer, steps, sample, theme)
        _draw_output(bottom, recording.output[:steps, sample], target, names, theme)
        return figure


def inside(
    name: str,
    layer: LayerRecording,
    *,
    steps: int,
    sample: int = 0,
    count: int = 3,
    theme: Theme = LIGHT,
) -> "Figure":
    """Membrane with its thresholds, spikes, and decay of some neurons of one layer, from quick to slow.

    Args:
        name: of the layer.
        layer: with the trace ``"membrane"``.
        steps: valid time steps of the sample.
        sample: which sample of the batch.
        count: how many neurons.
        theme: the colours.
    """
    chosen = _telling_neurons(layer, steps, sample, count)
    heights = [0.13, 1.2, 0.6] if "decay" in layer.traces else [0.13, 1.2]
    with theme.figure(11.0, len(chosen) * (sum(heights) + 0.35) + 0.4) as figure:
        panels = figure.subplots(
            len(chosen) * len(heights), 1, sharex=True, squeeze=False, height_ratios=heights * len(chosen)
        )[:, 0]
        for place, neuron in enumerate(chosen):
            strip, membrane, *decay = panels[place * len(heights) : (place + 1) * len(heights)]
            strip.set_title(f"{name}, neuron {neuron}")
            _draw_strip(strip, layer, neuron, steps, sample, theme)
            _draw_membrane(membrane, layer, neuron, steps, sample, theme)
            for axes in decay:
                _draw_decay(axes, _series(layer.traces["decay"], neuron, steps, sample), theme)
        panels[-1].set_xlabel("time step")
        panels[-1].set_xlim(0, steps)
        return figure


def demo(
    recording: Recording,
    agreement: Agreement,
    *,
    sample: int = 0,
    image: Tensor | None = None,
    target: int | None = None,
    theme: Theme = LIGHT,
) -> "Figure":
    """One picture for a README: input, spikes of the last layer, membrane of a neuron, output, and what agrees.

    Arguments are those of `activity`, and the agreement of the same model.
    """
    steps = int(recording.lengths[sample])
    name, layer = list(recording.layers.items())[-1]
    (neuron,) = _telling_neurons(layer, steps, sample, 1)
    way = agreement.ways[-1]
    with theme.figure(11.0, 7.0) as figure:
        figure.suptitle(
            f"trained in parallel, run {way.name}: {way.predictions} predictions and {way.spikes} spikes differ",
            fontsize=11,
            fontweight="bold",
        )
        rows = _rows(figure, [0.9, 2.6, 1.3, 1.2] if "membrane" in layer.traces else [0.9, 2.6, 1.2], steps)
        _draw_input(rows[0][0], recording.x[:steps, sample], theme)
        if image is not None:
            draw_image(rows[0][1], image, theme)
        _draw_raster(*rows[1], name, layer, steps, sample, theme)
        if "membrane" in layer.traces:
            rows[2][0].set_title(f"{name}, neuron {neuron}")
            _draw_membrane(rows[2][0], layer, neuron, steps, sample, theme)
        _draw_output(rows[-1][0], recording.output[:steps, sample], target, None, theme)
        return figure


def _rows(figure: "Figure", heights: Sequence[float], steps: int) -> list[tuple["Axes", "Axes"]]:
    """Axes over a common time axis, each with small ones beside it that stay invisible until they are drawn on."""
    grid = figure.add_gridspec(len(heights), 2, width_ratios=[9, 1], height_ratios=heights)
    rows: list[tuple[Axes, Axes]] = []
    for row in range(len(heights)):
        axes = figure.add_subplot(grid[row, 0], sharex=rows[0][0] if rows else None)
        side = figure.add_subplot(grid[row, 1])
        axes.tick_params(labelbottom=row == len(heights) - 1)
        side.set_axis_off()
        rows.append((axes, side))
    rows[-1][0].set_xlabel("time step")
    rows[-1][0].set_xlim(0, steps)
    return rows


def _draw_input(axes: "Axes", x: Tensor, theme: Theme) -> None:
    """Of x ``[T, C, *]``, one channel as a curve, several as a picture with a row each."""
    values = x.flatten(1).float().cpu()
    axes.set_title("input")
    if values.shape[1] == 1:
        edges = list(range(len(values) + 1))
        axes.stairs(values[:, 0].tolist(), edges, color=theme.ink, fill=True, alpha=0.85)
        axes.tick_params(labelleft=False, left=False)
        return
    draw_channels(axes, values)
    axes.set_ylabel("channel")


def _draw_raster(
    axes: "Axes", side: "Axes", name: str, layer: LayerRecording, steps: int, sample: int, theme: Theme
) -> None:
    """Spikes as pixels, a row for each neuron, and how often each of them fires beside it."""
    from matplotlib.patches import Patch

    spikes = layer.spikes[:steps, sample].flatten(1).float().cpu()
    order = _by_decay(layer, steps, sample)
    sorting = "" if order is None else ", quick above slow"
    spikes = spikes if order is None else spikes[:, order]
    neurons = spikes.shape[1]
    colours = spike_colours(layer, theme)
    most = colours.N - 1

    draw_spikes(axes, spikes, colours)
    missing = "" if spikes.isfinite().all() else ", blank where their spikes are not a number"
    axes.set_title(f"{name}: {neurons:,} {type(layer.neuron).__name__} neurons{sorting}{missing}")
    axes.set_ylabel("neuron")
    if most <= 8:
        counts = [Patch(facecolor=colours(count), label=str(count)) for count in range(1, most + 1)]
        axes.legend(
            handles=counts,
            title="spikes a step",
            alignment="right",
            loc="lower right",
            bbox_to_anchor=(1.0, 1.0),
            ncols=most,
            fontsize=7,
            title_fontsize=7,
            borderpad=0,
            borderaxespad=0.2,
            columnspacing=0.8,
            handlelength=0.9,
            handletextpad=0.3,
        )
    side.set_axis_on()
    bars = side.stairs(
        spikes.mean(0).tolist(), range(neurons + 1), orientation="horizontal", fill=True, color=theme.first
    )
    bars.set_rasterized(neurons > MANY)
    side.set_ylim(neurons, 0)
    side.set_xlim(left=0)
    side.set_title("mean", fontsize=7)
    side.tick_params(labelleft=False, left=False)
    side.locator_params(axis="x", nbins=2)


def _draw_strip(axes: "Axes", layer: LayerRecording, neuron: int, steps: int, sample: int, theme: Theme) -> None:
    """One row of a raster."""
    draw_spikes(axes, _series(layer.spikes, neuron, steps, sample).unsqueeze(1), spike_colours(layer, theme))
    axes.set_axis_off()


def _draw_output(axes: "Axes", output: Tensor, target: int | None, names: Sequence[str] | None, theme: Theme) -> None:
    """The output ``[T, K, *]`` as curves; of classes the largest at the end in colour, the target too if it is another."""
    values = output.flatten(1).float().cpu()
    if target is None:
        shown = torch.linspace(0, values.shape[1] - 1, min(values.shape[1], 20)).long().tolist()
        which = "" if len(shown) == values.shape[1] else f", {len(shown)} of them"
        axes.set_title(f"output: {values.shape[1]:,} channel{'s' * (values.shape[1] != 1)}{which}")
        for channel in shown:
            axes.plot(values[:, channel].tolist(), color=theme.first, linewidth=0.9, alpha=0.7)
        return

    def name(channel: int) -> str:
        return str(channel) if names is None else names[channel]

    winner = int(values[-1].argmax())
    shown = values[-1].argsort(descending=True)[:20].tolist()
    coloured = {target: theme.second, winner: theme.first}
    axes.set_title(f"output so far: {name(winner)} is largest at the end, the target is {name(target)}")
    for channel in shown:
        colour = coloured.get(channel, theme.faint)
        width = 2.0 if channel in coloured else 1.0
        axes.plot(values[:, channel].tolist(), color=colour, linewidth=width, zorder=2 + (channel in coloured))
    for channel, colour in coloured.items():
        axes.annotate(
            name(channel),
            (1.0, float(values[-1, channel])),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            fontweight="bold",
            annotation_clip=False,
        )


def _draw_membrane(axes: "Axes", layer: LayerRecording, neuron: int, steps: int, sample: int, theme: Theme) -> None:
    membrane = _series(layer.traces["membrane"], neuron, steps, sample)
    axes.plot(membrane.tolist(), color=theme.first, linewidth=1.1)
    high = float(membrane.max())
    for index, level in enumerate(thresholds(layer.neuron, steps).unbind(1)):
        # The first threshold is always shown; a higher one only where the membrane reaches it.
        if index == 0 or float(level.min()) <= high:
            axes.plot(level.tolist(), color=theme.second, linewidth=0.8, linestyle=(0, (5, 3)), zorder=1)
    axes.set_ylabel("membrane")


def _draw_decay(axes: "Axes", decay: Tensor, theme: Theme) -> None:
    """On a logit axis, on which 0.9, 0.99 and 0.999 are as far apart as they are in time constant."""
    values = decay.clamp(1e-4, 1 - 1e-4).logit()
    axes.plot(values.tolist(), color=theme.third, linewidth=1.1)
    ticks = torch.tensor([0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999])
    places = ticks.logit()
    least, most = values.nan_to_num().aminmax()  # an axis needs limits where the curve has gaps
    low, high = places[places <= least], places[places >= most]
    bottom = float(low[-1]) if len(low) else float(least)
    top = float(high[0]) if len(high) else float(most)
    axes.set_ylim(bottom - 0.3, top + 0.3)
    kept = (places >= bottom) & (places <= top)
    axes.set_yticks(places[kept].tolist(), [f"{tick:g}" for tick in ticks[kept].tolist()])
    axes.grid(axis="y")
    axes.set_ylabel("decay")


def _telling_neurons(layer: LayerRecording, steps: int, sample: int, count: int) -> list[int]:
    """From each of `count` groups, quick to slow, the neuron whose number of spikes changes most often."""
    spikes = layer.spikes[:steps, sample].flatten(1).cpu()
    changes = (spikes[1:] != spikes[:-1]).sum(0)
    order = _by_decay(layer, steps, sample)
    order = torch.arange(spikes.shape[1]) if order is None else order
    return [int(group[changes[group].argmax()]) for group in order.chunk(count)]


def _by_decay(layer: LayerRecording, steps: int, sample: int) -> Tensor | None:
    """Neurons (of the flattened ``[C, *]``) sorted by mean decay, the quickest first; None without that trace."""
    if "decay" not in layer.traces:
        return None
    return layer.traces["decay"][:steps, sample].flatten(1).float().mean(0).cpu().argsort(stable=True)


def _series(values: Tensor, neuron: int, steps: int, sample: int) -> Tensor:
    """One neuron (of the flattened ``[C, *]``) over time, ``[T]``."""
    return values[:steps, sample].flatten(1)[:, neuron].float().cpu()
