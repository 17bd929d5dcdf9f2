"""Fully connected spiking networks."""

from collections.abc import Callable

from torch import nn

from spikescan.errors import InputError
from spikescan.layers import LastReadout, LeakyReadout, MaxReadout, RateReadout, Residual, Sequential
from spikescan.models.registry import register_model
from spikescan.names import choose_named
from spikescan.neurons.base import Temporal

__all__ = ["NORMS", "READOUTS", "mlp"]

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
    "none": nn.Identity,
    "rms": nn.RMSNorm,
}
"""What a recipe may name as `norm`: from a number of channels to a module."""

READOUTS: dict[str, Callable[[int], Temporal]] = {
    "last": lambda channels: LastReadout(),
    "leaky": LeakyReadout,
    "max": lambda channels: MaxReadout(),
    "rate": lambda channels: RateReadout(),
}
"""What a recipe may name as `readout`: from a number of channels to a temporal module."""


@register_model
def mlp(
    inputs: int,
    outputs: int,
    *,
    neuron: Callable[[int], Temporal],
    width: int = 128,
    depth: int = 3,
    norm: str | Callable[[int], nn.Module] = "layer",
    readout: str | Callable[[int], Temporal] = "rate",
    residual: bool = False,
) -> Sequential:
    """Blocks of linear layer, norm and neuron, then a linear readout; time lives in the neurons alone.

    ``[T, B, inputs]`` to ``[T, B, outputs]``, running values of which `final_step` takes the last.

    Args:
        inputs: channels of the input.
        outputs: channels of the output, such as the number of classes.
        neuron: builds the neurons of one block from their number, such as ``spikescan.DSN``.
        width: neurons in a block.
        depth: number of blocks, at least 1.
        norm: a name of `NORMS`, or a function from a number of channels to a module.
        readout: a name of `READOUTS`, or a function from a number of channels to a temporal module.
        residual: add its input to each block but the first, as `Residual` does.

    Raises:
        InputError: an unknown name, or a depth below 1.
    """
    if depth < 1:
        raise InputError(f"mlp: depth = {depth}, expected at least 1 block.")
    build_norm = choose_named("norm", NORMS, norm) if isinstance(norm, str) else norm
    build_readout = choose_named("readout", READOUTS, readout) if isinstance(readout, str) else readout

    def block(channels: int) -> Sequential:
        return Sequential({"linear": nn.Linear(channels, width), "norm": build_norm(width), "neuron": neuron(width)})

    later = [Residual(block(width)) if residual else block(width) for _ in range(depth - 1)]
    blocks = [block(inputs), *later]
    return Sequential(
        {f"block{index}": part for index, part in enumerate(blocks)}
        | {"head": nn.Linear(width, outputs), "readout": build_readout(outputs)}
    )
