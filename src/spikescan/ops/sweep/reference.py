"""A cell's step, again and again, on tensors."""

import torch
from torch import Tensor

from spikescan.ops._firing import FiringSpec, Kind
from spikescan.ops._padding import zero_padding
from spikescan.ops.fire.reference import fire
from spikescan.ops.sweep.cell import cell_of


class TensorFire:
    """`Fire` on tensors, with the surrogate's gradient."""

    def __init__(self, kind: int, numbers: list[float]) -> None:
        self.kind = kind
        self.numbers = numbers
        self.unit = FiringSpec(Kind(kind), *numbers).unit

    def __call__(self, membrane: Tensor, /) -> Tensor:
        return fire(membrane, self.kind, self.numbers)


def forward(
    x: Tensor,
    initial: Tensor,
    parameters: Tensor,
    lengths: Tensor | None,
    cell: str,
    kind: int,
    numbers: list[float],
    keep: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes ``[T, B, C, S]``, the states after the last valid step ``[R, B, C, S]`` and, if `keep`, after every step.

    x ``[T, B, C, S]``, initial ``[R, B, C, S]``, parameters ``[P, C]``; what is kept is ``[R, T, B, C, S]``.
    """
    step = cell_of(cell).step
    firing = TensorFire(kind, numbers)
    values = parameters.unsqueeze(-1).unbind(0)
    state = initial.unbind(0)
    spikes, kept = [], []
    for t, inputs in enumerate(zero_padding(x, lengths).to(parameters.dtype).unbind(0)):
        fired, after = step(inputs, state, values, firing)
        if lengths is not None:
            valid = (t < lengths).view(-1, 1, 1)
            after = tuple(torch.where(valid, new, old) for new, old in zip(after, state, strict=True))
            fired = torch.where(valid, fired, torch.zeros_like(fired))
        state = after
        spikes.append(fired)
        if keep:
            kept.append(torch.stack(state))
    final = torch.stack(state)
    if not spikes:
        return x.clone(), final, x.new_empty((len(initial), *x.shape) if keep else 0, dtype=parameters.dtype)
    return torch.stack(spikes).to(x.dtype), final, torch.stack(kept, 1) if keep else x.new_empty(0)
