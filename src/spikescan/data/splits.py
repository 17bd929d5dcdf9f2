"""Choose the samples that are held out, and turn what is stored compactly into what a model takes."""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from spikescan.errors import DataError

__all__ = ["AsFloat", "OneHot", "hold_out", "hold_out_stretches", "stratified"]


def hold_out(targets: Tensor, count: int | None, seed: int, samples: str) -> tuple[Tensor, Tensor]:
    """Indices of `count` samples held out class by class, and those of the others.

    Args:
        targets: int64 ``[N]``.
        count: how many; None takes a tenth.
        seed: decides which.
        samples: what they are called in the message, such as ``"images"``.
    """
    count = len(targets) // 10 if count is None else count
    if not 0 < count < len(targets):
        raise DataError(f"validation={count} {samples} cannot be held out of {len(targets)} training {samples}.")
    return stratified(targets, count, seed)


def stratified(targets: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Indices of `count` samples with the classes in equal shares, and the indices of all others, both ascending."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(targets), generator=generator)
    classes = targets[order]
    # How far through its own class a sample stands, 0 to 1: the first `count` by this rank hold each class's share.
    rank = torch.empty(len(targets))
    for label in range(int(targets.max()) + 1):
        members = (classes == label).nonzero().squeeze(1)
        rank[members] = (torch.arange(len(members)) + 0.5) / len(members)
    chosen = torch.zeros(len(targets), dtype=torch.bool)
    chosen[order[rank.argsort(stable=True)[:count]]] = True
    return chosen.nonzero().squeeze(1), (~chosen).nonzero().squeeze(1)


def hold_out_stretches(samples: int, count: int, stretches: int) -> list[tuple[int, int]]:
    """Where `count` of `samples` neighbours begin and end: the last ones of as many equal parts as there are `stretches`.

    Raises:
        DataError: there are not enough to hold some out in each part.
    """
    parts = itertools.pairwise(samples * part // stretches for part in range(stretches + 1))
    # At most as many before each end as its share of all of them; of no samples none.
    held = [(end - (count * end // max(samples, 1) - count * start // max(samples, 1)), end) for start, end in parts]
    if any(start == end for start, end in held):
        raise DataError(
            f"stretches is {stretches}, too many to hold out {count} of {samples} in: expected fewer, so that each holds some."
        )
    return held


@dataclass(frozen=True)
class AsFloat:
    """Integers divided by `divisor`, as float32: pixels by 255, events counted by 1."""

    divisor: float = 1.0

    def __call__(self, inputs: Tensor) -> Tensor:
        """``[n, T, *]`` of any type to float32."""
        return inputs.float() / self.divisor


@dataclass(frozen=True)
class OneHot:
    """A channel for each of `symbols` symbols; a linear layer behind it is an embedding."""

    symbols: int

    def __call__(self, inputs: Tensor) -> Tensor:
        """Symbol numbers ``[n, T, 1]`` to float32 ``[n, T, symbols]``."""
        return F.one_hot(inputs.squeeze(-1).long(), self.symbols).float()
