"""Arithmetic by kind, and what one layer did of it."""

from dataclasses import asdict, astuple, dataclass, field
from typing import Literal

__all__ = ["LayerCount", "Operations", "Role"]

Role = Literal["synapses", "neurons", "other"]
"""Layers with weights and products of attention; spiking neurons; norms, readouts, mixers, sums."""


@dataclass(frozen=True)
class Operations:
    """Arithmetic by kind. Comparisons, moves of data and products with a constant that weights can hold are not counted."""

    accumulates: float = 0.0
    """Weights added up because a spike came (AC)."""
    multiply_accumulates: float = 0.0
    """Products with a weight, added up (MAC)."""
    multiplications: float = 0.0
    additions: float = 0.0
    shifts: float = 0.0
    transcendentals: float = 0.0
    """Exponentials, sigmoids, powers, roots."""

    def __add__(self, other: "Operations") -> "Operations":
        return Operations(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __mul__(self, times: float) -> "Operations":
        return Operations(*(times * count for count in astuple(self)))

    def __bool__(self) -> bool:
        return any(astuple(self))

    def to_dict(self) -> dict[str, float]:
        """By name."""
        return asdict(self)


@dataclass
class LayerCount:
    """Sums over all samples of what one layer did."""

    name: str
    kind: str
    """Its class."""
    role: Role
    operations: Operations = field(default_factory=Operations)
    dense: Operations = field(default_factory=Operations)
    """Of the same layer in the network without spikes."""
    spikes: float = 0.0
    """Binary ones, sent by neurons, or arrived at synapses: an integer k is k of them."""
    active: float = 0.0
    """Values other than 0 among those sent or arrived."""
    values: float = 0.0
    """All of them, over valid steps."""
    neurons: int = 0
    levels: int = 0
    """The most spikes that a neuron sends in a step."""
    takes_spikes: bool | None = None
    """Of synapses: whether all that arrived were spikes."""
    state_bytes: float = 0.0
    """Of state read and written, in float32."""
