"""spikescan itself."""

import math
from collections.abc import Callable

import spikescan  # before torch: it settles how idle threads wait

# isort: split
import torch
import work
from torch import Tensor, nn
from workers.on_torch import Between, Layer, loader
from workers.protocol import Arrays, serve


def build(variant: str, task: str, learnt: dict[str, nn.Parameter]) -> Layer:
    """A neuron with these weights."""
    neuron = _neuron(task, learnt)
    _give(neuron, learnt)
    live = spikescan.stream(neuron.eval(), batch=1) if neuron.streamable else None

    def start() -> Callable[[Tensor], Tensor]:
        assert live is not None
        live.reset()
        return live.push

    return Layer(lambda x: neuron(x)[0], learnt, start)


def stream(task: str, arrays: Arrays) -> Callable[[list[Tensor]], Tensor]:
    """The network of the cell as one model on a stream, from rest: its answer after the last step."""
    parts: list[nn.Module] = []
    for i in range(work.DEPTH):
        synapses = spikescan.Linear(*reversed(arrays[f"linear{i}.weight"].shape))
        norm = spikescan.LayerNorm(work.WIDTH)
        parts += [synapses, norm, _neuron(task, learnt := _under(arrays, f"neuron{i}"))]
        for module, values in (
            (synapses, _under(arrays, f"linear{i}")),
            (norm, _under(arrays, f"norm{i}")),
            (parts[-1], learnt),
        ):
            _give(module, values)
    head = spikescan.Linear(work.WIDTH, work.CLASSES)
    _give(head, _under(arrays, "head"))
    live = spikescan.stream(spikescan.Sequential(*parts, head, spikescan.RateReadout()).eval(), batch=1)

    def run(pixels: list[Tensor]) -> Tensor:
        live.reset()
        answer = torch.zeros(1, work.CLASSES)
        for pixel in pixels:
            answer = live.push(pixel)
        return answer

    return run


def _under(arrays: Arrays, name: str) -> dict[str, nn.Parameter]:
    """The weights whose names begin with `name`."""
    return {
        key.removeprefix(f"{name}."): nn.Parameter(torch.from_numpy(value))
        for key, value in arrays.items()
        if key.startswith(f"{name}.")
    }


def _give(module: nn.Module, values: dict[str, nn.Parameter]) -> None:
    for name, value in values.items():
        setattr(module, name, value)


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


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Looked up when it is called: `benchmarks.compare` runs this file on revisions that have none, for other work."""
    return spikescan.ops.linear(x, weight, bias)


def norm(x: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
    """Looked up when it is called, as `linear`."""
    return spikescan.ops.layer_norm(x, gain, offset)


if __name__ == "__main__":
    serve(loader(build, stream, Between(linear, norm)))
