"""Forecasts and other real numbers, against what came."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spikescan.analysis.theme import LIGHT, Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spikescan.analysis.findings import ForecastErrors, Pairs, Window

__all__ = ["forecast_errors", "forecasts", "pairs"]


def forecasts(windows: Sequence["Window"], *, variables: int = 3, theme: Theme = LIGHT) -> "Figure":
    """Some windows (rows) and variables (columns): the past, what came, what was forecast, and the last value repeated."""
    count = len(windows[0].names)
    # From the first to the last, which is often the one that counts.
    shown = sorted({round(place * (count - 1) / max(variables - 1, 1)) for place in range(variables)})
    with theme.figure(11.0, 1.9 * len(windows) + 0.6) as figure:
        panels = figure.subplots(len(windows), len(shown), squeeze=False)
        for row, window in zip(panels, windows, strict=True):
            horizon = len(window.future)
            past = window.past[-2 * horizon :]
            before, after = range(-len(past) + 1, 1), range(1, horizon + 1)
            for axes, column in zip(row, shown, strict=True):
                last = float(past[-1, column])
                axes.plot(before, past[:, column].tolist(), color=theme.ink, linewidth=1.0, label="past")
                axes.plot(after, window.future[:, column].tolist(), color=theme.first, linewidth=1.2, label="what came")
                axes.plot(
                    after, window.forecast[:, column].tolist(), color=theme.second, linewidth=1.4, label="forecast"
                )
                axes.plot(
                    [0, horizon], [last, last], color=theme.third, linewidth=1.0, linestyle="--", label="last value"
                )
                axes.axvline(0, color=theme.faint, linewidth=0.8)
                axes.set_xlim(-len(past) + 1, horizon)
        for axes, column in zip(panels[0], shown, strict=True):
            axes.set_title(windows[0].names[column])
        for axes in panels[-1]:
            axes.set_xlabel("steps from now")
        figure.legend(
            *panels[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=4, labelcolor=theme.ink
        )
        return figure


def forecast_errors(errors: "ForecastErrors", *, theme: Theme = LIGHT) -> "Figure":
    """The mean squared error by how many steps ahead."""
    with theme.figure(5.4, 3.0) as figure:
        axes = figure.subplots()
        axes.set_title("mean squared error by steps ahead")
        ahead = range(1, len(errors.by_step) + 1)
        marker = "o" if len(errors.by_step) == 1 else None
        axes.plot(ahead, errors.by_step.tolist(), color=theme.second, marker=marker, label="this model")
        axes.plot(
            ahead, errors.repeat_last.tolist(), color=theme.third, marker=marker, linestyle="--", label="last value"
        )
        axes.set_ylim(bottom=0)
        axes.set_xlabel("steps ahead")
        axes.grid(axis="y")
        axes.legend(labelcolor=theme.ink, fontsize=8)
        return figure


def pairs(shown: "Pairs", *, theme: Theme = LIGHT) -> "Figure":
    """Outputs against targets, a panel for each of the first few numbers; on the diagonal they are equal."""
    count = min(shown.targets.shape[1], 4)
    with theme.figure(2.75 * count + 0.6, 3.0) as figure:
        panels = figure.subplots(1, count, squeeze=False)[0]
        for number, axes in enumerate(panels):
            targets, outputs = shown.targets[:, number], shown.outputs[:, number]
            axes.scatter(targets.tolist(), outputs.tolist(), s=9, color=theme.first, alpha=0.5, linewidth=0)
            start = float(targets.mean())
            axes.axline((start, start), slope=1.0, color=theme.second, linewidth=1.0)
            axes.set_xlabel("target")
            if count > 1:
                axes.set_title(f"number {number + 1}")
        panels[0].set_ylabel("output")
        return figure
