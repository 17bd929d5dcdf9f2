"""Convolutional spiking networks: space is convolved at each step, time lives in the neurons."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

from torch import nn

from spikescan.errors import InputError
from spikescan.layers import Dropout, Linear, Residual, Sequential
from spikescan.models.parts import MakeNeuron, build_readout, check_sizes, spiking
from spikescan.models.registry import register_model
from spikescan.neurons.base import Temporal

__all__ = ["sequential_cnn", "sew_resnet", "vgg"]


@register_model
def sequential_cnn(
    inputs: int,
    outputs: int,
    *,
    neuron: MakeNeuron,
    height: int = 32,
    width: int = 128,
    hidden: int = 256,
    convolutions: Sequence[int] = (3, 3),
    readout: str | Callable[[int], Temporal] = "rate",
) -> Sequential:
    """The network for images seen column by column, one column a time step.

    ``[T, B, inputs, height]`` to ``[T, B, outputs]``. For each number in `convolutions` that many times convolution (3, padding
    1, no bias), batch norm and neurons, then an average pool of 2; then a linear layer, neurons and the linear readout.
    Source: the sequential CIFAR network of the PSN paper (Fang et al. 2023, arXiv 2304.12760) and its code; initial values are
    torch's.

    Args:
        inputs: channels of the image.
        outputs: number of classes.
        neuron: builds the neurons of one layer from their channels.
        height: of a column.
        width: channels of each convolution.
        hidden: neurons of the layer after the convolutions.
        convolutions: how many stand before each pool.
        readout: a name of `READOUTS`, or a function from a number of channels to a temporal module.

    Raises:
        InputError: a size below 1, or a column that is too short for the pools.
    """
    left = height // 2 ** len(convolutions)
    check_sizes("sequential_cnn", height=height, width=width, hidden=hidden, **{"columns after the pools": left})
    parts: dict[str, nn.Module] = {}
    channels = inputs
    for stage, count in enumerate(convolutions):
        for index in range(count):
            conv = nn.Conv1d(channels, width, 3, padding=1, bias=False)
            parts[f"stage{stage}_{index}"] = spiking("conv", conv, nn.BatchNorm1d(width), neuron(width))
            channels = width
        parts[f"pool{stage}"] = nn.AvgPool1d(2)
    return Sequential(
        parts
        | {"flatten": nn.Flatten(), "hidden": Linear(channels * left, hidden), "neuron": neuron(hidden)}
        | {"head": Linear(hidden, outputs), "readout": build_readout(readout, outputs)}
    )


@register_model
def sew_resnet(
    inputs: int,
    outputs: int,
    *,
    neuron: MakeNeuron,
    blocks: Sequence[int] = (2, 2, 2, 2),
    width: int = 64,
    stem: Literal["imagenet", "cifar"] = "imagenet",
    readout: str | Callable[[int], Temporal] = "rate",
) -> Sequential:
    """SEW-ResNet of basic blocks: a residual network whose shortcuts carry spikes, added to the spikes of each block.

    ``[T, B, inputs, H, W]`` to ``[T, B, outputs]``. A block is twice convolution (3 x 3, no bias), batch norm and neurons, plus
    its input; where it halves the image and doubles the channels, its shortcut is a convolution (1 x 1), norm and neurons.
    Sums of spikes are whole numbers ("ADD"). Source: Fang et al. 2021, arXiv 2102.04159, and its code; convolutions start
    normal with the variance 2 / (outputs x kernel) (Kaiming, fan out). ``blocks=(2, 2, 2, 2)`` is SEW-ResNet-18, with 11.7 M
    parameters at 1000 classes; ``(3, 4, 6, 3)`` is SEW-ResNet-34.

    Args:
        inputs: channels of the image.
        outputs: number of classes.
        neuron: builds the neurons of one layer from their channels.
        blocks: blocks of each stage; each stage after the first halves the image and doubles the channels.
        width: channels of the first stage.
        stem: "imagenet" is a convolution 7 x 7 of stride 2 and a max pool of stride 2, "cifar" for small images a convolution
            3 x 3 of stride 1 alone; both with batch norm and neurons.
        readout: a name of `READOUTS`, or a function from a number of channels to a temporal module.

    Raises:
        InputError: a size below 1, no blocks, or an unknown stem.
    """
    check_sizes(
        "sew_resnet", width=width, stages=len(blocks), **{f"blocks[{i}]": count for i, count in enumerate(blocks)}
    )
    if stem not in ("imagenet", "cifar"):
        raise InputError(f"sew_resnet: stem = {stem!r}, expected 'imagenet' or 'cifar'.")

    def layer(before: int, after: int, kernel: int, stride: int = 1) -> Sequential:
        conv = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2, bias=False)
        return spiking("conv", conv, nn.BatchNorm2d(after), neuron(after))

    parts: dict[str, nn.Module] = {
        "stem": layer(inputs, width, 7, 2) if stem == "imagenet" else layer(inputs, width, 3)
    }
    if stem == "imagenet":
        parts["pool"] = nn.MaxPool2d(3, stride=2, padding=1)
    widths = [width, *(width * 2**stage for stage in range(len(blocks)))]
    for stage, (count, (before, after)) in enumerate(zip(blocks, pairwise(widths), strict=True)):
        for index in range(count):
            first = index == 0 and before != after
            branch = (
                Sequential(layer(before, after, 3, 2), layer(after, after, 3))
                if first
                else Sequential(layer(after, after, 3), layer(after, after, 3))
            )
            parts[f"stage{stage}_{index}"] = Residual(branch, layer(before, after, 1, 2) if first else None)
    model = Sequential(
        parts
        | {"average": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
        | {"head": Linear(widths[-1], outputs), "readout": build_readout(readout, outputs)}
    )
    return _kaiming(model)


@register_model
def vgg(
    inputs: int,
    outputs: int,
    *,
    neuron: MakeNeuron,
    size: int = 48,
    stages: Sequence[Sequence[int]] = ((64, 128), (256, 256), (512, 512), (512, 512)),
    dropout: float = 0.25,
    readout: str | Callable[[int], Temporal] = "rate",
) -> Sequential:
    """The VGG for event cameras: convolutions with batch norm and neurons, an average pool after each stage.

    ``[T, B, inputs, size, size]`` to ``[T, B, outputs]``. 64-128-P-256-256-P-512-512-P-512-512-P, then dropout and the linear
    readout. Source: the CIFAR10-DVS network of the PSN paper's code (arXiv 2304.12760), there with a sliding PSN of order 2;
    convolutions 3 x 3 with bias that start normal with the variance 2 / (outputs x kernel) (Kaiming, fan out).

    Args:
        inputs: channels of the image, 2 for events of both signs.
        outputs: number of classes.
        neuron: builds the neurons of one layer from their channels.
        size: height and width of the image.
        stages: the channels of the convolutions before each pool.
        dropout: the share of inputs to the readout that training leaves out.
        readout: a name of `READOUTS`, or a function from a number of channels to a temporal module.

    Raises:
        InputError: a size below 1, or an image that is too small for the pools.
    """
    left = size // 2 ** len(stages)
    check_sizes("vgg", size=size, **{"image after the pools": left, "stages": len(stages)})
    parts: dict[str, nn.Module] = {}
    channels = inputs
    for stage, widths in enumerate(stages):
        for index, width in enumerate(widths):
            conv = nn.Conv2d(channels, width, 3, padding=1)
            parts[f"stage{stage}_{index}"] = spiking("conv", conv, nn.BatchNorm2d(width), neuron(width))
            channels = width
        parts[f"pool{stage}"] = nn.AvgPool2d(2)
    model = Sequential(
        parts
        | {"flatten": nn.Flatten(), "dropout": Dropout(dropout)}
        | {"head": Linear(channels * left**2, outputs), "readout": build_readout(readout, outputs)}
    )
    return _kaiming(model)


def _kaiming(model: Sequential) -> Sequential:
    """The model, its convolutions with new initial weights that keep the variance of gradients."""
    for part in model.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
    return model
