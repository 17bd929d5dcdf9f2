"""Tensors as CPU kernels take them: an address, and parameters as tables over neurons."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from spikescan.ops._checks import compute_dtype
from spikescan.ops._simd import BYTES

__all__ = ["Channels", "Columns", "empty", "limits_of", "number_like"]

_NUMBER = {
    torch.float32: np.float32(0),
    torch.float64: np.float64(0),
}


def number_like(tensor: Tensor) -> Any:
    """A number that tells a kernel the type of the memory it is given."""
    return _NUMBER[tensor.dtype]


def empty(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """An unwritten tensor in the dtype that kernels compute in for `like`."""
    return torch.empty(shape, dtype=compute_dtype(like), device="cpu")


class Channels(NamedTuple):
    """How the neurons ``[B, C, S]`` of a step, in a row, share the parameters of their channels.

    A kernel reads the parameters of neuron n at column ``n % period`` of a table. The period is whole in samples and in
    vectors, so that no vector wraps around, and small, so that the table stays in the cache.
    """

    channels: int
    space: int
    neurons: int
    period: int

    @classmethod
    def of(cls, x: Tensor) -> "Channels":
        """For a sequence ``[T, B, C, S]``."""
        _, batch, channels, space = x.shape
        sample = channels * space
        lanes = BYTES // compute_dtype(x).itemsize
        return cls(channels, space, batch * sample, min(math.lcm(sample, lanes), batch * sample))

    def gather(self, totals: Tensor) -> Tensor:
        """Sum tables of gradients ``[parts, R, period]`` to ``[R, C]``."""
        samples = self.period // (self.channels * self.space) if self.period else 0
        return totals.view(totals.shape[0], totals.shape[1], samples, self.channels, self.space).sum((0, 2, 4))


class Columns(NamedTuple):
    """How the vectors of neurons ``[B, C, S]`` of a step share the parameters of their channels.

    A kernel reads the parameters of the vector at neuron n at column ``n // width % (columns / lanes) * lanes`` of a table.
    Where a channel's space is whole vectors, these share the channel's columns: width is the space, and the table is as if the
    space were one vector. Elsewhere each vector has its columns, until channels and vectors meet again.
    """

    neurons: int
    channels: int
    space: int
    """Of the table."""
    width: int
    columns: int

    @classmethod
    def of(cls, shape: tuple[int, ...], itemsize: int) -> "Columns":
        """For a step ``[B, C, *]`` of numbers of `itemsize` bytes."""
        batch, channels, space = shape[0], shape[1], math.prod(shape[2:])
        lanes = BYTES // itemsize
        neurons = batch * channels * space
        if space % lanes == 0:
            return cls(neurons, channels, lanes, max(space, 1), channels * lanes)
        period = min(math.lcm(channels * space, lanes), neurons)
        return cls(neurons, channels, space, lanes, -(-period // lanes) * lanes)


def limits_of(lengths: Tensor | None, channels: Channels | Columns, like: Tensor) -> Tensor:
    """The number of valid steps of each neuron, as numbers a vector compares with; empty where all steps are valid."""
    if lengths is None:
        return empty((0,), like)
    return lengths.to(compute_dtype(like)).repeat_interleave(channels.neurons // max(lengths.shape[0], 1))
