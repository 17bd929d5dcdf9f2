"""Targets at every step, over time, beside what the model said."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from spikescan.analysis.pictures.originals import draw_signals
from spikescan.analysis.theme import LIGHT, Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spikescan.analysis.findings import Bands, Track

__all__ = ["label_bands", "tracks"]


def label_bands(bands: Sequence["Bands"], names: Sequence[str], *, theme: Theme = LIGHT) -> "Figure":
    """Of some samples the input, and under it in colours the class of each step: what it is, and what the model said."""
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    colours = theme.palette(len(names))
    with theme.figure(11.0, 2.5 * len(bands) + 0.5) as figure:
        panels = figure.subplots(2 * len(bands), 1, squeeze=False, height_ratios=[1.6, 0.6] * len(bands))[:, 0]
        for signal, strip, sample in zip(panels[0::2], panels[1::2], bands, strict=True):
            draw_signals(signal, sample.signals, sample.signal_names, theme)
            signal.tick_params(labelbottom=False)
            signal.set_xlim(0, len(sample.targets))
            rows = sample.rows.float().numpy()
            strip.imshow(
                rows,
                aspect="auto",
                cmap=ListedColormap([theme.paper, *colours]),
                vmin=-1.5,
                vmax=len(names) - 0.5,
                extent=(0, rows.shape[1], 2, 0),
                interpolation="nearest",
            )
            strip.axhline(1, color=theme.paper, linewidth=2)
            strip.set_yticks([0.5, 1.5], ["truth", "model"])
            signal.set_title(f"{sample.agreement:.1%} of the steps agree")
        panels[-1].set_xlabel("time step")
        figure.legend(
            handles=[Patch(color=colour, label=name) for colour, name in zip(colours, names, strict=True)][:20],
            loc="outside lower center",
            ncols=min(len(names), 10),
            labelcolor=theme.ink,
            fontsize=8,
        )
        return figure


def tracks(shown: Sequence["Track"], *, theme: Theme = LIGHT) -> "Figure":
    """Of some samples the numbers that each step should have given, and those that the model gave."""
    panels_each = [min(track.targets.shape[1], 3) for track in shown]
    with theme.figure(11.0, 1.6 * sum(panels_each) + 0.5) as figure:
        panels = iter(figure.subplots(sum(panels_each), 1, squeeze=False)[:, 0])
        for number, (track, count) in enumerate(zip(shown, panels_each, strict=True)):
            for column in range(count):
                axes = next(panels)
                axes.set_title(
                    f"sample {number + 1}" + (f", number {column + 1}" if track.targets.shape[1] > 1 else "")
                )
                _draw_track(axes, track.targets[:, column], track.outputs[:, column], theme)
        axes.set_xlabel("time step")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=2, labelcolor=theme.ink)
        return figure


def _draw_track(axes, targets: Tensor, outputs: Tensor, theme: Theme) -> None:  # type: ignore[no-untyped-def]
    axes.plot(targets.tolist(), color=theme.ink, linewidth=1.2, label="truth")
    axes.plot(outputs.tolist(), color=theme.second, linewidth=1.2, label="model")
    axes.set_xlim(0, max(len(targets) - 1, 1))
