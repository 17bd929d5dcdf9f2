"""Tensors as the flat arrays that CPU kernels read and write, and parameters as tables over neurons."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from spikescan.ops._checks import compute_dtype
from spikescan.ops._simd import BYTES

__all__ = ["Array", "Channels", "array", "empty", "limits_of"]

Array = np.ndarray[Any, np.dtype[Any]]


def array(tensor: Tensor) -> Array:
    """The memory of a contiguous tensor as one row, in the dtype that kernels compute in; copied only where that differs."""
    return tensor.detach().to(compute_dtype(tensor)).view(-1).numpy()


def empty(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """An unwritten tensor in the dtype that kernels compute in for `like`."""
    return torch.empty(shape, dtype=compute_dtype(like))


class Channels(NamedTuple):
    """How the neurons ``[B, C, S]`` of a step, in a row, share the parameters of their channels.

    A kernel reads the parameters of neuron n at column ``n % period`` of a table. The period is whole in samples and in
    vectors, so that no vector wraps around, and small, so that the table stays in the cache.
    """

    batch: int
    channels: int
    space: int
    period: int

    @classmethod
    def of(cls, x: Tensor) -> "Channels":
        """For a sequence ``[T, B, C, S]``."""
        _, batch, channels, space = x.shape
        lanes = BYTES // compute_dtype(x).itemsize
        return cls(batch, channels, space, min(math.lcm(channels * space, lanes), batch * channels * space))

    @property
    def neurons(self) -> int:
        """Neurons of a step."""
        return self.batch * self.channels * self.space

    def spread(self, rows: Tensor) -> Array:
        """Parameters ``[R, C]`` as a table ``[R, period]``, flat."""
        if self.period == self.channels:
            return array(rows.contiguous())
        samples = self.period // (self.channels * self.space) if self.period else 0
        shape = (rows.shape[0], samples, self.channels, self.space)
        return array(rows[:, None, :, None].expand(shape).contiguous())

    def gather(self, table: Array, rows: int) -> Tensor:
        """Sum a table of gradients ``[parts, R, period]`` back to ``[R, C]``."""
        samples = self.period // (self.channels * self.space) if self.period else 0
        shape = (-1, rows, samples, self.channels, self.space)
        return torch.from_numpy(table).view(shape).sum((0, 2, 4))


def limits_of(lengths: Tensor | None, channels: Channels, like: Tensor) -> Array:
    """The number of valid steps of each neuron, as numbers a vector compares with; empty where all steps are valid."""
    if lengths is None:
        return np.empty(0, dtype=array(like[:0]).dtype)
    per_sample = channels.channels * channels.space
    return array(lengths.to(compute_dtype(like)).repeat_interleave(per_sample))
