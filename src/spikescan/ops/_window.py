"""The last inputs of a causal filter, carried from one call to the next."""

import torch
from torch import Tensor

__all__ = ["shift_window"]


def shift_window(window: Tensor, x: Tensor, lengths: Tensor | None = None, *, width: int | None = None) -> Tensor:
    """The last inputs after `x` was seen.

    window ``[w, B, C, *]`` (newest last), x ``[T, B, C, *]``; with `lengths`, the last w inputs before each sample's end.
    Returns ``[w, B, C, *]``, a copy: a state must not keep the whole sequence alive. A window of fewer rows than `width`
    (None: as many as it has) has zeros before them.
    """
    width = window.shape[0] if width is None else width
    if lengths is None and x.shape[0] >= width:
        return x[x.shape[0] - width :].to(window.dtype, copy=True)
    if window.shape[0] < width:
        window = torch.cat([window.new_zeros(width - window.shape[0], *window.shape[1:]), window])
    if lengths is None:
        return torch.cat([window[x.shape[0] :], x.to(window.dtype)])
    index = lengths + torch.arange(width, device=x.device).unsqueeze(1)  # [w, B], into window ++ x
    padded = torch.cat([window, x.to(window.dtype)])
    return padded.gather(0, index.view(width, x.shape[1], *[1] * (x.ndim - 2)).expand(width, *x.shape[1:]))
