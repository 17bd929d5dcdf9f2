"""Build an object from its class and the options a user wrote, or say which option is wrong."""

import inspect
from argparse import ArgumentError
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

from spikescan.errors import InputError
from spikescan.names import check_names

__all__ = ["checked_options", "construct", "option_names", "split_choice"]

T = TypeVar("T")


def split_choice(field: str, choice: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """``{"name": "dsn", "tau": 0.5}`` to ``("dsn", {"tau": 0.5})``."""
    if not isinstance(choice.get("name"), str):
        raise InputError(f"{field} is {dict(choice)}, expected a name and options, such as {field}: {{name: ...}}.")
    return choice["name"], {key: value for key, value in choice.items() if key != "name"}


def option_names(constructor: Callable[..., Any], given: Collection[str]) -> list[str]:
    """The arguments of `constructor` that are left to the user."""
    return [name for name in inspect.signature(constructor).parameters if name not in given]


def construct(owner: str, constructor: Callable[..., T], given: Mapping[str, Any], options: Mapping[str, Any]) -> T:
    """``constructor(**given, **options)``, with the options checked against the annotations of the constructor.

    An argument that takes an object is written as its class, ``firing: Integer``, or with its own arguments,
    ``firing: {class_path: Integer, init_args: {levels: 2}}``.

    Args:
        owner: what the messages call it, such as ``neuron dsn``.
        constructor: a class or function whose arguments are annotated.
        given: the arguments that the caller sets; options of these names are refused.
        options: what the user wrote.

    Raises:
        InputError: an option that does not exist, with the nearest that does; or one of the wrong type.
    """
    return constructor(**given, **checked_options(owner, constructor, given, options))


def checked_options(
    owner: str, constructor: Callable[..., Any], given: Collection[str], options: Mapping[str, Any]
) -> dict[str, Any]:
    """The options with the types that `constructor` declares; raises as `construct` does."""
    from jsonargparse import ArgumentParser

    known = option_names(constructor, given)
    check_names(owner, "option", options, known)
    parser = ArgumentParser(exit_on_error=False)
    add = parser.add_class_arguments if inspect.isclass(constructor) else parser.add_function_arguments
    add(constructor, None, skip={name for name in inspect.signature(constructor).parameters if name not in options})
    try:
        parsed = parser.instantiate(parser.parse_object(dict(options)))
    except ArgumentError as error:
        raise InputError(f"{owner}: {' '.join(str(error).split())}") from error
    return {name: parsed[name] for name in options}
