"""Spiking networks built as state space models are: a mixer of time, then a mixer of channels."""

from collections.abc import Callable
from typing import Literal

from torch import nn

from spikescan.errors import InputError
from spikescan.firing import Binary
from spikescan.layers import GLU, S4D, Dropout, Linear, Residual, Scale, Sequential
from spikescan.models.parts import MakeNeuron, build_norm, build_readout, check_sizes
from spikescan.models.registry import register_model
from spikescan.neurons.base import Temporal
from spikescan.neurons.lif import LIF

__all__ = ["sd_tcm", "spiking_ssm"]


@register_model
def sd_tcm(
    inputs: int,
    outputs: int,
    *,
    neuron: MakeNeuron,
    width: int = 256,
    depth: int = 6,
    dropout: float = 0.0,
    norm: str | Callable[[int], nn.Module] = "batch",
    place: Literal["pre", "post"] = "pre",
    readout: str | Callable[[int], Temporal] = "rate",
) -> Sequential:
    r"""Blocks of spike-driven token and channel mixers: neurons mix time, linear layers mix channels, both see spikes.

    ``[T, B, inputs]`` to ``[T, B, outputs]``. A linear layer, `depth` blocks on the real-valued stream U, a linear readout:

    .. math::
        R &= U + \text{Linear}(\text{Dropout}(\text{neuron}(U))) \\
        U' &= R + \text{Linear}(\text{Dropout}(\alpha H(R - 1/2)))

    H is 1 from 0 on, without memory; alpha is learnt, one a block, 1 at the start, and the linear layer's weights can hold it.
    The norm stands before the neuron ("pre", and once more before the readout) or after the block ("post"): the paper leaves it
    to the S4 code's backbone. Source: PRF (arXiv 2410.03530), whose neuron is its parallel resonate-and-fire neuron; the
    threshold 1/2 is its code's. The defaults are its network for the Text task: 830 k parameters; 8 x 128 with "post" for
    ListOps: 272 k.

    Args:
        inputs: channels of the input, such as the size of an alphabet for one-hot tokens.
        outputs: channels of the output.
        neuron: builds the neurons that mix time from their number, the paper's TN.
        width: channels of the stream.
        depth: number of blocks.
        dropout: the share of spikes that training leaves out before each linear layer.
        norm: a name of `NORMS`, or a function from a number of channels to a module.
        place: of the norm.
        readout: a name of `READOUTS`, or a function from a number of channels to a temporal module.

    Raises:
        InputError: an unknown name, or an argument out of range.
    """
    check_sizes("sd_tcm", width=width, depth=depth)
    if place not in ("pre", "post"):
        raise InputError(f"sd_tcm: place = {place!r}, expected 'pre' or 'post'.")

    def norm_at(here: str) -> dict[str, nn.Module]:
        return {"norm": build_norm(norm, width)} if place == here else {}

    def linear() -> dict[str, nn.Module]:
        return {"dropout": Dropout(dropout), "linear": Linear(width, width)}

    def block() -> Sequential:
        # With tau = 1 and no reset the membrane is the input: a threshold without memory.
        threshold = LIF(1.0, reset=None, firing=Binary(0.5))
        token = Residual(Sequential(norm_at("pre") | {"neuron": neuron(width)} | linear()))
        channel = Residual(Sequential({"threshold": threshold, "amplitude": Scale()} | linear()))
        return Sequential({"token": token, "channel": channel} | norm_at("post"))

    return Sequential(
        {"encoder": Linear(inputs, width)}
        | {f"block{index}": block() for index in range(depth)}
        | norm_at("pre")
        | {"head": Linear(width, outputs), "readout": build_readout(readout, outputs)}
    )


@register_model
def spiking_ssm(
    inputs: int,
    outputs: int,
    *,
    neuron: MakeNeuron,
    width: int = 256,
    depth: int = 4,
    states: int = 64,
    dropout: float = 0.1,
    norm: str | Callable[[int], nn.Module] = "layer",
    readout: str | Callable[[int], Temporal] = "rate",
) -> Sequential:
    """SpikingSSM: a state space model mixes time, its output is made spikes, and they are mixed over channels.

    ``[T, B, inputs]`` to ``[T, B, outputs]``. A linear layer, then `depth` times on a real-valued stream x:
    ``x + Dropout(GLU(Linear(Dropout(neuron(S4D(norm(x)) / v)))))``, with a learnt threshold v for each channel, 1 at the start,
    and a linear layer to 2 width that the GLU halves; then a norm and the linear readout.

    Source: arXiv 2408.14909 and its code, whose neuron is ``LIF(8 / 7, reset="hard", scale_input=False)`` (u = u / 8 + x, reset
    to 0) and is replaced there by a small network that predicts it without a loop. Here the neuron is itself, with its
    gradient over time. Its norm comes first ("prenorm"), as in its language model; the defaults are the size for permuted
    MNIST. For `S4D` and its initial values see there.

    Args:
        inputs: channels of the input, such as the size of an alphabet for one-hot tokens.
        outputs: channels of the output.
        neuron: builds the neurons of one block from their number.
        width: channels of the stream.
        depth: number of blocks.
        states: N of each channel's state space, even.
        dropout: the share of spikes, and of each block's output, that training leaves out.
        norm: a name of `NORMS`, or a function from a number of channels to a module.
        readout: a name of `READOUTS`, or a function from a number of channels to a temporal module.

    Raises:
        InputError: an unknown name, or an argument out of range.
    """
    check_sizes("spiking_ssm", width=width, depth=depth)

    def block() -> Residual:
        return Residual(
            Sequential(
                {"norm": build_norm(norm, width), "mixer": S4D(width, states), "threshold": Scale(width)}
                | {"neuron": neuron(width), "dropout": Dropout(dropout), "linear": Linear(width, 2 * width)}
                | {"gate": GLU(), "dropout_out": Dropout(dropout)}
            )
        )

    return Sequential(
        {"encoder": Linear(inputs, width)}
        | {f"block{index}": block() for index in range(depth)}
        | {"norm": build_norm(norm, width)}
        | {"head": Linear(width, outputs), "readout": build_readout(readout, outputs)}
    )
