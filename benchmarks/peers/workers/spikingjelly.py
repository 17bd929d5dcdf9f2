"""SpikingJelly."""

import work
from spikingjelly.activation_based import neuron as nodes
from spikingjelly.activation_based import surrogate
from torch import Tensor, nn
from workers.on_torch import Layer, loader
from workers.protocol import serve


def build(variant: str, task: str, learnt: dict[str, nn.Parameter]) -> Layer:
    """A node with these weights."""
    node = _node(task, learnt)
    for name, value in learnt.items():
        # Its thresholds over time are a column.
        held = nn.Parameter(value.detach().view(-1, 1)) if name == "bias" and value.dim() else value
        setattr(node, name, held)
    if task == "psn":
        return Layer(node, dict(node.named_parameters()))

    def run(x: Tensor) -> Tensor:
        node.reset()
        node.step_mode = "m"
        return node(x)

    def start() -> nn.Module:
        node.reset()
        node.step_mode = "s"
        return node

    return Layer(run, {name: getattr(node, name) for name in learnt}, start)


def _node(task: str, learnt: dict[str, nn.Parameter]) -> nn.Module:
    match task:
        case "psn":
            return nodes.PSN(len(learnt["weight"]))
        case "masked_psn":
            return nodes.MaskedPSN(work.ORDER, len(learnt["weight"]), lambda_init=1.0)
        case "sliding_psn":
            return nodes.SlidingPSN(work.ORDER)
        case "lif":
            return nodes.LIFNode(
                tau=work.TAU,
                decay_input=True,
                v_reset=None,
                surrogate_function=surrogate.ATan(),
                detach_reset=True,
            )
    raise ValueError(f"no such task: {task}")


if __name__ == "__main__":
    serve(loader(build))
