"""The energy table of the DSN paper (sequential CIFAR) from operation counts: ``python -m benchmarks.energy``.

The paper (arXiv 2602.01133) prints firing rate and energy of four neurons in the network of the PSN paper, and not how it
counts. All eight of its figures follow from one rule: 4.6 pJ for each multiply-accumulate of the first convolution, and for m
of them a neuron and step; 0.9 pJ for each of 4 x rate x the products of the other layers. That is microjoule, where it
prints "mJ". 4 is the number of sub-steps, for all neurons; m is 1 for LIF, T = 32 for PSN, T / 2 for sliding PSN, 5.5 for DSN.

Here the network is built and its operations are counted by `spikescan.analysis.measure_energy`, with the printed rates in place
of activity, since the paper's weights are not public. Writes ``docs/results/sequential_cifar_energy.csv``; seconds.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

import spikescan
from benchmarks.machine import write_rows
from spikescan.analysis import Energy, measure_energy
from spikescan.analysis.energy import FP32_45NM
from spikescan.data import Split
from spikescan.neurons import Neuron

__all__ = ["COLUMNS", "PUBLISHED", "count", "rows"]

OUTPUT = Path(__file__).resolve().parents[1] / "docs/results/sequential_cifar_energy.csv"
STEPS, LEVELS = 32, 4
COLUMNS = (
    "classes", "neuron", "rate", "paper_uJ", "m", "rule_uJ", "rule_percent", "synapses_uJ", "neurons_uJ", "counted_uJ",
    "counted_percent", "transcendental_uJ",
)  # fmt: skip


class Row(NamedTuple):
    """A cell of the paper's table."""

    classes: int
    neuron: str
    rate: float
    """Spikes a neuron and sub-step."""
    microjoules: float
    products: float
    """m of the rule: multiply-accumulates a neuron and step."""


PUBLISHED = [
    Row(10, "LIF", 0.1499, 107.80, 1.0),
    Row(10, "PSN", 0.2143, 235.87, 32.0),
    Row(10, "sliding PSN", 0.1820, 170.39, 16.0),
    Row(10, "DSN", 0.1238, 102.89, 5.5),
    Row(100, "LIF", 0.1697, 121.78, 1.0),
    Row(100, "PSN", 0.2226, 242.03, 32.0),
    Row(100, "sliding PSN", 0.1900, 176.22, 16.0),
    Row(100, "DSN", 0.1324, 108.94, 5.5),
]
NEURONS: dict[str, Callable[[int], Neuron]] = {
    "LIF": lambda channels: spikescan.LIF(),
    "PSN": lambda channels: spikescan.PSN(STEPS),
    "sliding PSN": lambda channels: spikescan.SlidingPSN(32),
    "DSN": lambda channels: spikescan.DSN(channels),
}


@torch.no_grad()
def count(classes: int, neuron: str) -> tuple[nn.Module, Energy]:
    """The network and its operations for one image of noise; of these only what does not depend on activity is used."""
    torch.manual_seed(0)
    model = spikescan.create_model("sequential_cnn", inputs=3, outputs=classes, neuron=NEURONS[neuron])
    with spikescan.backend("reference"):
        return model, measure_energy(model, Split(torch.randn(1, STEPS, 3, 32), torch.zeros(1, dtype=torch.int64)))


def rows() -> list[dict[str, Any]]:
    """The table."""
    return [_row(published, *count(published.classes, published.neuron)) for published in PUBLISHED]


def _row(published: Row, model: nn.Module, energy: Energy) -> dict[str, Any]:
    synapses = [layer for layer in energy.layers if layer.role == "synapses"]
    neurons = [layer for layer in energy.layers if layer.role == "neurons"]
    spikes = LEVELS * published.rate
    mac, add = FP32_45NM.by_kind()["multiply_accumulates"], FP32_45NM.add
    # The paper's products are outputs times weights of an output, those with the zeros around an image among them.
    outputs = [*(layer.neurons for layer in neurons), published.classes]
    weights = [model.get_submodule(layer.name).module.weight[0].numel() for layer in synapses]
    first, *others = (STEPS * a * b for a, b in zip(outputs, weights, strict=True))
    neuron_steps = STEPS * sum(layer.neurons for layer in neurons)
    rule = mac * (first + published.products * neuron_steps) + add * spikes * sum(others)
    # Ours leave those out, and take from each neuron what it says that it does.
    first, *others = (layer.dense.multiply_accumulates for layer in synapses)
    of_synapses = mac * first + add * spikes * sum(others)
    transcendental = FP32_45NM.transcendental * energy.neuron_operations.transcendentals
    of_neurons = 1e12 * energy.joules_by_role()["neurons"] - transcendental
    counted = of_synapses + of_neurons
    return {
        "classes": published.classes,
        "neuron": published.neuron,
        "rate": published.rate,
        "paper_uJ": f"{published.microjoules:.2f}",
        "m": published.products,
        "rule_uJ": f"{rule / 1e6:.2f}",
        "rule_percent": _percent(rule / 1e6, published.microjoules),
        "synapses_uJ": f"{of_synapses / 1e6:.2f}",
        "neurons_uJ": f"{of_neurons / 1e6:.2f}",
        "counted_uJ": f"{counted / 1e6:.2f}",
        "counted_percent": _percent(counted / 1e6, published.microjoules),
        "transcendental_uJ": f"{transcendental / 1e6:.2f}",
    }


def _percent(ours: float, theirs: float) -> str:
    return f"{100 * (ours / theirs - 1):+.1f}"


if __name__ == "__main__":
    write_rows(OUTPUT, COLUMNS, rows())
