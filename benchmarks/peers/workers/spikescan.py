"""spikescan itself."""

import math
from collections.abc import Callable

import spikescan  # before torch: it settles how idle threads wait

# isort: split
import work
from torch import Tensor, nn
from workers.on_torch import Layer, loader
from workers.protocol import serve


def build(variant: str, task: str, learnt: dict[str, nn.Parameter]) -> Layer:
    """A neuron with these weights."""
    neuron = _neuron(task, learnt)
    for name, value in learnt.items():
        setattr(neuron, name, value)

    def start() -> Callable[[Tensor], Tensor]:
        state = None

        def step(x_t: Tensor) -> Tensor:
            nonlocal state
            y_t, state = neuron.step(x_t, state)
            return y_t

        return step

    return Layer(lambda x: neuron(x)[0], learnt, start)


def _neuron(task: str, learnt: dict[str, nn.Parameter]) -> spikescan.Neuron:
    match task:
        case "psn":
            return spikescan.PSN(len(learnt["weight"]))
        case "masked_psn":
            return spikescan.MaskedPSN(len(learnt["weight"]), work.ORDER)
        case "sliding_psn":
            return spikescan.SlidingPSN(work.ORDER)
        case "lif":
            return spikescan.LIF(work.TAU)
        case "delayed_lif":
            return spikescan.DelayedResetLIF(work.TAU)
        case "leaky":
            decay = math.exp(work.STATE_LEAKY_BETA - 1)
            return spikescan.LIF(1 / (1 - decay), reset=None, scale_input=False)
        case "dsn":
            return spikescan.DSN(len(learnt["bias"]), tau=work.DSN_TAU, firing=spikescan.Integer(work.LEVELS))
    raise ValueError(f"no such task: {task}")


if __name__ == "__main__":
    serve(loader(build))
