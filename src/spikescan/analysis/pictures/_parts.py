"""What several pictures are made of."""

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from spikescan.analysis._neurons import thresholds
from spikescan.analysis.recording import LayerRecording
from spikescan.analysis.theme import Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import ListedColormap

__all__ = ["MANY", "draw_channels", "draw_image", "draw_spikes", "spike_colours", "thin"]

MANY = 400
"""Bars or dots beyond which pixels take less room than shapes."""


def draw_image(axes: "Axes", image: Tensor, theme: Theme) -> None:
    """``[H, W]`` or ``[1, H, W]`` in ink on paper, as the input beside it; ``[3, H, W]`` in its colours."""
    from matplotlib.colors import LinearSegmentedColormap

    pixels = image.float().cpu()
    if pixels.dim() == 3 and len(pixels) == 3:
        axes.imshow(pixels.permute(1, 2, 0).clamp(0.0, 1.0).numpy(), interpolation="nearest")
        return
    inks = LinearSegmentedColormap.from_list("ink", [theme.paper, theme.ink])
    axes.imshow(pixels.view(pixels.shape[-2:]).numpy(), cmap=inks, interpolation="nearest")


def draw_channels(axes: "Axes", values: Tensor) -> None:
    """``[T, C]`` as a picture with a row for each channel."""
    axes.imshow(
        thin(values).t().numpy(),
        aspect="auto",
        cmap="cividis",
        extent=(0, len(values), values.shape[1], 0),
        interpolation="nearest",
    )


def draw_spikes(axes: "Axes", spikes: Tensor, colours: "ListedColormap") -> None:
    """``[T, N]`` as pixels, a row for each neuron, in the colours of `spike_colours`."""
    steps, neurons = spikes.shape
    axes.imshow(
        thin(spikes).t().numpy(),
        aspect="auto",
        cmap=colours,
        vmin=-0.5,
        vmax=colours.N - 0.5,
        extent=(0, steps, neurons, 0),
        interpolation="nearest",
    )


def spike_colours(layer: LayerRecording, theme: Theme) -> "ListedColormap":
    """A colour for each number of spikes, from none to the most that the neuron can give."""
    from matplotlib.colors import ListedColormap

    # Weights that overflowed give spikes that are no numbers: pixels left blank.
    spikes = layer.spikes.nan_to_num(0.0, 0.0, 0.0)
    most = max(thresholds(layer.neuron, 1).shape[1], 1, int(spikes.max()))
    return ListedColormap([theme.paper, *theme.shades(most)])


def thin(values: Tensor, columns: int = 2000, rows: int = 400) -> Tensor:
    """``[T, N]`` with no more pixels than can be seen; the largest of a pixel stays, so that no spike vanishes."""
    window = (math.ceil(values.shape[0] / columns), math.ceil(values.shape[1] / rows))
    return torch.nn.functional.max_pool2d(values.unsqueeze(0), window, ceil_mode=True).squeeze(0)
