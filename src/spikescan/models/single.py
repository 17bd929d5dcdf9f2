"""One neuron behind a learnt gain and offset, several times over."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from spikescan.errors import InputError
from spikescan.models.registry import register_model
from spikescan.neurons.base import State, Temporal
from spikescan.neurons.padding import zero_padding

__all__ = ["Single", "single"]


class Single(Temporal):
    """K neurons apart from each other, all on the same input: y_k = neuron_k(sum over c of gain_kc x_c + offset_k).

    ``[T, B, C]`` to ``[T, B, K]``; the state is the tuple of the neurons' states. Each neuron is a module of its own, so that
    nothing is shared between them whatever a neuron shares between its channels. Gains start log-uniformly spread over
    1/2 to 2, offsets at 0.

    Args:
        inputs: C.
        neurons: K neurons of one channel each.
    """

    def __init__(self, inputs: int, neurons: list[Temporal]) -> None:
        super().__init__()
        self.neurons = nn.ModuleList(neurons)
        spread = torch.exp(math.log(2.0) * torch.linspace(-1.0, 1.0, len(neurons) + 2)[1:-1])
        self.gain = nn.Parameter(spread.unsqueeze(1).repeat(1, inputs))
        self.offset = nn.Parameter(torch.zeros(len(neurons)))
        self.causal = all(neuron.causal for neuron in neurons)
        self.streamable = all(neuron.streamable for neuron in neurons)
        self.stochastic = any(neuron.stochastic for neuron in neurons)
        self.length_bound = any(neuron.length_bound for neuron in neurons)

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """See `Temporal.forward`."""
        self._check(x, state)
        x = zero_padding(x, lengths)
        states = [None] * len(self.neurons) if state is None else state
        outputs = [
            neuron(self.charge(x, k), kept, lengths)
            for k, (neuron, kept) in enumerate(zip(self.neurons, states, strict=True))
        ]
        return torch.cat([y for y, _ in outputs], dim=2), tuple(after for _, after in outputs)

    def charge(self, x: Tensor, k: int) -> Tensor:
        """What the neuron k gets, ``[T, B, 1]``."""
        return (self.gain[k] * x).sum(2, keepdim=True) + self.offset[k]

    def initial_state(self, x_t: Tensor) -> State:
        """That of each neuron."""
        return tuple(neuron.initial_state(x_t[:, :1]) for neuron in self._temporal())

    def _temporal(self) -> list[Temporal]:
        return [neuron for neuron in self.neurons if isinstance(neuron, Temporal)]

    def _check(self, x: Tensor, state: State | None) -> None:
        inputs = self.gain.shape[1]
        if x.dim() != 3 or x.shape[2] != inputs:
            raise InputError(f"Single was given {list(x.shape)}, expected [T, B, C] with C = {inputs}.")
        if state is not None and (type(state) is not tuple or len(state) != len(self.neurons)):
            raise InputError(
                f"Single was given a state of type {type(state).__name__}, expected a tuple of {len(self.neurons)} states; "
                f"pass what an earlier call returned, or None to start at rest."
            )


@register_model
def single(inputs: int, outputs: int, *, neuron: Callable[[int], Temporal]) -> Single:
    """Neurons on their own, each behind a learnt gain and offset; no weights between them.

    ``[T, B, inputs]`` to ``[T, B, outputs]``. The outputs are restarts of one fit, apart in where they start.

    Args:
        inputs: channels of the input.
        outputs: how many neurons.
        neuron: builds the neurons of a layer from their number; it is called with 1 for each output.
    """
    return Single(inputs, [neuron(1) for _ in range(outputs)])
