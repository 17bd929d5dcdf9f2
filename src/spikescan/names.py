"""Choosing by name: a name that does not exist is answered with the nearest one that does."""

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

from spikescan.errors import InputError

__all__ = ["check_names", "choose_named", "nearest"]

Choice = TypeVar("Choice")


def choose_named(kind: str, table: Mapping[str, Choice], name: str) -> Choice:
    """The entry `name` of a table of what `kind` says, such as ``"neuron"``.

    Raises:
        InputError: it has none; the message shows the nearest name and all of them.
    """
    if name not in table:
        raise InputError(f"There is no {kind} {name!r}. {nearest(name, table)}Known: {', '.join(sorted(table))}.")
    return table[name]


def check_names(owner: str, kind: str, given: Iterable[str], known: Collection[str]) -> None:
    """Raise `InputError` unless `owner` knows all names in `given`, which are of what `kind` says, such as ``"option"``."""
    for name in given:
        if name not in known:
            takes = ", ".join(known) or "none"
            raise InputError(f"{owner} has no {kind} {name!r}. {nearest(name, known)}It takes: {takes}.")


def nearest(given: str, known: Iterable[str]) -> str:
    """``Did you mean 'train'? ``, or nothing if no known name is near."""
    found = difflib.get_close_matches(given, list(known), n=1)
    return f"Did you mean {found[0]!r}? " if found else ""
