"""Inputs as their users know them: events, sound, signals."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from spikescan.analysis.pictures._parts import draw_channels
from spikescan.analysis.theme import LIGHT, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_signals", "event_frames", "event_image", "signals", "waveform"]

_CURVES = 4000
"""Points of a curve beyond which its envelope is drawn: more than can be seen."""


def event_frames(frames: Tensor, *, count: int = 8, theme: Theme = LIGHT) -> "Figure":
    """Events ``[T, 2, H, W]`` over time, in `count` pictures that together hold all of them: a colour for each polarity."""
    from matplotlib.patches import Patch

    parts = torch.arange(len(frames)).tensor_split(min(count, len(frames)))
    sums = torch.stack([frames[part].float().sum(0) for part in parts])
    with theme.figure(11.0, 1.9 * math.ceil(len(parts) / 8) + 0.45) as figure:
        panels = figure.subplots(math.ceil(len(parts) / 8), min(len(parts), 8), squeeze=False)
        pictures = _polarities(sums, theme)
        for axes, part, picture in zip(panels.flat, parts, pictures, strict=False):
            axes.imshow(picture.numpy(), interpolation="nearest")
            first, last = int(part[0]), int(part[-1])
            axes.set_title(f"step {first}" if first == last else f"steps {first} to {last}", fontsize=8)
            axes.set_xticks([])
            axes.set_yticks([])
        figure.legend(
            handles=[Patch(color=theme.first, label="brighter"), Patch(color=theme.second, label="darker")],
            loc="outside lower right",
            ncols=2,
            labelcolor=theme.ink,
            fontsize=8,
        )
        return figure


def event_image(frames: Tensor, theme: Theme) -> Tensor:
    """All events ``[T, 2, H, W]`` in one picture ``[3, H, W]``, a colour for each polarity."""
    return _polarities(frames.float().sum(0).unsqueeze(0), theme)[0].permute(2, 0, 1)


def waveform(samples: Tensor, rate: int, *, theme: Theme = LIGHT) -> "Figure":
    """Sound ``[samples]`` over time in seconds."""
    values = samples.float().cpu()
    with theme.figure(11.0, 1.8) as figure:
        axes = figure.subplots()
        window = math.ceil(len(values) / (_CURVES // 2))
        low, high = (_pooled(sign * values, window) * sign for sign in (-1.0, 1.0))
        seconds = (torch.arange(len(high)) * (window / rate)).tolist()
        if window > 1:
            axes.fill_between(seconds, low.tolist(), high.tolist(), color=theme.first, linewidth=0.5)
        else:
            axes.plot(seconds, values.tolist(), color=theme.first, linewidth=0.8)
        axes.set_xlim(0, len(values) / rate)
        axes.set_xlabel(f"seconds, {rate:,} samples each")
        axes.set_ylabel("sound")
        return figure


def signals(values: Tensor, names: Sequence[str], *, theme: Theme = LIGHT) -> "Figure":
    """Signals ``[T, C]`` over time."""
    with theme.figure(11.0, 2.2) as figure:
        axes = figure.subplots()
        draw_signals(axes, values, names, theme)
        axes.set_xlabel("time step")
        return figure


def draw_signals(axes: "Axes", values: Tensor, names: Sequence[str], theme: Theme) -> None:
    """Signals ``[T, C]`` as curves; as a picture with a row for each channel if there are many."""
    values = values.flatten(1).float().cpu()
    if values.shape[1] > 8:
        draw_channels(axes, values)
        axes.set_ylabel("channel")
        return
    for column, (name, colour) in enumerate(zip(names, theme.palette(len(names)), strict=True)):
        axes.plot(values[:, column].tolist(), color=colour, linewidth=1.1, label=name)
    axes.set_xlim(0, len(values))
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(names), labelcolor=theme.ink, fontsize=8)


def _polarities(counts: Tensor, theme: Theme) -> Tensor:
    """Counts ``[n, 2, H, W]`` as colours ``[n, H, W, 3]``: strong where there are many, in the shade of both their shares."""
    from matplotlib.colors import to_rgb

    counts = counts.cpu().clamp(min=0.0)
    total = counts.sum(1, keepdim=True)
    seen = total[total > 0]
    # A few pixels flicker; they would leave all others pale.
    full = float(seen.kthvalue(math.ceil(0.95 * len(seen))).values) if len(seen) else 1.0
    strength = (total / full).clamp(max=1.0).sqrt().squeeze(1).unsqueeze(-1)
    darker, brighter = (counts / total.clamp(min=1e-9)).unsqueeze(-1).unbind(1)
    paper, first, second = (torch.tensor(to_rgb(colour)) for colour in (theme.paper, theme.first, theme.second))
    return paper + strength * (brighter * first + darker * second - paper)


def _pooled(values: Tensor, window: int) -> Tensor:
    """The largest of each `window` of ``[n]``."""
    return torch.nn.functional.max_pool1d(values.view(1, 1, -1), window, ceil_mode=True).view(-1)
