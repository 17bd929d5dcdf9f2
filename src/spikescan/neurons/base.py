"""The one contract of everything that has time in it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from spikescan.errors import InputError
from spikescan.firing import Firing, Membrane
from spikescan.ops._checks import compute_dtype

__all__ = [
    "Cost",
    "KeepsMarks",
    "Learns",
    "Neuron",
    "State",
    "Temporal",
    "at_rest",
    "check_carried",
    "check_channels",
    "check_spikes",
    "check_state",
    "check_stateless",
    "detach",
    "map_state",
    "no_weight_decay",
    "spiking_neurons",
]

# A NamedTuple of tensors, or a (nested) tuple of those; `()` for a part without state. Axis 0 of each tensor is the batch.
State = Any


class KeepsMarks(nn.Module):
    """A module whose parameters stay spared from weight decay when it is copied, moved or loaded into.

    torch then makes new ones where it can, without the attribute `no_weight_decay`.
    """

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_marked": self._marked()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        marked = state.pop("_marked", ())
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._mark(marked)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        marked = self._marked()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._mark(marked)
        return self

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        marked = self._marked()
        super()._load_from_state_dict(*args, **kwargs)
        self._mark(marked)

    def _marked(self) -> list[str]:
        return [name for name, each in self._parameters.items() if getattr(each, "no_weight_decay", False)]

    def _mark(self, names: Iterable[str]) -> None:
        for name in names:
            no_weight_decay(self._parameters[name])  # type: ignore[arg-type]


class Temporal(KeepsMarks, ABC):
    """A neuron, layer or model over time, run in parallel by calling it and one time step at a time by `step`.

    Both carry the same state and give the same output: ``module(x)`` equals the loop
    ``for x_t in x: y_t, state = module.step(x_t, state)``, and any mixture of the two.
    """

    # What a class says of all its modules; a composition says it of each instance, after its parts.
    causal: bool = True
    """Nothing at time t depends on the input after t."""
    streamable: bool = True
    """Has `step`, with memory that does not grow with time."""
    stochastic: bool = False
    """Draws random numbers."""
    length_bound: bool = False
    """Holds parameters for a fixed number of time steps and refuses longer input."""

    @abstractmethod
    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """Run over all of time at once.

        Args:
            x: ``[T, B, C, *]``.
            state: what an earlier call returned; None starts at rest.
            lengths: int64 ``[B]``, valid steps of each sample; output beyond them is zero and the state returned is the
                one after the last valid step.

        Returns:
            The output ``[T, B, C', *]`` and the state after the last step.
        """

    def step(self, x_t: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run one time step: ``x_t`` is ``[B, C, *]``; returns the output ``[B, C', *]`` and the next state.

        It is the parallel run at T = 1: the same code, so the same bits. Hooks of the module itself are those of `forward` and
        do not run: what prunes a neuron's own weights by one is to be made permanent before
        (``torch.nn.utils.prune.remove``).
        """
        y, state = self.forward(x_t.unsqueeze(0), state)
        return y.squeeze(0), state

    @abstractmethod
    def initial_state(self, x_t: Tensor) -> State:
        """The state at rest for input like ``x_t`` (``[B, C, *]``)."""

    def unpack(self, state: State | None, kind: type[tuple[Any, ...]]) -> tuple[Any, ...]:
        """The fields of a state of the NamedTuple `kind`; as many None as it has fields where there is no state.

        Raises:
            InputError: the state is of another module.
        """
        if state is None:
            fields: tuple[str, ...] = kind._fields  # type: ignore[attr-defined]
            return (None,) * len(fields)
        if not isinstance(state, kind):
            raise _foreign_state(type(self).__name__, state, kind.__name__)
        return tuple(state)


class Cost(NamedTuple):
    """What one neuron does in one time step when it runs step by step, and what it keeps until the next.

    A fused multiply-add counts as one multiplication and one addition. A constant gain that hardware folds into the weights
    before it is not counted, nor are comparisons and moves of state. A transcendental is an exponential, a sigmoid, a power.
    """

    multiplications: float = 0.0
    additions: float = 0.0
    shifts: float = 0.0
    transcendentals: float = 0.0
    state_bytes: float = 0.0
    """In float32."""


class Neuron(Temporal):
    """A temporal module of which each element is a neuron: its output are spikes, made by `firing`."""

    firing: Firing
    mixes_channels: bool = False
    """The neurons of a sample see each other, by a matrix product. BLAS rounds that by the shape of the call, so that spikes
    are the same however a call is cut in float64, and in float32 but for membranes within rounding of a threshold."""

    @abstractmethod
    def cost(self) -> Cost:
        """Of one neuron in one time step."""

    @abstractmethod
    def trace(self, x: Tensor, state: State | None = None) -> dict[str, Tensor]:
        """What goes on inside, for pictures and tests, without a gradient.

        ``{"membrane": [T, B, C, *]}``, the membrane that the spikes are made of, from `state` on; further names as the
        neuron has them, such as "decay", and "threshold" where it changes with time.
        """


@runtime_checkable
class Learns(Protocol):
    """A neuron whose parameters act as P numbers of each channel, and that can be run with others in their place.

    So each sample may have its own, and the gradient of what one sample did is known (`HYPR`).
    """

    def learnt(self, x_t: Tensor) -> Tensor:
        """What its parameters come to for input like ``x_t [B, C, *]``: ``[P, C]``, with their gradient."""

    def forward_with(
        self, learnt: Tensor, x: Tensor, state: State | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """`Temporal.forward` with numbers ``[B, P, C]`` for those that are learnt; x ``[T, B, C]``."""


def at_rest(x_t: Tensor, *before: int) -> Tensor:
    """Zeros for input like ``x_t [B, C, *]``: ``[B, *before, C, *]``, float32 (float64 for float64 input)."""
    return x_t.new_zeros((x_t.shape[0], *before, *x_t.shape[1:]), dtype=compute_dtype(x_t))


def no_weight_decay(parameter: nn.Parameter) -> nn.Parameter:
    """Mark a decay, a threshold or a time constant: pulling it to zero would change what it means.

    The module that has it should be one that `KeepsMarks`.
    """
    parameter.no_weight_decay = True  # type: ignore[attr-defined]
    return parameter


def check_spikes(owner: str, firing: Firing) -> None:
    """Raise unless there are spikes for a reset to take off."""
    if isinstance(firing, Membrane):
        raise InputError(f"{owner}: a reset needs spikes, and Membrane() has none; take a neuron without a reset.")


def check_channels(module: nn.Module, x: Tensor, axis: int, channels: int) -> None:
    """Raise unless axis 2 of ``x [T, B, C, *]`` (1 for one step) has as many channels as the module."""
    if x.ndim <= axis or x.shape[axis] != channels:
        shape = "[T, B, C, *]" if axis == 2 else "[B, C, *]"
        name = type(module).__name__
        raise InputError(
            f"{name}({channels}) was given {list(x.shape)}, expected {shape} with C = {channels}. "
            f"Time is the first axis and the batch the second; a single sample is x.unsqueeze(1)."
        )


def map_state(function: Callable[[Tensor], Tensor], state: State) -> State:
    """Apply `function` to every tensor of a state, keeping its structure."""
    if isinstance(state, Tensor):
        return function(state)
    parts = [map_state(function, part) for part in state]
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)


def detach(state: State) -> State:
    """Cut the gradient of a state, for truncated backpropagation through time."""
    return map_state(torch.Tensor.detach, state)


def check_state(owner: str, state: State, expected: State) -> None:
    """Raise `InputError` unless `state` has the type, shapes, dtypes and device of `expected`.

    `expected` is the owner's state at rest for the same input; `owner` is the name that the message shows.
    """
    if type(state) is not type(expected) or len(state) != len(expected):
        raise _foreign_state(owner, state, _kind(expected))
    for name, got, want in zip(getattr(expected, "_fields", range(len(expected))), state, expected, strict=True):
        check_carried(owner, name, got, want.shape, want.dtype, want.device)


def check_carried(
    owner: str, name: str, tensor: Tensor, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> None:
    """Raise `InputError` unless the field `name` of a state of `owner` is a tensor of this shape, dtype and device."""
    if not isinstance(tensor, Tensor):
        raise InputError(f"{owner}: state.{name} is a {type(tensor).__name__}, expected a Tensor.")
    if tensor.shape != shape or tensor.dtype != dtype or tensor.device != device:
        raise InputError(
            f"{owner}: state.{name} is {list(tensor.shape)} {tensor.dtype} on {tensor.device}, but this input needs "
            f"{list(shape)} {dtype} on {device}. A state belongs to one batch size and one module; "
            f"pass None to start at rest, or {owner}.initial_state(x[0]) for a state that fits."
        )


def check_stateless(owner: str, state: State | None) -> None:
    """Raise `InputError` unless `state` is ``()`` or None: all that an owner without state can be given."""
    if state is not None and (type(state) is not tuple or state):
        raise _foreign_state(owner, state, "()")


def _foreign_state(owner: str, state: State, own: str) -> InputError:
    return InputError(
        f"{owner} was given a state of type {_kind(state)}, but its own is {own}. "
        f"Pass the state that an earlier call of this {owner} returned, or None to start at rest."
    )


def _kind(state: State) -> str:
    return f"tuple of {len(state)}" if type(state) is tuple else type(state).__name__


def spiking_neurons(model: nn.Module) -> dict[str, Neuron]:
    """The spiking neurons of a model by module name; a bare one by its class's name."""
    return {
        name or type(module).__name__: module for name, module in model.named_modules() if isinstance(module, Neuron)
    }
