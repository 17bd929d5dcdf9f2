"""Words for the terminal."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["amount", "duration", "first_line", "options"]


def first_line(thing: Callable[..., Any]) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def options(thing: Callable[..., Any], skip: Iterable[str] = ()) -> str:
    """What a user may set, with defaults: ``tau=0.25, kernel_size=4``."""
    parameters = [p for p in inspect.signature(thing).parameters.values() if p.name not in set(skip)]
    return ", ".join(p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters)


def amount(value: float) -> str:
    """1234567 as ``1.2 M``."""
    for factor, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= factor:
            return f"{value / factor:.1f}{unit}"
    return f"{value:.0f}"


def duration(seconds: float) -> str:
    """75 as ``1:15``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
