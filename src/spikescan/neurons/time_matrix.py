"""A banded matrix over time, applied to inputs that came in earlier calls too."""

import torch
from torch import Tensor

from spikescan import ops
from spikescan.errors import InputError
from spikescan.neurons.base import check_carried
from spikescan.ops import IDENTITY, FiringSpec
from spikescan.ops._checks import compute_dtype

__all__ = ["advance", "check_end", "check_past", "leading", "mix_onward"]


def leading(weight: Tensor, bias: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """The rows and columns of the first `steps`; themselves where that is all, as a slice's gradient is a copy each."""
    return (weight, bias) if len(weight) == steps else (weight[:steps, :steps], bias[:steps])


def mix_onward(
    x: Tensor, position: Tensor, window: Tensor, weight: Tensor, bias: Tensor, *, firing: FiringSpec = IDENTITY
) -> Tensor:
    """``fire(bias_t + sum_i weight_{t i} x_i)`` over the last k inputs i, with the rows t of each sample's own position.

    Args:
        x: ``[T, B, C, *]``.
        position: int64 ``[B]``, steps seen before x.
        window: ``[B, k - 1, C, *]``, the last inputs before x, newest last.
        weight: ``[steps, steps]``; only its band 0 <= t - i < k is used.
        bias: ``[steps]``.
        firing: what turns the sum into spikes; the default returns the sum itself.
    """
    T, last = x.shape[0], len(weight) - 1
    inputs = torch.cat([window.movedim(1, 0).to(x.dtype), x])
    mixed = torch.zeros_like(x)
    for at, samples in _together(position):
        rows = (at + torch.arange(T, device=x.device)).clamp(max=last)  # beyond it is padding
        taps = _taps(weight, window.shape[1] + 1, rows, at + torch.arange(-window.shape[1], T, device=x.device))
        mixed[:, samples] = ops.time_mixing(
            inputs[:, samples], taps, bias[rows], firing=firing, order=window.shape[1] + 1
        )
    return mixed


def _taps(weight: Tensor, order: int, rows: Tensor, columns: Tensor) -> Tensor:
    """These rows and columns of the banded matrix, zero where it has none: what a whole run multiplies by zero."""
    lag = rows.unsqueeze(1) - columns
    inside = (lag >= 0) & (lag < order) & (columns >= 0)
    return torch.where(inside, weight[rows.unsqueeze(1), columns.clamp(0, len(weight) - 1)], 0.0)


def _together(position: Tensor) -> list[tuple[Tensor, Tensor | slice]]:
    """Each position, and the samples that are there: they share rows of the matrix.

    What is compiled cannot depend on where they are, so there every sample is by itself.
    """
    if torch.compiler.is_compiling():
        return [(at, slice(sample, sample + 1)) for sample, at in enumerate(position.unbind())]
    return [(at, position == at) for at in torch.unique(position).unbind()]


def advance(x: Tensor, position: Tensor, window: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
    """Position and window after x was seen."""
    seen = position + (x.shape[0] if lengths is None else lengths)
    return seen, ops.shift_window(window.movedim(1, 0), x, lengths).movedim(0, 1)


def check_past(owner: str, x: Tensor, position: Tensor, window: Tensor, order: int) -> None:
    """Raise `InputError` unless position and window are those of x's batch and of this many inputs a step."""
    batch, *rest = x.shape[1:]
    check_carried(owner, "position", position, (batch,), torch.int64, x.device)
    check_carried(owner, "window", window, (batch, order - 1, *rest), compute_dtype(x), x.device)


def check_end(owner: str, time_steps: int, x: Tensor, position: Tensor | None, lengths: Tensor | None) -> None:
    """Raise `InputError` if x leads beyond the last row of the matrix; of a carried position only in eager mode."""
    if position is None:
        seen, end = 0, x.shape[0]
    elif x.shape[1] and not torch.compiler.is_compiling():
        seen, end = int(position.max()), int((position + (x.shape[0] if lengths is None else lengths)).max())
    else:
        return
    if end > time_steps:
        raise InputError(
            f"{owner} has seen {seen} time steps and was given more, up to {end}: its matrix ends at {time_steps}. "
            f"Start again with state=None, or use SlidingPSN(order) or DSN(channels), which never end."
        )
