"""Find where a NaN or an infinity came from."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from spikescan.data.dataset import Batch
from spikescan.errors import InputError
from spikescan.neurons.base import Temporal

__all__ = ["NonFiniteError", "explain_nonfinite", "nonfinite_gradients"]


class NonFiniteError(InputError):
    """Training met a NaN or an infinity; the message says where it arose."""


def explain_nonfinite(model: nn.Module, batch: Batch) -> str:
    """Where the first NaN or infinity arises when `model` runs on `batch`: input, parameter, or layer and time step."""
    step = _first_step(batch.inputs)
    if step is not None:
        return f"The input of the batch is not finite at time step {step} (--check_inputs true finds the sample)."
    bad = [name for name, parameter in model.named_parameters() if not parameter.isfinite().all()]
    if bad:
        return f"The parameter {bad[0]} is not finite: the update before this one was too large."
    found: list[str] = []
    with torch.no_grad(), _watch(model, found):
        model(batch.inputs, None, batch.lengths)
    return found[0] if found else "Every layer's output is finite: the loss itself is not (look at the targets)."


def nonfinite_gradients(model: nn.Module) -> list[str]:
    """The names of the parameters whose gradient is not finite."""
    return [name for name, p in model.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]


@contextmanager
def _watch(model: nn.Module, found: list[str]) -> Iterator[None]:
    """Within it, each temporal module that gives out a non-finite value is added to `found`, the innermost first."""

    def hook(name: str) -> Any:
        def look(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            step = _first_step(output[0])
            if step is not None:
                inner = (
                    f" of {type(module.module).__name__}"
                    if isinstance(getattr(module, "module", None), nn.Module)
                    else ""
                )
                found.append(
                    f"The layer {name or 'model'} ({type(module).__name__}{inner}) is the first whose output is not "
                    f"finite, at time step {step}."
                )

        return look

    handles = [m.register_forward_hook(hook(name)) for name, m in model.named_modules() if isinstance(m, Temporal)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _first_step(x: Tensor) -> int | None:
    """The first time step of ``x [T, B, *]`` with a value that is not finite."""
    bad = (~x.isfinite()).flatten(1).any(1).nonzero()
    return int(bad[0]) if len(bad) else None
