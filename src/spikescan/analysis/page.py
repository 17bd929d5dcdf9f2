"""HTML from plain values: a page that needs nothing from anywhere else, in a light and a dark dress."""

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from spikescan.analysis.theme import DARK, LIGHT, Theme, svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Draw",
    "entries",
    "fold",
    "grid",
    "page",
    "picture",
    "quotation",
    "remark",
    "section",
    "table",
    "tiles",
    "verdict",
]


def page(title: str, subtitle: str, sections: Iterable[str]) -> str:
    """A whole document; `sections` are HTML, the rest is plain text."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{_text(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<header><h1>{_text(title)}</h1><p class="quiet">{_text(subtitle)}</p></header>\n'
        + "\n".join(sections)
        + "\n</main>\n</body>\n</html>\n"
    )


def section(heading: str, *parts: str) -> str:
    """Parts, which are HTML, under a heading."""
    return f"<section>\n<h2>{_text(heading)}</h2>\n" + "\n".join(parts) + "\n</section>"


def tiles(numbers: Iterable[tuple[str, str, str]]) -> str:
    """Large numbers side by side: of each a name, the number, and a remark."""
    cells = (
        f'<div class="tile"><dt>{_text(name)}</dt><dd>{_text(number)}<small>{_text(remark)}</small></dd></div>'
        for name, number, remark in numbers
    )
    return f'<dl class="tiles">{"".join(cells)}</dl>'


def verdict(good: bool, statement: str, explanation: str) -> str:
    """The one sentence that matters most, with a mark that is read without its colour."""
    kind, mark, spoken = ("good", "✓", "holds") if good else ("bad", "✗", "fails")
    return (
        f'<div class="verdict {kind}"><span class="mark" role="img" aria-label="{spoken}">{mark}</span>'
        f"<div><strong>{_text(statement)}</strong><p>{_text(explanation)}</p></div></div>"
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], caption: str) -> str:
    """A table whose first column names the row."""
    head = "".join(f'<th scope="col">{_text(column)}</th>' for column in columns)
    body = "".join(
        f'<tr><th scope="row">{_text(name)}</th>{"".join(f"<td>{_text(value)}</td>" for value in values)}</tr>'
        for name, *values in rows
    )
    return (
        f'<div class="scroll"><table><caption>{_text(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def entries(values: Mapping[str, object]) -> str:
    """Names and values, those of nested mappings as ``outer.inner``."""
    rows = "".join(
        f'<tr><th scope="row">{_text(name)}</th><td>{_text(value)}</td></tr>' for name, value in _flat(values)
    )
    return f'<div class="scroll"><table class="entries"><tbody>{rows}</tbody></table></div>'


class Draw(Protocol):
    """A picture that only waits for its colours."""

    def __call__(self, *, theme: Theme) -> "Figure":
        """Draw it."""


def picture(draw: Draw, description: str, caption: str = "", *, wide: bool = False) -> str:
    """A figure drawn for light and for dark pages, of which the browser shows the one that fits.

    Args:
        draw: makes the figure in a theme.
        description: what one sees, for those who do not.
        caption: plain text beneath it.
        wide: keeps a readable width on a narrow screen, where the reader scrolls sideways.
    """
    figure = (
        f'<picture><source media="(prefers-color-scheme: dark)" srcset="{_embed(draw(theme=DARK))}">'
        f'<img src="{_embed(draw(theme=LIGHT))}" alt="{_text(description)}"></picture>'
    )
    # What can scroll must be reachable from the keyboard.
    body = f'<div class="scroll wide" tabindex="0">{figure}</div>' if wide else figure
    return f"<figure>{body}{f'<figcaption>{_text(caption)}</figcaption>' if caption else ''}</figure>"


def remark(words: str) -> str:
    """A quiet sentence."""
    return f'<p class="quiet">{_text(words)}</p>'


def quotation(text: str, *, lead: str = "") -> str:
    """A text with its line breaks, `lead` before it in a quieter colour."""
    return f'<div class="scroll quotation" tabindex="0"><span class="quiet">{_text(lead)}</span>{_text(text)}</div>'


def grid(parts: Iterable[str]) -> str:
    """Parts, which are HTML, side by side where there is room."""
    return f'<div class="grid">{"".join(parts)}</div>'


def fold(summary: str, body: str, *, is_open: bool) -> str:
    """`body`, which is HTML, behind a line to click on."""
    return f"<details{' open' if is_open else ''}><summary>{_text(summary)}</summary>{body}</details>"


def _embed(figure: "Figure") -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg(figure).encode()).decode()


def _text(value: object) -> str:
    """`value` as text that cannot be taken for HTML."""
    return html.escape(str(value))


def _flat(values: Mapping[str, object], prefix: str = "") -> Iterable[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "none" if value is None or value == [] else value


_STYLE = """\
:root {
  --paper: #ffffff; --ground: #f3f5f7; --ink: #1c2733; --quiet: #586573; --line: #d5dbe1;
  --accent: #0072b2; --good: #00714f; --good-ground: #e4f4ee; --bad: #a83c00; --bad-ground: #fdebe0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #151b22; --ground: #0d1217; --ink: #dfe6ee; --quiet: #98a5b3; --line: #2d3742;
    --accent: #56b4e9; --good: #5bd6b2; --good-ground: #10291f; --bad: #f6ad87; --bad-ground: #331b10;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 2rem 1rem 4rem; }
header { margin: 0 0.25rem 1.5rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 0 0 1rem; }
p { margin: 0.25rem 0 0; max-width: 75ch; }
.quiet, figcaption, caption, small, dt { color: var(--quiet); }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 12px; padding: 1.25rem 1.5rem;
  margin: 0 0 1.25rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(135px, 1fr)); gap: 0.75rem;
  margin: 0 0 1.25rem; }
.tile { background: var(--paper); border: 1px solid var(--line); border-radius: 12px; padding: 0.8rem 1rem; }
.tile dt { font-size: 0.85rem; }
.tile dd { margin: 0; font-size: 1.5rem; font-weight: 650; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tile small { display: block; font-size: 0.8rem; font-weight: 400; line-height: 1.35; }
.verdict { display: flex; gap: 1rem; align-items: flex-start; border-radius: 10px; padding: 1rem 1.25rem;
  margin-bottom: 1rem; }
.verdict strong { font-size: 1.2rem; line-height: 1.35; }
.verdict p { font-size: 0.95rem; }
.verdict .mark { font-size: 1.6rem; line-height: 1.1; font-weight: 700; }
.good { background: var(--good-ground); } .good .mark, .good strong { color: var(--good); }
.bad { background: var(--bad-ground); } .bad .mark, .bad strong { color: var(--bad); }
figure { margin: 0; }
figcaption { font-size: 0.9rem; margin-top: 0.5rem; max-width: 85ch; }
picture, img { display: block; width: 100%; height: auto; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 440px), 1fr)); gap: 1.25rem;
  align-items: start; }
section > figure + figure, .grid + p, figure + .scroll, figure + .grid, .scroll + .scroll, .scroll + figure {
  margin-top: 1.25rem; }
.scroll { overflow-x: auto; }
.quotation { white-space: pre-wrap; overflow-wrap: anywhere; max-height: 26rem; overflow-y: auto; background: var(--ground);
  border-radius: 8px; padding: 0.8rem 1rem; font: 0.9rem/1.45 ui-monospace, monospace; margin-bottom: 1rem; }
.wide img { min-width: 720px; }
table { border-collapse: collapse; width: 100%; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: 0.4rem; }
th, td { padding: 0.35rem 1rem 0.35rem 0; text-align: right; border-bottom: 1px solid var(--line); font-weight: 400;
  vertical-align: top; }
thead th { color: var(--quiet); }
th:first-child, .entries td { text-align: left; }
th:last-child, td:last-child { padding-right: 0; }
.entries th { color: var(--quiet); width: 1%; padding-right: 2rem; }
.entries td { overflow-wrap: anywhere; }
details { border-top: 1px solid var(--line); padding: 0.6rem 0; }
summary { cursor: pointer; font-weight: 600; padding: 0.2rem 0; }
summary:focus-visible, .scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
@media (max-width: 600px) {
  main { padding: 1rem 0.6rem 3rem; }
  section { padding: 1rem; }
  .tile:last-child:nth-child(odd) { grid-column: span 2; }
}
@media print { section, .tile { break-inside: avoid; } body { background: none; } }
"""
