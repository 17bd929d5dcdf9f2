"""The pictures of a comparison: each function draws one figure from rows, for a light or a dark page."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spikescan.analysis.theme import LIGHT, Theme
from spikescan.comparison.table import COLUMNS, Row, label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["score_against", "scores"]

_MARKERS = {"binary": "o", "integer": "s", "none": "^"}


def scores(rows: Sequence[Row], *, theme: Theme = LIGHT) -> "Figure":
    """The test score of every neuron and control, over its seeds; binary and integer spikes in one line apart.

    Args:
        rows: with at least one seed that was trained each, contenders before controls.
        theme: the colours.
    """
    lines = list(dict.fromkeys((row.contender, row.control) for row in rows))
    with theme.figure(11.0, 0.42 * len(lines) + 1.1) as figure:
        axes = figure.subplots()
        for row in rows:
            place = lines.index((row.contender, row.control)) + _offset(row)
            values = [measured.test_score for measured in row.measured]
            colour = _colour(row, theme)
            axes.plot([min(values), max(values)], [place, place], color=colour, linewidth=1.2)
            axes.scatter(values, [place] * len(values), s=14, color=colour, marker=_MARKERS[row.firing], alpha=0.7)
            mean = sum(values) / len(values)
            axes.plot([mean, mean], [place - 0.13, place + 0.13], color=colour, linewidth=2.5)
        plain = sum(not control for _, control in lines)
        if 0 < plain < len(lines):
            axes.axhline(plain - 0.5, color=theme.ink, linewidth=0.8)
        names = [name if control in ("", name) else f"{name}, {control}" for name, control in lines]
        axes.set_yticks(range(len(lines)), names)
        axes.set_ylim(len(lines) - 0.5, -0.5)
        axes.set_xlabel(_score_axis(rows))
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        _legend(axes, rows, theme)
        return figure


def score_against(rows: Sequence[Row], quantity: str, axis: str, factor: float, *, theme: Theme = LIGHT) -> "Figure":
    """The mean test score against another number, a panel for each kind of firing.

    Args:
        rows: as for `scores`; those without the number are left out.
        quantity: a name of `COLUMNS`.
        axis: what stands beneath.
        factor: on the number.
        theme: the colours.
    """
    points = [
        (row, found.mean * factor, row.score.mean)
        for row in rows
        if row.score is not None and (found := row.over_seeds(COLUMNS[quantity])) is not None and found.mean > 0.0
    ]
    kinds = [kind for kind in ("binary", "integer") if any(row.firing == kind for row, _, _ in points)] or ["none"]
    with theme.figure(11.0, 4.2) as figure:
        panels = figure.subplots(1, len(kinds), sharex=True, sharey=True, squeeze=False)[0]
        for axes, kind in zip(panels, kinds, strict=True):
            # What does not spike stands in every panel, to be compared with.
            shown = sorted((p for p in points if p[0].firing in (kind, "none")), key=lambda point: point[1])
            for place, (row, x, y) in enumerate(shown):
                colour = _colour(row, theme)
                axes.scatter([x], [y], s=28, color=colour, marker=_MARKERS[row.firing])
                axes.annotate(
                    label(row).removesuffix(f", {kind}"),
                    (x, y),
                    textcoords="offset points",
                    xytext=(0, 6 if place % 2 else -12),
                    ha="center",
                    fontsize=7,
                )
            axes.set_title(f"{kind} spikes")
            _log_scale(axes)
            axes.set_xlabel(axis)
            axes.margins(0.12)
            axes.grid()
            axes.set_axisbelow(True)
        panels[0].set_ylabel(_score_axis(rows))
        return figure


def _log_scale(axes: "Axes") -> None:
    """With plain numbers: the theme reads no formulas, which powers of ten would be."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _offset(row: Row) -> float:
    """Where a row stands within its line."""
    return {"binary": -0.17, "integer": 0.17}.get(row.firing, 0.0)


def _colour(row: Row, theme: Theme) -> str:
    return {"binary": theme.first, "integer": theme.second}.get(row.firing, theme.third)


def _score_axis(rows: Sequence[Row]) -> str:
    measured = rows[0].measured[0]
    return f"test {measured.score_name}, {'higher' if measured.higher_is_better else 'lower'} is better"


def _legend(axes: "Axes", rows: Sequence[Row], theme: Theme) -> None:
    words = {"binary": "binary spikes", "integer": "integer spikes", "none": "no spikes"}
    for firing in dict.fromkeys(row.firing for row in rows):
        row = next(row for row in rows if row.firing == firing)
        axes.scatter([], [], color=_colour(row, theme), marker=_MARKERS[firing], s=20, label=words[firing])
    axes.legend(
        labelcolor=theme.ink, fontsize=8, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, borderaxespad=0.1
    )
