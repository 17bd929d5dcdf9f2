"""Binary and integer spikes, and none."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from spikescan import ops
from spikescan.errors import InputError
from spikescan.firing.surrogates import (
    ATan,
    FastSigmoid,
    MultiGaussian,
    Rectangular,
    Sigmoid,
    Surrogate,
    Triangular,
    check_number,
)

__all__ = [
    "Binary",
    "Firing",
    "Integer",
    "Membrane",
    "firing_from",
    "firing_to",
    "from_thermometer",
    "to_thermometer",
]


@dataclass(frozen=True)
class Binary:
    """A spike where the membrane reaches the threshold: S = 1 where H >= threshold, else 0.

    Backward, the surrogate's shape at H - threshold stands in for the derivative.
    """

    threshold: float = 1.0
    surrogate: Surrogate = field(default_factory=ATan)

    def __post_init__(self) -> None:
        check_number(self, "threshold", self.threshold)

    @property
    def spec(self) -> ops.FiringSpec:
        """What kernels take."""
        return self.surrogate.spec(self.threshold)

    def __call__(self, membrane: Tensor) -> Tensor:
        """Spikes, of the shape and dtype of the membrane."""
        return ops.fire(membrane, self.spec)


@dataclass(frozen=True)
class Integer:
    """A number of spikes at once: S = clip(round(H), 0, levels), rounding half to even.

    Backward, dS/dH = 1 where 0 <= H <= levels, else 0 (SpikeYOLO, ECCV 2024). One logical step of N = levels is N binary
    sub-steps on hardware (`to_thermometer`), so compare at equal T x N.
    """

    levels: int = 4

    def __post_init__(self) -> None:
        check_number(self, "levels", self.levels)
        if self.levels < 1 or self.levels != int(self.levels):
            raise InputError(f"Integer: levels is {self.levels}, expected a whole number of at least 1.")

    @property
    def spec(self) -> ops.FiringSpec:
        """What kernels take."""
        return ops.FiringSpec(ops.Kind.INTEGER, float(self.levels))

    def __call__(self, membrane: Tensor) -> Tensor:
        """Spikes, of the shape and dtype of the membrane."""
        return ops.fire(membrane, self.spec)


@dataclass(frozen=True)
class Membrane:
    """No spikes: S = H, the membrane goes on as a real number.

    A control, which shows what spikes cost a network; for neurons without reset.
    """

    @property
    def spec(self) -> ops.FiringSpec:
        """What kernels take."""
        return ops.IDENTITY

    def __call__(self, membrane: Tensor) -> Tensor:
        """The membrane."""
        return ops.fire(membrane, self.spec)


Firing = Binary | Integer | Membrane


def to_thermometer(spikes: Tensor, levels: int) -> Tensor:
    """Integer spikes ``[T, ...]`` as binary sub-steps ``[T, levels, ...]``: sub-step d fires where d < S.

    The sum over sub-steps gives the integers back, and a linear map without bias may be applied to each sub-step instead.
    """
    whole = (spikes >= 0) & (spikes <= levels) & (spikes == spikes.round())
    # What is compiled cannot depend on values.
    if not torch.compiler.is_compiling() and not bool(whole.all()):
        raise InputError(f"to_thermometer: spikes must be whole numbers from 0 to levels = {levels}.")
    slots = torch.arange(levels, device=spikes.device).view(-1, *[1] * (spikes.ndim - 1))
    return (slots < spikes.unsqueeze(1)).to(spikes.dtype)


def from_thermometer(binary: Tensor) -> Tensor:
    """The integers ``[T, ...]`` of binary sub-steps ``[T, levels, ...]``."""
    return binary.sum(1)


_SURROGATES = {
    "atan": ATan,
    "sigmoid": Sigmoid,
    "triangular": Triangular,
    "rectangular": Rectangular,
    "multi_gaussian": MultiGaussian,
    "fast_sigmoid": FastSigmoid,
}


def firing_from(value: Firing | str | Mapping[str, Any]) -> Firing:
    """A `Firing` from what a recipe or a command line says.

    Examples: ``"binary"``, ``"integer"``, ``{"kind": "integer", "levels": 2}``, ``{"kind": "binary", "threshold": 1.0,
    "surrogate": "sigmoid"}``, ``{"kind": "binary", "surrogate": {"kind": "atan", "alpha": 5.0}}``.

    Raises:
        InputError: an unknown kind, or a number that the kind does not have.
    """
    if isinstance(value, Binary | Integer | Membrane):
        return value
    kind, numbers = _kind_and_numbers(value, "firing")
    if kind == "binary" and "surrogate" in numbers:
        shape, shape_numbers = _kind_and_numbers(numbers["surrogate"], "surrogate")
        numbers["surrogate"] = _build(_SURROGATES, shape, shape_numbers, "surrogate")
    return _build({"binary": Binary, "integer": Integer, "membrane": Membrane}, kind, numbers, "firing")  # type: ignore[no-any-return]


def firing_to(firing: Firing) -> dict[str, Any]:
    """What `firing_from` makes this firing of: a mapping of names and numbers, for a file."""
    if isinstance(firing, Integer):
        return {"kind": "integer", **asdict(firing)}
    if isinstance(firing, Membrane):
        return {"kind": "membrane"}
    name = next(name for name, shape in _SURROGATES.items() if shape is type(firing.surrogate))
    return {"kind": "binary", "threshold": firing.threshold, "surrogate": {"kind": name, **asdict(firing.surrogate)}}


def _kind_and_numbers(value: Any, what: str) -> tuple[str, dict[str, Any]]:
    if isinstance(value, str):
        return value, {}
    if isinstance(value, Mapping) and isinstance(value.get("kind"), str):
        return value["kind"], {key: number for key, number in value.items() if key != "kind"}
    raise InputError(f"{what} is {value!r}, expected a name or a mapping with 'kind', e.g. {{'kind': 'integer'}}.")


def _build(kinds: Mapping[str, Any], kind: str, numbers: dict[str, Any], what: str) -> Any:
    if kind not in kinds:
        raise InputError(f"There is no {what} {kind!r}; there are {', '.join(kinds)}.")
    known = [field.name for field in fields(kinds[kind])]
    for name in numbers:
        if name not in known:
            raise InputError(f"The {what} {kind!r} has no {name!r}; it has {', '.join(known)}.")
    return kinds[kind](**numbers)
