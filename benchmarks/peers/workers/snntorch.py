"""snnTorch."""

from collections.abc import Callable

import snntorch
import torch
import work
from snntorch import surrogate
from torch import Tensor, nn
from workers.on_torch import Layer, loader
from workers.protocol import serve


def build(variant: str, task: str, learnt: dict[str, nn.Parameter]) -> Layer:
    """Its leaky neuron in a loop over time, as its tutorials use it; or the one without reset, a convolution over time."""
    if task == "leaky":
        parallel = snntorch.StateLeaky(work.STATE_LEAKY_BETA, channels=1, spike_grad=surrogate.atan())
        return Layer(lambda x: parallel(x)[0], {})
    if task != "delayed_lif":
        raise ValueError(f"no such task: {task}")
    leaky = snntorch.Leaky(1 - 1 / work.TAU, spike_grad=surrogate.atan(), reset_mechanism="subtract")

    def start() -> Callable[[Tensor], Tensor]:
        mem = None

        def step(x_t: Tensor) -> Tensor:
            nonlocal mem
            mem = torch.zeros_like(x_t) if mem is None else mem
            spikes, mem = leaky(x_t, mem)
            return spikes

        return step

    def run(x: Tensor) -> Tensor:
        step = start()
        return torch.stack([step(x_t) for x_t in x.unbind(0)])

    return Layer(run, {}, start)


if __name__ == "__main__":
    serve(loader(build))
