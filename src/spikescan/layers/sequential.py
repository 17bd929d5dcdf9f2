"""Composition: one part after the other, and one part around which the input passes."""

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from spikescan.errors import InputError
from spikescan.layers.per_step import PerStep
from spikescan.neurons.base import State, Temporal
from spikescan.neurons.padding import zero_padding

__all__ = ["Residual", "Sequential"]


class Sequential(Temporal):
    """Parts run one after the other; the state is the tuple of their states.

    ``Sequential(nn.Linear(2, 64), DSN(64))``, or with names, which then stand in the state dict and in errors:
    ``Sequential({"in": nn.Linear(2, 64), "spikes": DSN(64)})``. A module without time is lifted by `PerStep`, and an
    ``nn.Sequential`` with temporal parts becomes a `Sequential`. It is causal and streamable if each of its parts is,
    and stochastic or length-bound if one of them is.

    Raises:
        InputError: a part is no ``nn.Module``, or there is none; a state is not one of its own; a part without `step`
            is stepped. The message begins with the name of the part.
    """

    def __init__(self, *parts: nn.Module | Mapping[str, nn.Module]) -> None:
        super().__init__()
        named = parts[0] if len(parts) == 1 and isinstance(parts[0], Mapping) else dict(enumerate(parts))
        if not named:
            raise InputError("Sequential was given no parts; pass modules, or a mapping of names to modules.")
        for name, part in named.items():
            self.add_module(str(name), lift(part))
        describe(self, list(self))

    @property
    def parts(self) -> dict[str, Temporal]:
        """The parts by name."""
        return self._modules  # type: ignore[return-value]

    def __iter__(self) -> Iterator[Temporal]:
        return iter(self.parts.values())

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, index: int) -> Temporal:
        return list(self)[index]

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """``[T, B, C, *]`` to what the last part returns. See `Temporal.forward`."""
        after = []
        for (name, part), before in self._with_states(state):
            try:
                x, part_state = part(x, before, lengths)
            except InputError as error:
                raise _in_part(name, part, error) from error
            after.append(part_state)
        return x, tuple(after)

    def step(self, x_t: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """One step of each part."""
        after = []
        for (name, part), before in self._with_states(state):
            try:
                x_t, part_state = part.step(x_t, before)
            except InputError as error:
                raise _in_part(name, part, error) from error
            after.append(part_state)
        return x_t, tuple(after)

    def initial_state(self, x_t: Tensor) -> State:
        """The states at rest of all parts."""
        # No time steps: nothing is computed, but every part sees the shape that the one before it returns.
        with torch.no_grad():
            return self(x_t.new_empty(0, *x_t.shape))[1]

    def _with_states(self, state: State | None) -> Iterable[tuple[tuple[str, Temporal], State]]:
        """Each part by name, and the state it goes on from."""
        parts = self.parts
        if state is None:
            state = (None,) * len(parts)
        elif type(state) is not tuple or len(state) != len(parts):
            given = f"a tuple of {len(state)}" if type(state) is tuple else f"a {type(state).__name__}"
            raise InputError(
                f"Sequential was given {given} as its state; expected a tuple of {len(parts)}, one state for each of "
                f"its parts ({', '.join(parts)}). Pass the state that an earlier call returned, or None."
            )
        return zip(parts.items(), state, strict=True)


def _in_part(name: str, part: Temporal, error: InputError) -> InputError:
    return InputError(f"part {name!r} ({type(part).__name__}): {error}")


class Residual(Temporal):
    """y = x + module(x); the state is the module's. With a shortcut, y = shortcut(x) + module(x).

    The "ADD" of SEW-ResNet (Fang et al. 2021, arXiv 2102.04159): where `module` ends in a neuron, spikes are added to
    spikes, and a silent branch is the identity.

    Args:
        module: temporal, or lifted as in `Sequential`; returns the shape it is given.
        shortcut: of the same kind, where `module` changes the shape; None is the identity. The state is then the pair of
            the module's and the shortcut's.

    Raises:
        InputError: `module` returns another shape than the one it is added to.
    """

    def __init__(self, module: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.module = lift(module)
        self.shortcut = None if shortcut is None else lift(shortcut)
        describe(self, [self.module] if self.shortcut is None else [self.module, self.shortcut])

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """``[T, B, C, *]`` to ``[T, B, C', *]``. See `Temporal.forward`."""
        if self.shortcut is None:
            branch, state = self.module(x, state, lengths)
            return self._add(zero_padding(x, lengths), branch), state
        of_module, of_shortcut = self._pair(state)
        branch, of_module = self.module(x, of_module, lengths)
        kept, of_shortcut = self.shortcut(x, of_shortcut, lengths)
        return self._add(kept, branch), (of_module, of_shortcut)

    def step(self, x_t: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """One step, ``[B, C, *]`` to ``[B, C', *]``."""
        if self.shortcut is None:
            branch, state = self.module.step(x_t, state)
            return self._add(x_t, branch), state
        of_module, of_shortcut = self._pair(state)
        branch, of_module = self.module.step(x_t, of_module)
        kept, of_shortcut = self.shortcut.step(x_t, of_shortcut)
        return self._add(kept, branch), (of_module, of_shortcut)

    def initial_state(self, x_t: Tensor) -> State:
        """The state at rest of the module, or of module and shortcut."""
        at_rest = self.module.initial_state(x_t)
        return at_rest if self.shortcut is None else (at_rest, self.shortcut.initial_state(x_t))

    def _pair(self, state: State | None) -> tuple[State | None, State | None]:
        if state is None:
            return None, None
        if type(state) is not tuple or len(state) != 2:
            raise InputError(
                f"Residual was given a state of type {type(state).__name__}; with a shortcut it is the pair of the states "
                f"of module and shortcut. Pass the state that an earlier call returned, or None."
            )
        return state

    def _add(self, x: Tensor, branch: Tensor) -> Tensor:
        if branch.shape != x.shape:
            kept = "x" if self.shortcut is None else "shortcut(x)"
            raise InputError(
                f"Residual: {type(self.module).__name__} returned {list(branch.shape)}, but {kept} is {list(x.shape)} and "
                f"{kept} + module(x) needs equal shapes. Pass a shortcut that changes the shape as the module does."
            )
        return x + branch


def lift(module: object) -> Temporal:
    """The module itself if it is temporal, else lifted over time.

    Raises:
        InputError: it is no ``nn.Module``.
    """
    if isinstance(module, Temporal):
        return module
    if not isinstance(module, nn.Module):
        raise InputError(
            f"{module!r} is a {type(module).__name__}, expected an nn.Module; wrap a function in a module, "
            f"such as nn.ReLU() for torch.relu."
        )
    if isinstance(module, nn.Sequential) and any(isinstance(part, Temporal) for part in module.modules()):
        return Sequential(module._modules)
    return PerStep(module)


def describe(whole: Temporal, parts: list[Temporal]) -> None:
    """Say of a composition what its parts say of themselves."""
    whole.causal = all(part.causal for part in parts)
    whole.streamable = all(part.streamable for part in parts)
    whole.stochastic = any(part.stochastic for part in parts)
    whole.length_bound = any(part.length_bound for part in parts)
