"""What neurons share that are given by one step: a `Cell` run over time by `ops.sweep`."""

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from spikescan import ops
from spikescan.neurons.base import Neuron, at_rest, check_channels
from spikescan.ops._checks import check_sequence, compute_dtype

__all__ = ["SweptNeuron"]


class SweptNeuron(Neuron):
    """A neuron whose equation is the step of a cell.

    A class says its `state_type`, a NamedTuple of as many tensors ``[B, C, *]`` as the cell has states, all zero at rest;
    `channels`, where its parameters belong to a number of channels; and the two methods below.
    """

    state_type: ClassVar[type[tuple[Any, ...]]]
    channels: int | None = None

    @abstractmethod
    def cell(self) -> ops.Cell:
        """The step. Cells are compiled, so the same one has to be given each time."""

    @abstractmethod
    def coefficients(self, device: torch.device) -> tuple[Tensor | float, ...]:
        """The parameters of the cell, each a constant, a scalar or ``[C]``."""

    def initial_state(self, x_t: Tensor) -> Any:
        """At rest: zeros."""
        return self.state_type(*[at_rest(x_t) for _ in self.cell().states])

    def forward(self, x: Tensor, state: Any = None, lengths: Tensor | None = None) -> tuple[Tensor, Any]:
        """Run over all of time at once; see `Temporal.forward`."""
        spikes, carried = ops.sweep(self.cell(), x, firing=self.firing.spec, lengths=lengths, **self._given(x, state))
        return spikes, self._packed(carried)

    def learnt(self, x_t: Tensor) -> Tensor:
        """See `Learns`: the coefficients that are tensors."""
        found = [each for each in self.coefficients(x_t.device) if isinstance(each, Tensor)]
        return torch.stack([each.expand(x_t.shape[1]) for each in found]) if found else x_t.new_empty(0, x_t.shape[1])

    def forward_with(
        self, learnt: Tensor, x: Tensor, state: Any = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, Any]:
        """See `Learns`."""
        given, cell = self._given(x, state), self.cell()
        values = zip(cell.parameters, self.coefficients(x.device), strict=True)
        names = [name for name, value in values if isinstance(value, Tensor)]
        before = given["state"] or (None,) * len(cell.states)
        spikes, carried = ops.sweep(
            cell.carrying(*names), x, given["parameters"], firing=self.firing.spec,
            state=(*before, *learnt.unbind(1)), lengths=lengths,
        )  # fmt: skip
        return spikes, self._packed(carried[: len(cell.states)])

    def step(self, x_t: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Run one time step; see `Temporal.step`."""
        if self.channels is not None:
            check_channels(self, x_t, 1, self.channels)
        before = self.unpack(self.initial_state(x_t) if state is None else state, self.state_type)
        spikes, after = ops.sweep_step(
            self.cell(), x_t, self.coefficients(x_t.device), firing=self.firing.spec, state=before
        )
        return spikes, self.state_type(*after)

    @torch.no_grad()
    def trace(self, x: Tensor, state: Any = None) -> dict[str, Tensor]:
        """See `Neuron.trace`; the membrane that the step compares with its threshold."""
        return {"membrane": ops.sweep_membranes(self.cell(), x, firing=self.firing.spec, **self._given(x, state))}

    def _given(self, x: Tensor, state: Any) -> dict[str, Any]:
        """Parameters and state, as the op takes them."""
        if self.channels is None:
            check_sequence(type(self).__name__, x)
        else:
            check_channels(self, x, 2, self.channels)
        C, dtype = x.shape[2], compute_dtype(x)
        parameters = tuple(
            each.expand(C) if isinstance(each, Tensor) else x.new_full((C,), each, dtype=dtype)
            for each in self.coefficients(x.device)
        )
        return {"parameters": parameters, "state": self.unpack(state, self.state_type)}

    def _packed(self, carried: tuple[Tensor, ...]) -> Any:
        """The state, of what the cell carries."""
        return self.state_type(*carried)
