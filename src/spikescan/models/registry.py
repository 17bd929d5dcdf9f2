"""Models by name: a model is a function that builds it, registered under its own name."""

import fnmatch
from collections.abc import Callable
from typing import Any, TypeVar

from spikescan.errors import InputError
from spikescan.names import choose_named
from spikescan.neurons.base import Temporal

__all__ = ["create_model", "list_models", "model_builder", "register_model"]

Build = TypeVar("Build", bound=Callable[..., Temporal])

_models: dict[str, Callable[..., Temporal]] = {}


def register_model(build: Build) -> Build:
    """Decorate a function that builds a model, so that `create_model` finds it under the function's name.

    Defined again in the same module (a notebook cell run twice), it replaces the earlier one.

    Raises:
        InputError: a function of another module has this name already.
    """
    name = build.__name__
    known = _models.get(name, build)
    if known.__module__ != build.__module__:
        raise InputError(
            f"The model {name!r} of {build.__module__} is already registered by {known.__module__}; "
            f"rename one of the two functions."
        )
    _models[name] = build
    return build


def list_models(pattern: str = "*") -> list[str]:
    """The names of all registered models that match a shell pattern such as ``"mlp*"``, sorted."""
    return sorted(fnmatch.filter(_models, pattern))


def model_builder(name: str) -> Callable[..., Temporal]:
    """The function that builds the model `name`.

    Raises:
        InputError: there is no such model; the message has the nearest name.
    """
    return choose_named("model", _models, name)


def create_model(name: str, **arguments: Any) -> Temporal:
    """Build the model `name` with the arguments of its function, as in ``create_model("mlp", inputs=2, ...)``.

    Raises:
        InputError: there is no such model; the message has the nearest name.
    """
    return model_builder(name)(**arguments)
