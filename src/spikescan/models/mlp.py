"""Fully connected spiking networks."""

from collections.abc import Callable
from typing import Literal

from torch import nn

from spikescan.errors import InputError
from spikescan.layers import Dropout, Linear, Residual, Sequential, Window
from spikescan.models.parts import MakeNeuron, build_norm, build_readout, check_sizes, spiking
from spikescan.models.registry import register_model
from spikescan.neurons.base import Temporal

__all__ = ["mlp", "residual_mlp"]


@register_model
def mlp(
    inputs: int,
    outputs: int,
    *,
    neuron: MakeNeuron,
    width: int = 128,
    depth: int = 3,
    norm: str | Callable[[int], nn.Module] = "layer",
    readout: str | Callable[[int], Temporal] = "rate",
    residual: bool | Literal["membrane"] = False,
    window: int = 1,
    dropout: float = 0.0,
) -> Sequential:
    """Blocks of linear layer, norm and neuron, then a linear readout; time lives in the neurons alone.

    ``[T, B, inputs]`` to ``[T, B, outputs]``, running values of which `final_step` takes the last.

    With ``residual="membrane"`` the stream between blocks is real-valued, as it is by the membrane shortcut of
    MS-ResNet (arXiv 2112.08954): a linear layer, then ``x + linear(neuron(norm(x)))`` `depth` times, then norm, neuron
    and the linear readout. Every linear layer but the first sees spikes, and the gradient of the stream passes no neuron.

    Args:
        inputs: channels of the input.
        outputs: channels of the output, such as the number of classes.
        neuron: builds the neurons of one block from their number, such as ``spikescan.DSN``.
        width: neurons in a block.
        depth: number of blocks, at least 1.
        norm: a name of `NORMS`, or a function from a number of channels to a module.
        readout: a name of `READOUTS`, or a function from a number of channels to a temporal module.
        residual: True adds its input, spikes to spikes, to each block but the first, as `Residual` does; "membrane" is
            described above.
        window: inputs that the first linear layer sees at each step, the last ones side by side (`Window`).
        dropout: the share of spikes that training leaves out before each linear layer.

    Raises:
        InputError: an unknown name, or an argument out of range.
    """
    check_sizes("mlp", width=width, depth=depth, window=window)
    if residual not in (True, False, "membrane"):
        raise InputError(f"mlp: residual = {residual!r}, expected True, False or 'membrane'.")
    parts: dict[str, nn.Module] = {"window": Window(inputs, window)} if window > 1 else {}
    inputs = inputs * window

    def drop() -> dict[str, nn.Module]:
        return {"dropout": Dropout(dropout)} if dropout else {}

    if residual == "membrane":
        parts["encoder"] = Linear(inputs, width)
        for index in range(depth):
            before = {"norm": build_norm(norm, width), "neuron": neuron(width)}
            parts[f"block{index}"] = Residual(Sequential(before | drop() | {"linear": Linear(width, width)}))
        parts |= {"norm": build_norm(norm, width), "neuron": neuron(width)}
    else:
        parts["block0"] = spiking("linear", Linear(inputs, width), build_norm(norm, width), neuron(width))
        for index in range(1, depth):
            layer = {"linear": Linear(width, width), "norm": build_norm(norm, width), "neuron": neuron(width)}
            block = Sequential(drop() | layer)
            parts[f"block{index}"] = Residual(block) if residual else block
    return Sequential(parts | drop() | {"head": Linear(width, outputs), "readout": build_readout(readout, outputs)})


@register_model
def residual_mlp(
    inputs: int,
    outputs: int,
    *,
    neuron: MakeNeuron,
    width: int = 128,
    hidden: int | None = None,
    depth: int = 4,
    norm: str | Callable[[int], nn.Module] = "layer",
    readout: str | Callable[[int], Temporal] = "last",
    window: int = 1,
    dropout: float = 0.0,
) -> Sequential:
    """Blocks ``x + linear(neuron(norm(linear(x))))`` on a real-valued stream x, then a norm and the linear readout.

    ``[T, B, inputs]`` to ``[T, B, outputs]``, with a linear layer before the first block. It is the perceptron of a
    transformer with neurons in it, and the blocks of `spiking_ssm` with a linear layer for the state space model. Beside
    ``mlp(residual="membrane")``, where each neuron listens to one channel of the stream, its neurons choose what they
    listen to: on text it learnt more from as many samples, on speakers it did not know less than a plain `mlp`
    (docs/results/long.md). What that costs: the first linear layer of a block, and the readout, see real numbers and not
    spikes, so they multiply.

    Args:
        inputs: channels of the input, such as the size of an alphabet for one-hot tokens.
        outputs: channels of the output.
        neuron: builds the neurons of one block from their number, such as ``spikescan.DSN``.
        width: channels of the stream.
        hidden: neurons in a block; None takes `width`.
        depth: number of blocks.
        norm: a name of `NORMS`, or a function from a number of channels to a module.
        readout: a name of `READOUTS`, or a function from a number of channels to a temporal module.
        window: inputs that the first linear layer sees at each step, the last ones side by side (`Window`).
        dropout: the share of spikes, and of the stream before the readout, that training leaves out.

    Raises:
        InputError: an unknown name, or an argument out of range.
    """
    neurons = width if hidden is None else hidden
    check_sizes("residual_mlp", width=width, hidden=neurons, depth=depth, window=window)

    def drop() -> dict[str, nn.Module]:
        return {"dropout": Dropout(dropout)} if dropout else {}

    def block() -> Residual:
        # Without a bias: a layer or batch norm has one.
        inward = {
            "in": Linear(width, neurons, bias=False),
            "norm": build_norm(norm, neurons),
            "neuron": neuron(neurons),
        }
        return Residual(Sequential(inward | drop() | {"out": Linear(neurons, width)}))

    return Sequential(
        ({"window": Window(inputs, window)} if window > 1 else {})
        | {"encoder": Linear(inputs * window, width)}
        | {f"block{index}": block() for index in range(depth)}
        | {"norm": build_norm(norm, width)}
        | drop()
        | {"head": Linear(width, outputs), "readout": build_readout(readout, outputs)}
    )
