"""Spiking transformers: attention by masks and additions, over space at each step, or over time."""

from collections.abc import Callable, Sequence

from torch import nn

from spikescan.errors import InputError
from spikescan.layers import DecayingSum, Dropout, Linear, Residual, Sequential, SpikeAttention, TokenSum
from spikescan.models.parts import MakeNeuron, build_norm, build_readout, check_sizes
from spikescan.models.registry import register_model
from spikescan.neurons.base import Temporal

__all__ = ["causal_transformer", "spike_driven_transformer"]


@register_model
def spike_driven_transformer(
    inputs: int,
    outputs: int,
    *,
    neuron: MakeNeuron,
    width: int = 256,
    depth: int = 2,
    ratio: int = 4,
    pools: int = 2,
    readout: str | Callable[[int], Temporal] = "rate",
) -> Sequential:
    """The Spike-driven Transformer, version 1: images at each step, tokens are places, time lives in the neurons.

    ``[T, B, inputs, H, W]`` to ``[T, B, outputs]``. Between blocks runs a real-valued stream x:

    * patches: four convolutions (3 x 3) to width / 8, / 4, / 2 and width with batch norm and neurons, the last `pools` of them
      followed by a max pool (3, stride 2); then x + norm(conv(neuron(x))), for the position;
    * attention: x + norm(conv(q * neuron(2 sum over places of k * v))) with q, k, v = neuron(norm(conv(neuron(x)))), all
      convolutions 1 x 1: linear in the number of places, masks and additions only (`SpikeAttention`);
    * perceptron: x + norm(conv(neuron(norm(conv(neuron(x)))))), `ratio` x width channels between;
    * the mean over places, neurons, and the linear readout.

    Source: Yao et al. 2023, arXiv 2307.01694, and its code; convolutions start normal with deviation 0.02, biases 0. Its
    neurons are LIF with tau = 2 and a detached reset; the one after k * v has the threshold 1/2, here a gain of 2 before
    any neuron. Its max pools of k, v and their product for event data, and its heads, which change nothing where all is
    elementwise, are left out. ``width=512, depth=8, pools=4`` is its 8-512 for ImageNet, with 29.7 M parameters; the defaults
    are 2-256 for CIFAR.

    Args:
        inputs: channels of the image.
        outputs: number of classes.
        neuron: builds the neurons of one layer from their channels.
        width: channels of the stream, a multiple of 8.
        depth: blocks of attention and perceptron.
        ratio: of the perceptron's channels to `width`.
        pools: how many of the four convolutions halve the image: 4 for large images and events, 2 for CIFAR.
        readout: a name of `READOUTS`, or a function from a number of channels to a temporal module.

    Raises:
        InputError: an argument out of range.
    """
    check_sizes("spike_driven_transformer", width=width, depth=depth, ratio=ratio)
    if width % 8 or not 0 <= pools <= 4:
        raise InputError(
            f"spike_driven_transformer: width = {width} and pools = {pools}, expected a multiple of 8 and 0 to 4."
        )

    def conv(before: int, after: int, kernel: int = 1, *, bias: bool = False) -> dict[str, nn.Module]:
        """A convolution and its norm."""
        weights = nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=bias)
        nn.init.trunc_normal_(weights.weight, std=0.02)
        if weights.bias is not None:
            nn.init.zeros_(weights.bias)
        return {"conv": weights, "norm": nn.BatchNorm2d(after)}

    def pool(index: int) -> dict[str, nn.Module]:
        return {"pool": nn.MaxPool2d(3, stride=2, padding=1)} if index >= 4 - pools else {}

    def attention() -> Residual:
        query, key, value = (Sequential(conv(width, width) | {"neuron": neuron(width)}) for _ in range(3))
        mix = Sequential({"sum": TokenSum(), "neuron": neuron(width)})
        attend = SpikeAttention(query, key, value, mix)
        return Residual(Sequential({"neuron": neuron(width), "attention": attend} | conv(width, width, bias=True)))

    def perceptron() -> Residual:
        inner = Sequential({"neuron": neuron(width)} | conv(width, ratio * width, bias=True))
        outer = Sequential({"neuron": neuron(ratio * width)} | conv(ratio * width, width, bias=True))
        return Residual(Sequential(inner, outer))

    widths = [inputs, width // 8, width // 4, width // 2, width]
    patches: list[nn.Module] = [
        Sequential(conv(widths[i], widths[i + 1], 3) | {"neuron": neuron(widths[i + 1])} | pool(i)) for i in range(3)
    ]
    patches.append(Sequential(conv(width // 2, width, 3) | pool(3)))
    position = Residual(Sequential({"neuron": neuron(width)} | conv(width, width, 3)))
    return Sequential(
        {f"patch{index}": patch for index, patch in enumerate(patches)}
        | {"position": position}
        | _blocks(depth, attention, perceptron)
        | {"average": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "neuron": neuron(width)}
        | {"head": Linear(width, outputs), "readout": build_readout(readout, outputs)}
    )


@register_model
def causal_transformer(
    inputs: int,
    outputs: int,
    *,
    neuron: MakeNeuron,
    width: int = 128,
    depth: int = 3,
    heads: int = 4,
    ratio: int = 4,
    time_constants: Sequence[float] = (2.0, 64.0),
    learn_decay: bool = True,
    norm: str | Callable[[int], nn.Module] = "batch",
    dropout: float = 0.0,
    readout: str | Callable[[int], Temporal] = "rate",
) -> Sequential:
    """A spike-driven transformer over sequences: its attention adds up k * v over the past, so it streams.

    ``[T, B, inputs]`` to ``[T, B, outputs]``. A linear layer and norm, then `depth` times, on a real-valued stream x:

    * attention: x + norm(linear(q * neuron(h))) with h_t = a h_{t-1} + k_t * v_t, one decay a head, and
      q, k, v = neuron(norm(linear(neuron(x)))): a step costs the same, however long the past (`SpikeAttention`,
      `DecayingSum`);
    * perceptron: x + norm(linear(neuron(norm(linear(neuron(x)))))), `ratio` x width channels between;

    then neurons and the linear readout. The order of steps is in the decays, so there is no code of positions.

    The blocks are those of `spike_driven_transformer` (arXiv 2307.01694); the sum over time in place of tokens, with a decay a
    head, is that of linear attention (Katharopoulos et al. 2020, arXiv 2006.16236) as RetNet forgets it (Sun et al. 2023, arXiv
    2307.08621), elementwise. No paper has this network: it is ours. Linear layers start as torch's.

    Args:
        inputs: channels of the input, such as the size of an alphabet for one-hot tokens.
        outputs: channels of the output.
        neuron: builds the neurons of one layer from their number.
        width: channels of the stream.
        depth: blocks of attention and perceptron.
        heads: of which `width` is a multiple; each has a decay.
        ratio: of the perceptron's channels to `width`.
        time_constants: of the first and the last head at the start, in steps; log-uniform between.
        learn_decay: whether the decays are learnt.
        norm: a name of `NORMS`, or a function from a number of channels to a module.
        dropout: the share of each branch's outputs that training leaves out.
        readout: a name of `READOUTS`, or a function from a number of channels to a temporal module.

    Raises:
        InputError: an unknown name, or an argument out of range.
    """
    check_sizes("causal_transformer", width=width, depth=depth, heads=heads, ratio=ratio)
    shortest, longest = time_constants

    def linear(before: int, after: int) -> dict[str, nn.Module]:
        return {"linear": Linear(before, after), "norm": build_norm(norm, after)}

    def end() -> dict[str, nn.Module]:
        return {"dropout": Dropout(dropout)} if dropout else {}

    def attention() -> Residual:
        query, key, value = (Sequential(linear(width, width) | {"neuron": neuron(width)}) for _ in range(3))
        total = DecayingSum(width, heads, time_constants=(shortest, longest), learn=learn_decay)
        attend = SpikeAttention(query, key, value, Sequential({"sum": total, "neuron": neuron(width)}))
        return Residual(Sequential({"neuron": neuron(width), "attention": attend} | linear(width, width) | end()))

    def perceptron() -> Residual:
        inner = Sequential({"neuron": neuron(width)} | linear(width, ratio * width))
        outer = Sequential({"neuron": neuron(ratio * width)} | linear(ratio * width, width) | end())
        return Residual(Sequential(inner, outer))

    return Sequential(
        {"encoder": Sequential(linear(inputs, width))}
        | _blocks(depth, attention, perceptron)
        | {"neuron": neuron(width), "head": Linear(width, outputs), "readout": build_readout(readout, outputs)}
    )


def _blocks(depth: int, *builds: Callable[[], nn.Module]) -> dict[str, nn.Module]:
    """Modules of all `builds` in turn, `depth` times."""
    return {f"block{index}": Sequential({build.__name__: build() for build in builds}) for index in range(depth)}
