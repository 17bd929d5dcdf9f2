"""What the operations of a network would cost, beside the same network without spikes.

An estimate from published energies of single operations, not a measurement: docs/energy.md says what it leaves out.
"""

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch

from spikescan.analysis.counting import count_operations
from spikescan.analysis.operations import LayerCount, Operations, Role
from spikescan.data import Batch, Split
from spikescan.errors import InputError
from spikescan.names import choose_named
from spikescan.neurons.base import Temporal

__all__ = [
    "CONSTANTS",
    "FP16_45NM",
    "FP32_45NM",
    "INT8_45NM",
    "INT32_45NM",
    "Constants",
    "Energy",
    "LayerEnergy",
    "find_constants",
    "measure_energy",
]

_PICO = 1e-12


@dataclass(frozen=True)
class Constants:
    """Energies of single operations, in picojoules."""

    name: str
    add: float
    multiply: float
    shift: float
    transcendental: float
    """Assumed, not published: 10 multiply-accumulates."""
    memory: float
    """A byte read or written in a small memory near by."""
    value_bytes: int
    """Of a number of the state."""
    source: str

    def by_kind(self) -> dict[str, float]:
        """Of each kind in `Operations`; a multiply-accumulate is a multiplication and an addition."""
        return {
            "accumulates": self.add,
            "multiply_accumulates": self.multiply + self.add,
            "multiplications": self.multiply,
            "additions": self.add,
            "shifts": self.shift,
            "transcendentals": self.transcendental,
        }

    def joules(self, operations: Operations) -> float:
        """Of these operations."""
        counts = operations.to_dict()
        return _PICO * math.fsum(energy * counts[kind] for kind, energy in self.by_kind().items())


_SOURCES = (
    "45 nm, 0.9 V. Add, multiply, memory (8 kB, 10 pJ for 64 bits): Horowitz, ISSCC 2014. "
    "Shift: ShiftAddNet, arXiv 2010.12785. Transcendental: assumed, 10 multiply-accumulates."
)


def _at_45nm(name: str, add: float, multiply: float, shift: float, value_bytes: int) -> Constants:
    return Constants(name, add, multiply, shift, 10.0 * (multiply + add), 10.0 / 8.0, value_bytes, _SOURCES)


FP32_45NM = _at_45nm("fp32", add=0.9, multiply=3.7, shift=0.13, value_bytes=4)
FP16_45NM = _at_45nm("fp16", add=0.4, multiply=1.1, shift=0.057, value_bytes=2)
INT32_45NM = _at_45nm("int32", add=0.1, multiply=3.1, shift=0.13, value_bytes=4)
INT8_45NM = _at_45nm("int8", add=0.03, multiply=0.2, shift=0.024, value_bytes=1)

CONSTANTS = {table.name: table for table in (FP32_45NM, FP16_45NM, INT32_45NM, INT8_45NM)}
"""By the name that the command line takes."""


def find_constants(name: str) -> Constants:
    """A table of `CONSTANTS` by its name.

    Raises:
        InputError: there is none; the message has the nearest name.
    """
    return choose_named("constants", CONSTANTS, name)


@dataclass(frozen=True)
class LayerEnergy:
    """One layer; counts are means a sample."""

    name: str
    """Of the module, as in ``named_modules``."""
    kind: str
    """Its class."""
    role: Role
    operations: Operations
    dense: Operations
    """Of the same layer in the network without spikes."""
    joules: float
    dense_joules: float
    spikes: float
    """Binary ones that neurons sent or synapses received: an integer k is k of them."""
    density: float | None
    """The share of values other than 0 that neurons sent or synapses received; None for other layers."""
    firing_rate: float | None
    """Spikes a neuron and step, the mean value where spikes are integers; None where no neurons spike."""
    neurons: int
    levels: int
    """The most spikes that a neuron sends in a step: its binary sub-steps; 0 where none spikes."""
    takes_spikes: bool | None
    """Of synapses: whether spikes arrived, or real numbers."""
    state_bytes: float
    """Read and written."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote."""
        counts = {name: Operations(**values[name]) for name in ("operations", "dense")}
        return cls(**{**values, **counts})


@dataclass(frozen=True)
class Energy:
    """Operations and the energy of their arithmetic, a sample, from activity on real samples."""

    samples: int
    """How many it was counted on."""
    steps: float
    """Valid time steps, the mean a sample."""
    constants: Constants
    layers: tuple[LayerEnergy, ...]
    """In the order in which the network runs them."""

    @property
    def operations(self) -> Operations:
        """All of them."""
        return _sum(layer.operations for layer in self.layers)

    @property
    def dense(self) -> Operations:
        """Of the network without spikes."""
        return _sum(layer.dense for layer in self.layers)

    @property
    def accumulates(self) -> float:
        """Weights added up because a spike came."""
        return self.operations.accumulates

    @property
    def multiply_accumulates(self) -> float:
        """Products of a weight and a real number."""
        return self.operations.multiply_accumulates

    @property
    def neuron_operations(self) -> Operations:
        """What the neurons do themselves, by kind."""
        return _sum(layer.operations for layer in self.layers if layer.role == "neurons")

    @property
    def state_bytes(self) -> float:
        """State read and written."""
        return math.fsum(layer.state_bytes for layer in self.layers)

    @property
    def joules(self) -> float:
        """Of all operations; without memory."""
        return math.fsum(layer.joules for layer in self.layers)

    @property
    def dense_joules(self) -> float:
        """Of the network without spikes."""
        return math.fsum(layer.dense_joules for layer in self.layers)

    @property
    def state_joules(self) -> float:
        """Of reading and writing state in a small memory; not in `joules`."""
        return _PICO * self.constants.memory * self.state_bytes

    @property
    def firing_rate(self) -> float | None:
        """Spikes a neuron and step of its own, the mean over all spiking neurons; None without any."""
        spiking = [(layer.neurons, layer.firing_rate) for layer in self.layers if layer.firing_rate is not None]
        neurons = sum(count for count, _ in spiking)
        return math.fsum(count * rate for count, rate in spiking) / neurons if neurons else None

    def joules_by_role(self) -> dict[str, float]:
        """Energy of synapses, neurons and the rest."""
        roles: tuple[Role, ...] = ("synapses", "neurons", "other")
        return {role: math.fsum(layer.joules for layer in self.layers if layer.role == role) for role in roles}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote."""
        layers = tuple(LayerEnergy.from_dict(layer) for layer in values["layers"])
        return cls(values["samples"], values["steps"], Constants(**values["constants"]), layers)

    def to_csv(self) -> str:
        """A table with a row a layer."""
        rows = [_flat(layer.to_dict()) for layer in self.layers]
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return text.getvalue()


def measure_energy(
    model: Temporal,
    split: Split,
    *,
    samples: int | None = None,
    batch_size: int = 100,
    constants: Constants = FP32_45NM,
) -> Energy:
    """Run a model over samples and estimate the energy of what it computes.

    Each layer with weights does an accumulate for every spike and weight that meet, or a multiply-accumulate for every real
    number and weight; neurons do what `Neuron.cost` says, once a step. Steps beyond a sample's length are not counted. The
    model runs in evaluation mode and is left as it was found.

    Args:
        model: built of the layers and neurons of this library and of torch's, as those of `create_model` are.
        split: the samples, such as ``run.dataset.test``.
        samples: how many, spread evenly over the split; None takes all.
        batch_size: samples in memory at once; it does not change the counts.
        constants: energies of single operations.

    Raises:
        InputError: it is not known what a part of the model computes, and the message names it; or there are no samples.
    """
    if batch_size < 1 or len(split) == 0 or (samples is not None and samples < 1):
        raise InputError(
            f"energy: samples is {samples} of a split of {len(split)}, batch_size is {batch_size}; expected at least 1 each."
        )
    count = len(split) if samples is None else min(samples, len(split))
    chosen = torch.arange(count) * len(split) // count
    if split.lengths is not None:  # samples that are about equally long go together
        chosen = chosen[split.lengths[chosen].argsort(stable=True)]
    device = next((tensor.device for tensor in (*model.parameters(), *model.buffers())), torch.device("cpu"))
    trim = not model.length_bound

    def batches() -> Iterator[Batch]:
        for indices in torch.split(chosen, batch_size):
            yield split.batch(indices, trim=trim).to(device)

    layers = tuple(_priced(layer, count, constants) for layer in count_operations(model, batches))
    steps = split.inputs.shape[1] if split.lengths is None else float(split.lengths[chosen].double().mean())
    return Energy(count, float(steps), constants, layers)


def _priced(layer: LayerCount, samples: int, constants: Constants) -> LayerEnergy:
    operations, dense = layer.operations * (1.0 / samples), layer.dense * (1.0 / samples)
    return LayerEnergy(
        name=layer.name,
        kind=layer.kind,
        role=layer.role,
        operations=operations,
        dense=dense,
        joules=constants.joules(operations),
        dense_joules=constants.joules(dense),
        spikes=layer.spikes / samples,
        density=layer.active / layer.values if layer.values else None,
        firing_rate=layer.spikes / layer.values if layer.levels and layer.values else None,
        neurons=layer.neurons,
        levels=layer.levels,
        takes_spikes=layer.takes_spikes,
        state_bytes=layer.state_bytes / samples * constants.value_bytes / 4,
    )


def _sum(parts: Iterator[Operations]) -> Operations:
    return sum(parts, Operations())


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Operations as columns of their own."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            prefix = "" if name == "operations" else f"{name}_"
            flat |= {f"{prefix}{kind}": count for kind, count in value.items()}
        else:
            flat[name] = value
    return flat
