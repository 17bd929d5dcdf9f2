"""Weights averaged over the last updates: they are evaluated and saved, while training goes on from its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["AveragedWeights"]


class AveragedWeights:
    r"""Means of a network's parameters over its updates, the last of which count most.

    .. math::
        \bar w_n = \bar w_{n-1} + \max(1 / n, 1 / N) \, (w_n - \bar w_{n-1})

    Over the first N updates it is their plain mean, later an exponential one that reaches back about N. Source: Polyak and
    Juditsky, 1992; for weights that a large learning rate keeps moving, arXiv 1803.05407.

    Args:
        network: the network itself, not wrapped. Its buffers, such as the statistics of a batch norm, are not averaged.
        updates: N, at least 1.
    """

    def __init__(self, network: nn.Module, updates: float) -> None:
        self._parameters = dict(network.named_parameters())
        # In bfloat16 a mean would stand still: its updates are below what it rounds to.
        self._means = {
            name: parameter.detach().to(torch.promote_types(parameter.dtype, torch.float32), copy=True)
            for name, parameter in self._parameters.items()
        }
        self._updates = updates
        self._done = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after an update of the optimiser."""
        self._done += 1
        share = max(1.0 / self._done, 1.0 / self._updates)
        for name, mean in self._means.items():
            mean.lerp_(self._parameters[name].to(mean.dtype), share)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it the network has the averaged weights, after it its own again."""
        own = self._own()
        self._put(self._means)
        try:
            yield
        finally:
            self._put(own)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs: means and, since a checkpoint holds these as the network's, its own weights."""
        return {"own": self._own(), "means": self._means, "done": self._done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state`; the network gets its own weights back."""
        self._put(state["own"])
        for name, mean in self._means.items():
            mean.copy_(state["means"][name])
        self._done = state["done"]

    def _own(self) -> dict[str, Tensor]:
        return {name: parameter.detach().clone() for name, parameter in self._parameters.items()}

    @torch.no_grad()
    def _put(self, weights: dict[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            parameter.copy_(weights[name])
