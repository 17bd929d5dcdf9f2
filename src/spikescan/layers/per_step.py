"""Modules without time, lifted over it."""

from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from spikescan.errors import InputError
from spikescan.neurons.base import State, Temporal, check_stateless
from spikescan.neurons.padding import valid_steps

__all__ = ["PerStep"]


class PerStep(Temporal):
    """Applies a module without time to every time step: ``y[t] = module(x[t])``.

    All steps go through `module` as one batch of ``T * B`` rows. With `lengths` only the valid steps go, so that
    padding enters no batch statistics; their number depends on the values in `lengths`, so
    ``torch.compile(fullgraph=True)`` needs ``lengths=None``. A module whose rows see each other (BatchNorm in training)
    equals its stepwise run in eval mode only.

    Args:
        module: takes ``[N, C, *]`` and returns ``[N, C', *]``, such as ``nn.Linear`` or ``nn.Conv2d``.

    Raises:
        InputError: `module` has time in it (compose with `Sequential` then), or returns something else than one row for
            each row.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        temporal = next((part for part in module.modules() if isinstance(part, Temporal)), None)
        if temporal is not None:
            raise InputError(
                f"PerStep lifts a module without time, but {type(module).__name__} has time in it "
                f"({type(temporal).__name__}). Compose temporal parts with spikescan.Sequential or spikescan.Residual."
            )
        self.module = module
        self.stochastic = any(isinstance(part, _DropoutNd) for part in module.modules())

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """``[T, B, C, *]`` to ``[T, B, C', *]``; the state is ``()``. See `Temporal.forward`."""
        rows = x.flatten(0, 1)
        if lengths is None:
            y, state = self.step(rows, state)
        else:
            valid = valid_steps(x, lengths).flatten().nonzero().squeeze(1)
            y_valid, state = self.step(rows.index_select(0, valid), state)
            y = y_valid.new_zeros(len(rows), *y_valid.shape[1:]).index_copy(0, valid, y_valid)
        return y.reshape(*x.shape[:2], *y.shape[1:]), state

    def step(self, x_t: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """``module(x_t)``, ``[B, C, *]`` to ``[B, C', *]``."""
        check_stateless("PerStep", state)
        y_t = self.module(x_t)
        if not isinstance(y_t, Tensor) or not y_t.ndim or y_t.shape[0] != x_t.shape[0]:
            given = list(y_t.shape) if isinstance(y_t, Tensor) else type(y_t).__name__
            raise InputError(
                f"PerStep: {type(self.module).__name__} returned {given} for {list(x_t.shape)}; "
                f"expected a tensor with the same first axis, one row a step and sample."
            )
        return y_t, ()

    def initial_state(self, x_t: Tensor) -> State:
        """``()``."""
        return ()
