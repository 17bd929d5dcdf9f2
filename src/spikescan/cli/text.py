"""Words for the terminal."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from spikescan.neurons.base import Cost, Temporal

__all__ = ["amount", "columns", "cost_in_words", "duration", "first_line", "limits_in_words", "options"]


def first_line(thing: Callable[..., Any]) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def options(thing: Callable[..., Any], skip: Iterable[str] = ()) -> str:
    """What a user may set, with defaults: ``tau=0.25, kernel_size=4``."""
    parameters = [p for p in inspect.signature(thing).parameters.values() if p.name not in set(skip)]
    return ", ".join(p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters)


def limits_in_words(neuron: Temporal | type[Temporal]) -> str:
    """What a neuron can do: ``causal, streams, any T``."""
    words = [
        "causal" if neuron.causal else "not causal",
        "streams" if neuron.streamable else "no step",
        "fixed T" if neuron.length_bound else "any T",
    ]
    return ", ".join([*words, "stochastic in training"] if neuron.stochastic else words)


def cost_in_words(cost: Cost) -> str:
    """What a neuron does in a step: ``5 multiplications, 6 additions, 2 transcendentals, 16 B of state``."""
    counts = cost._asdict()
    state = counts.pop("state_bytes")
    done = [f"{count:g} {name.removesuffix('s') if count == 1 else name}" for name, count in counts.items() if count]
    return ", ".join([*done, f"{state:g} B of state"]) + ", a neuron and step"


def amount(value: float) -> str:
    """1234567 as ``1.2 M``."""
    for factor, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= factor:
            return f"{value / factor:.1f}{unit}"
    return f"{value:.0f}"


def columns(rows: Sequence[Sequence[str]], words: int) -> str:
    """A table, its first `words` columns to the left and the numbers after them to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            f"{cell:<{width}}" if index < words else f"{cell:>{width}}"
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def duration(seconds: float) -> str:
    """75 as ``1:15``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
