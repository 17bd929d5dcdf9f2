"""How pictures look, and how they become text."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spikescan.errors import BackendError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DARK", "LIGHT", "Theme", "svg"]


@dataclass(frozen=True)
class Theme:
    """Colours, safe for colour-blind readers (after Okabe and Ito), on a light or a dark page."""

    paper: str
    ink: str
    faint: str
    """Grid lines, and whatever stays in the background."""
    first: str
    second: str
    third: str
    few: str
    """The shade of a single spike, where `many` is that of the most."""
    many: str

    @contextmanager
    def figure(self, width: float, height: float) -> Iterator["Figure"]:
        """An empty figure of so many inches, with everything drawn inside the context in these colours."""
        try:
            from matplotlib import rc_context
            from matplotlib.figure import Figure
        except ImportError as error:
            raise BackendError("Pictures need matplotlib: pip install 'spikescan[train]'") from error
        style: dict[str, Any] = {
            "figure.facecolor": self.paper,
            "axes.facecolor": self.paper,
            "axes.edgecolor": self.faint,
            "axes.labelcolor": self.ink,
            "axes.labelsize": 9,
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlecolor": self.ink,
            "axes.titlelocation": "left",
            "axes.titlesize": 10,
            "font.family": "DejaVu Sans",
            "font.size": 9,
            "grid.color": self.faint,
            "grid.linewidth": 0.6,
            "legend.frameon": False,
            "lines.linewidth": 1.6,
            "text.color": self.ink,
            # A name with a dollar sign is a name, not a formula.
            "text.parse_math": False,
            "xtick.color": self.faint,
            "xtick.labelcolor": self.ink,
            "xtick.labelsize": 8,
            "ytick.color": self.faint,
            "ytick.labelcolor": self.ink,
            "ytick.labelsize": 8,
        }
        with rc_context(style):  # type: ignore[arg-type]  # its stubs want a literal type for each key
            yield Figure(figsize=(width, height), layout="constrained")

    def shades(self, count: int) -> list[str]:
        """Colours from `few` to `many`; the last is always `many`."""
        from matplotlib.colors import LinearSegmentedColormap, to_hex

        shade = LinearSegmentedColormap.from_list("shades", [self.few, self.many])
        return [to_hex(shade((place + 1) / count if count < 3 else place / (count - 1))) for place in range(count)]

    def palette(self, count: int) -> list[str]:
        """Colours that are told apart, one for each of `count` classes."""
        from matplotlib import colormaps
        from matplotlib.colors import to_hex

        if count <= len(_OKABE_ITO):
            return list(_OKABE_ITO[:count])
        return [to_hex(colormaps["turbo"](0.05 + 0.9 * place / (count - 1))) for place in range(count)]


_OKABE_ITO = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999", "#f0e442")

LIGHT = Theme("#ffffff", "#1c2733", "#d5dbe1", "#0072b2", "#d55e00", "#009e73", "#8cc4e8", "#06304f")
DARK = Theme("#151b22", "#dfe6ee", "#3a4551", "#56b4e9", "#f0915a", "#2fc79c", "#2f6f9f", "#e6f4ff")


def svg(figure: "Figure") -> str:
    """A figure as SVG text without a date; pictures of pixels in it have 200 dots an inch."""
    from matplotlib import rc_context

    text = io.StringIO()
    with rc_context({"svg.hashsalt": "spikescan"}):
        figure.savefig(text, format="svg", dpi=200, metadata={"Date": None, "Creator": None})
    return text.getvalue()
