"""Seeing what every spiking neuron of a model takes in and gives out, in parallel and step by step alike."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn

from spikescan.neurons.base import Neuron, State, spiking_neurons

__all__ = ["Call", "evaluating", "name_calls", "watch"]

_METHODS = ("forward", "step")


class Call(NamedTuple):
    """One call of one neuron, over a stretch of time or for a single step."""

    name: str
    neuron: Neuron
    x: Tensor
    """``[T, B, C, *]``, T = 1 for a single step; so are the spikes."""
    state: State | None
    spikes: Tensor


@contextmanager
def watch(model: nn.Module) -> Iterator[list[Call]]:
    """Yields a list to which every call of a spiking neuron, by `forward` or by `step`, is appended in order.

    The methods are wrapped on the instances and given back afterwards, also after an error: forward hooks alone
    would not see `step`.
    """
    calls: list[Call] = []
    running: set[Neuron] = set()
    neurons = spiking_neurons(model)
    originals = [(neuron, method, vars(neuron).get(method)) for neuron in neurons.values() for method in _METHODS]
    try:
        for name, neuron in neurons.items():
            for method in _METHODS:
                vars(neuron)[method] = _recorded(name, neuron, method, calls, running)
        yield calls
    finally:
        for neuron, method, original in originals:
            if original is None:
                vars(neuron).pop(method, None)
            else:
                vars(neuron)[method] = original


def _recorded(name: str, neuron: Neuron, called: str, calls: list[Call], running: set[Neuron]) -> Callable[..., Any]:
    """The method `called`, but each call is appended to `calls`, except one that the neuron makes of itself."""
    method = getattr(neuron, called)
    signature = inspect.signature(method)

    def over_time(tensor: Tensor) -> Tensor:
        return tensor.detach().unsqueeze(0) if called == "step" else tensor.detach()

    def recorded(*args: Any, **kwargs: Any) -> Any:
        if neuron in running:
            return method(*args, **kwargs)
        running.add(neuron)
        try:
            spikes, after = method(*args, **kwargs)
        finally:
            running.discard(neuron)
        x, *rest = signature.bind(*args, **kwargs).args
        calls.append(Call(name, neuron, over_time(x), rest[0] if rest else None, over_time(spikes)))
        return spikes, after

    return recorded


def name_calls(calls: list[Call]) -> dict[str, Call]:
    """Calls by name, in order; the second call of a neuron that a model uses twice becomes ``name (2)``."""
    named: dict[str, Call] = {}
    for call in calls:
        uses = sum(earlier.neuron is call.neuron for earlier in named.values())
        named[f"{call.name} ({uses + 1})" if uses else call.name] = call
    return named


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, and every module back into its own mode afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
