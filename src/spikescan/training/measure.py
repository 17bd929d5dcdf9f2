"""Firing rates and work of a model, measured while it runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from spikescan.neurons.base import spiking_neurons

__all__ = ["NeuronMeter", "measure"]


class NeuronMeter:
    """Sums over the neurons of a model while `measure` watches it.

    Args:
        stride: looks at each stride-th time step only; looking at all of a large output costs a pass over memory.
    """

    def __init__(self, stride: int = 1) -> None:
        self.stride = stride
        self.weight = 1.0
        """Of what comes next in the rates: 0 for the sample of a process that runs idly (`Share`)."""
        self.neuron_steps = 0
        """Time steps x samples x neurons that ran."""
        self._spikes: dict[str, Tensor] = {}
        self._seen: dict[str, float] = {}

    def add(self, layer: str, spikes: Tensor, valid_share: float) -> None:
        """Count the output ``[T, B, C, *]`` of one layer, of which `valid_share` is no padding."""
        self.neuron_steps += spikes.numel()
        looked_at = spikes.detach()[:: self.stride]
        self._spikes[layer] = self._spikes.get(layer, 0) + self.weight * looked_at.sum(dtype=torch.float32)
        self._seen[layer] = self._seen.get(layer, 0.0) + self.weight * looked_at.numel() * valid_share

    def totals(self, device: torch.device) -> Tensor:
        """``[layers, 2]``: the spikes seen, and over how many neuron-steps; sums of it over processes are exact."""
        rows = [
            torch.stack([self._spikes[layer], self._spikes[layer].new_tensor(self._seen[layer])])
            for layer in self._seen
        ]
        return torch.stack(rows) if rows else torch.zeros(0, 2, device=device)

    def rates(self, totals: Tensor) -> dict[str, float]:
        """Spikes a neuron and time step, by layer."""
        return {
            layer: spikes / max(seen, 1.0) for layer, (spikes, seen) in zip(self._seen, totals.tolist(), strict=True)
        }


@contextmanager
def measure(model: nn.Module, meter: NeuronMeter) -> Iterator[None]:
    """Within it, each forward pass of `model` is added to `meter`."""
    handles = [
        module.register_forward_hook(_hook(name, meter), with_kwargs=True)
        for name, module in spiking_neurons(model).items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hook(name: str, meter: NeuronMeter) -> Any:
    def count(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: tuple[Tensor, Any]) -> None:
        spikes = output[0]
        lengths = args[2] if len(args) > 2 else kwargs.get("lengths")
        valid = 1.0 if lengths is None else float(lengths.sum()) / (spikes.shape[0] * spikes.shape[1])
        meter.add(name, spikes, valid)

    return count
