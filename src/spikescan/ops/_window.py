"""The last inputs of a causal filter, carried from one call to the next."""

import ctypes
from typing import Any

import torch
from torch import Tensor

from spikescan.ops._register import register
from spikescan.ops._threads import parts, spread

__all__ = ["shift_window"]

_LINE = 64
# Numbers up to which torch copies without its OpenMP threads.
_ALONE = 1 << 15


def shift_window(window: Tensor, x: Tensor, lengths: Tensor | None = None, *, width: int | None = None) -> Tensor:
    """The last inputs after `x` was seen.

    window ``[w, B, C, *]`` (newest last), x ``[T, B, C, *]``; with `lengths`, the last w inputs before each sample's end.
    Returns ``[w, B, C, *]``, a copy: a state must not keep the whole sequence alive. A window of fewer rows than `width`
    (None: as many as it has) has zeros before them.
    """
    width = window.shape[0] if width is None else width
    if lengths is None and x.shape[0] >= width:
        last = x[x.shape[0] - width :]
        if last.is_cpu and last.numel() > _ALONE and last.dtype == window.dtype and last.is_contiguous():
            return _copy(last)  # type: ignore[no-any-return]
        return last.to(window.dtype, copy=True)
    if window.shape[0] < width:
        window = torch.cat([window.new_zeros(width - window.shape[0], *window.shape[1:]), window])
    if lengths is None or not len(x):
        return torch.cat([window[x.shape[0] :], x.to(window.dtype)])
    if not width:
        return window.clone()
    index = lengths + torch.arange(-width, 0, device=x.device).unsqueeze(1)  # [w, B], into x; below 0 into the window
    sample = torch.arange(x.shape[1], device=x.device)
    seen, before = x[index.clamp(min=0), sample], window[(index + width).clamp(max=width - 1), sample]
    return torch.where((index >= 0).view(width, x.shape[1], *[1] * (x.ndim - 2)), seen.to(window.dtype), before)


@register("copy", fake=torch.empty_like)
def _copy(tensor: Tensor) -> Tensor:
    """A copy of a contiguous tensor by threads of ours.

    torch would wake its OpenMP threads, which then spin on the cores that the next kernel needs: at (32, 128, 256) that made a
    layer's training step half as long again.
    """
    copy = torch.empty_like(tensor)
    to, source, size = copy.data_ptr(), tensor.data_ptr(), copy.nbytes

    def run(_: int, low: int, high: int) -> None:
        first = low * _LINE
        ctypes.memmove(to + first, source + first, min(high * _LINE, size) - first)

    lines = -(-size // _LINE)  # copied as fast as a neuron takes a step
    spread(run, lines, 1, parts(lines, 1, 1))
    return copy


def _save_nothing(ctx: Any, inputs: Any, output: Any) -> None:
    """A copy's gradient needs neither."""


def _pass_on(ctx: Any, grad: Tensor | None) -> Tensor | None:
    return grad


_copy.differentiable(_save_nothing, _pass_on)
