"""What training did, epoch by epoch."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from spikescan.analysis.theme import LIGHT, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["learning_curve", "rate_curves", "speed_curve"]


def learning_curve(
    epochs: Sequence[float],
    train: Sequence[float],
    validation: Sequence[float],
    *,
    name: str,
    best: float | None = None,
    theme: Theme = LIGHT,
) -> "Figure":
    """One quantity over the epochs, in training and validation.

    Args:
        epochs: the numbers of the epochs.
        train: one value an epoch; empty if there are none.
        validation: one value an epoch; empty if there are none.
        name: of the quantity, such as ``"accuracy"``.
        best: the epoch whose weights were kept, marked if given.
        theme: the colours.
    """
    with theme.figure(5.4, 3.0) as figure:
        axes = figure.subplots()
        axes.set_title(name)
        for label, values, colour, marker in (
            ("train", train, theme.second, "s"),
            ("validation", validation, theme.first, "o"),
        ):
            if len(values) == 0:
                continue
            axes.plot(epochs, values, color=colour, marker=marker, markersize=3.5, label=f"{label} {values[-1]:.4g}")
        if best is not None:
            axes.axvline(best, color=theme.ink, linewidth=0.8, linestyle=":")
        axes.legend(labelcolor=theme.ink, fontsize=8)
        _epochs(axes, epochs)
        return figure


def speed_curve(epochs: Sequence[float], neuron_steps_per_second: Sequence[float], *, theme: Theme = LIGHT) -> "Figure":
    """Training speed in millions of neuron-steps per second, epoch by epoch."""
    with theme.figure(5.4, 3.0) as figure:
        axes = figure.subplots()
        axes.set_title("training speed, million neuron-steps per second")
        axes.bar(epochs, [value / 1e6 for value in neuron_steps_per_second], color=theme.third, width=0.7)
        _epochs(axes, epochs)
        return figure


def rate_curves(epochs: Sequence[float], rates: Mapping[str, Sequence[float]], *, theme: Theme = LIGHT) -> "Figure":
    """The firing rate of every layer over the epochs, in spikes per neuron and time step; deeper layers are darker."""
    with theme.figure(5.4, 3.0) as figure:
        axes = figure.subplots()
        axes.set_title("firing rate in validation, spikes per neuron per step")
        shades = theme.shades(len(rates))
        for (name, values), colour in zip(rates.items(), shades, strict=True):
            axes.plot(epochs, values, color=colour, marker="o", markersize=3.5, label=f"{name} {values[-1]:.3g}")
        if len(rates) <= 8:
            axes.legend(labelcolor=theme.ink, fontsize=8)
        axes.set_ylim(bottom=0)
        _epochs(axes, epochs)
        return figure


def _epochs(axes: "Axes", epochs: Sequence[float]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.grid(axis="y")
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10))
    if len(epochs):
        axes.set_xlim(min(epochs) - 0.6, max(epochs) + 0.6)
