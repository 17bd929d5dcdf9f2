"""Modules of torch without time, by what they do to spikes; and how many weights a spike meets in one."""

import copy
from typing import cast

import torch
from torch import Tensor, nn

from spikescan.layers.dropout import Dropout
from spikescan.layers.layer_norm import LayerNorm
from spikescan.layers.linear import Linear

__all__ = ["AVERAGES", "KEEPING", "MAXIMA", "NORMS", "WEIGHTED", "fan_out"]

# Exact classes: a subclass may compute something else.
WEIGHTED = (
    Linear,
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
AVERAGES = (
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AvgPool3d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
)
MAXIMA = (
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.MaxPool3d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
    nn.AdaptiveMaxPool3d,
)
# They move values, or do nothing to values that are not negative; dropout so in evaluation.
KEEPING = (
    nn.Identity,
    nn.Flatten,
    nn.Unflatten,
    nn.PixelShuffle,
    nn.PixelUnshuffle,
    nn.ChannelShuffle,
    nn.ZeroPad1d,
    nn.ZeroPad2d,
    nn.ZeroPad3d,
    nn.ReLU,
    Dropout,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
)
NORMS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    LayerNorm,
    nn.LayerNorm,
    nn.RMSNorm,
    nn.GroupNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
)


def fan_out(layer: nn.Module, shape: torch.Size) -> Tensor:
    """For each input value of one sample, how many products with a weight it takes part in: float64 of this shape.

    Counted, so that padding, stride, dilation and groups are what they are: a value at the border meets fewer weights.

    Args:
        layer: of a kind in `WEIGHTED`.
        shape: of one row of its input, without the batch: ``[C, *]``, or what ``nn.Linear`` takes.
    """
    # With weights of 1, an output is the sum of the values that it is made of, and the gradient of all outputs counts them.
    counting = copy.deepcopy(layer).double()
    nn.init.ones_(cast(Tensor, counting.weight))
    values = torch.zeros(1, *shape, dtype=torch.float64, device=cast(Tensor, layer.weight).device, requires_grad=True)
    with torch.enable_grad():
        (count,) = torch.autograd.grad(counting(values).sum(), values)
    return count.squeeze(0)
