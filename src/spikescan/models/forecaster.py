"""The network for series of several variables."""

from collections.abc import Callable
from typing import Literal

from torch import nn

from spikescan.errors import InputError
from spikescan.layers import EachPlace, FromLast, Residual, Sequential, Standardised, Window
from spikescan.models.mlp import mlp
from spikescan.models.parts import MakeNeuron, check_sizes
from spikescan.models.registry import register_model
from spikescan.neurons.base import Temporal

__all__ = ["forecaster"]


@register_model
def forecaster(
    inputs: int,
    outputs: int,
    *,
    neuron: MakeNeuron,
    variables: int,
    width: int = 64,
    depth: int = 2,
    norm: str | Callable[[int], nn.Module] = "layer",
    residual: bool | Literal["membrane"] = False,
    window: int = 1,
    dropout: float = 0.0,
    linear: int = 0,
) -> Sequential:
    """Forecasts each variable from its own past, with the same weights, relative to its running mean and deviation.

    ``[T, B, inputs, variables]`` to ``[T, B, outputs]``: at each step the forecasts of all variables for the first step ahead,
    then for the second, and so on, as `spikescan.data.ett` with a `frame` has them. The network of a variable is an `mlp`
    (there the arguments). That variables are kept apart (PatchTST, arXiv 2211.14730; DLinear, arXiv 2205.13504) and made
    relative (RevIN, ICLR 2022) is what forecasts of these data owe most to; see `EachPlace` and `Standardised`.

    Args:
        inputs: values of a variable in one time step, the frame.
        outputs: steps ahead times variables.
        neuron: builds the neurons of one block from their number.
        variables: how many there are.
        width: neurons in a block, of each variable.
        depth: number of blocks.
        norm: a name of `NORMS`, or a function from a number of channels to a module.
        residual: as in `mlp`.
        window: time steps that the first linear layer sees at once.
        dropout: the share of spikes that training leaves out before each linear layer.
        linear: time steps of which a linear map makes a forecast relative to the last value (`FromLast`), to which the
            spikes add theirs; 0 for none. With the whole window it is the forecast of NLinear and of ridge regression. It is
            worth something once it has seen that many steps: zeros stand in for those that it has not.

    Raises:
        InputError: `outputs` is no multiple of `variables`, an unknown name, or an argument out of range.
    """
    check_sizes("forecaster", variables=variables)
    if outputs % variables:
        raise InputError(f"forecaster: outputs = {outputs} is no multiple of variables = {variables}.")
    network: Temporal = mlp(
        inputs,
        outputs // variables,
        neuron=neuron,
        width=width,
        depth=depth,
        norm=norm,
        readout="last",
        residual=residual,
        window=window,
        dropout=dropout,
    )
    if not linear:
        return Sequential({"standardised": Standardised(EachPlace(network)), "flatten": nn.Flatten()})
    beside = {"window": Window(inputs, linear), "linear": FromLast(inputs * linear, outputs // variables)}
    both = Residual(Standardised(EachPlace(network), from_mean=False), EachPlace(Sequential(beside)))
    return Sequential({"forecast": both, "flatten": nn.Flatten()})
