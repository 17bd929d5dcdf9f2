"""Optimisers, and which parameters they pull towards zero."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from spikescan.errors import InputError
from spikescan.names import choose_named

__all__ = ["adamw", "list_optimisers", "optimiser_maker", "parameter_groups", "sgd"]


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """The trainable parameters in two groups, of which only the first decays.

    Spared are those marked by an attribute ``no_weight_decay = True`` (decays and thresholds, whose zero means nothing)
    and all of fewer than two axes (biases, scales of norms).
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    spared = [getattr(p, "no_weight_decay", False) or p.dim() < 2 for p in parameters]
    groups = [
        {"params": [p for p, spare in zip(parameters, spared, strict=True) if not spare], "weight_decay": weight_decay},
        {"params": [p for p, spare in zip(parameters, spared, strict=True) if spare], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def adamw(
    model: nn.Module, *, lr: float = 5e-3, weight_decay: float = 0.01, betas: tuple[float, float] = (0.9, 0.999)
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019) with peak learning rate `lr`."""
    _check_not_negative("adamw", lr=lr, weight_decay=weight_decay)
    if not all(0.0 <= beta < 1.0 for beta in betas):
        raise InputError(f"optimiser adamw: betas is {list(betas)}, expected two numbers from 0 to below 1.")
    return torch.optim.AdamW(parameter_groups(model, weight_decay), lr=lr, betas=betas)


def sgd(
    model: nn.Module, *, lr: float = 0.1, momentum: float = 0.9, weight_decay: float = 0.0
) -> torch.optim.Optimizer:
    """Gradient descent with momentum and peak learning rate `lr`."""
    _check_not_negative("sgd", lr=lr, momentum=momentum, weight_decay=weight_decay)
    return torch.optim.SGD(parameter_groups(model, weight_decay), lr=lr, momentum=momentum)


def list_optimisers() -> list[str]:
    """The names that `optimiser_maker` knows."""
    return sorted(_OPTIMISERS)


def optimiser_maker(name: str) -> Callable[..., torch.optim.Optimizer]:
    """The function that makes the optimiser `name` of a model; its keyword arguments are the options."""
    return choose_named("optimiser", _OPTIMISERS, name)


def _check_not_negative(optimiser: str, **options: float) -> None:
    for name, value in options.items():
        if not value >= 0.0:  # NaN too
            raise InputError(f"optimiser {optimiser}: {name} is {value}, expected 0 or more.")


_OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {"adamw": adamw, "sgd": sgd}
