"""Losses of neurons beside that of the task, on their way to the code that trains."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

__all__ = ["add_auxiliary_loss", "auxiliary_losses"]

_collecting: ContextVar[list[Tensor] | None] = ContextVar("auxiliary_losses", default=None)


@contextmanager
def auxiliary_losses() -> Iterator[list[Tensor]]:
    """Collect the auxiliary losses of all that runs forward within it.

    Yields a list to which each call of a neuron that has such a loss adds it, one number a sample, ``[B]``::

        with auxiliary_losses() as losses:
            outputs, _ = model(x)
        loss = 0.99 * task_loss(outputs) + 0.01 * sum(each.mean() for each in losses)

    Outside of it nothing is computed. A compiled forward pass adds nothing: a list cannot grow within a graph.
    """
    losses: list[Tensor] = []
    token = _collecting.set(losses)
    try:
        yield losses
    finally:
        _collecting.reset(token)


def add_auxiliary_loss(loss: Callable[[], Tensor]) -> None:
    """Add a loss ``[B]`` to the list of `auxiliary_losses`; outside of it, or compiled, `loss` is not called."""
    if torch.compiler.is_compiling():
        return
    losses = _collecting.get()
    if losses is not None:
        losses.append(loss())
