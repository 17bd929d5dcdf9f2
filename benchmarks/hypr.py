"""HYPR beside backpropagation through time (BPTT): ``python -m benchmarks.hypr --output docs/performance/hypr.csv``.

A layer of 128 LIF neurons with soft reset, 64 inputs, 8 samples, float32, a linear readout and a squared error at every step;
one gradient of a whole sequence of T steps. The sequence is made as it goes, as one that arrives would be: BPTT has to keep it,
HYPR has one chunk. Each row is a process of its own, which runs a short sequence first; the peak is how much it grew after
that. The time is the processor's, on one thread, so that other work on the machine weighs less.

``--agreement`` writes instead how near the gradient is to that of BPTT, over seeds, in float64: the cosine for the weights of
the lowest layer, and for the parameters of its neuron the distance, in parts of their gradient's length.
"""

import argparse
import csv
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import spikescan
from benchmarks.machine import machine, peak_bytes
from spikescan import GLIF, HYPR, KLIF, LIF, PMSN, PRF, Neuron, ParametricLIF, Recurrent, Sequential

INPUTS, CHANNELS, OUTPUTS, BATCH = 64, 128, 4, 8
LENGTHS = (1024, 16384)
CHUNKS = (32, 128, 1024)
SEEDS = 20
STEPS = 240
NEURONS: dict[str, Callable[[], Neuron]] = {
    "lif": lambda: LIF(5.0),
    "parametric_lif": lambda: ParametricLIF(5.0),
    "klif": lambda: KLIF(5.0),
    "glif": lambda: GLIF(32, STEPS),
    "prf": lambda: PRF(32, learn_tau=True),
    "pmsn": lambda: PMSN(32),
}


def chunks(steps: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Input and target, a piece at a time."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps // size):
        yield (
            torch.randn(size, BATCH, INPUTS, generator=generator),
            torch.randn(size, BATCH, OUTPUTS, generator=generator),
        )


def gradient(layer: spikescan.Temporal, head: nn.Module, steps: int, size: int) -> None:
    """Forward and backward over a sequence, piece by piece, into ``.grad``."""
    state = None
    for x, target in chunks(steps, size):
        spikes, state = layer(x, state)
        F.mse_loss(head(spikes), target, reduction="sum").backward()


def measure(lateral: bool, method: str, steps: int, size: int) -> dict[str, Any]:
    """One row."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    layer = Recurrent(INPUTS, CHANNELS, LIF(5.0), lateral=lateral)
    model = layer if method == "bptt" else HYPR(layer)
    head = nn.Linear(CHANNELS, OUTPUTS)
    gradient(model, head, min(size, 16), min(size, 16))
    seconds = 0.0

    def run() -> None:
        nonlocal seconds
        started = time.process_time()
        gradient(model, head, steps, size)
        seconds = time.process_time() - started

    peak = peak_bytes(run)
    return {
        "lateral": lateral,
        "method": method,
        "time_steps": steps,
        "chunk": size,
        "processor_seconds": round(seconds, 3),
        "peak_mib": None if peak is None else round(peak / 2**20, 1),
        "machine": machine(),
    }


def gradient_of(
    model: spikescan.Temporal, head: nn.Module, parameters: list[Tensor], data: tuple[Tensor, Tensor], size: int
) -> list[Tensor]:
    """Of `parameters`, summed over pieces of `size` steps."""
    total, state = [torch.zeros_like(parameter) for parameter in parameters], None
    for x, target in zip(*(tensor.split(size) for tensor in data), strict=True):
        spikes, state = model(x, state)
        loss = F.mse_loss(head(spikes), target, reduction="sum")
        total = [sum_ + part for sum_, part in zip(total, torch.autograd.grad(loss, parameters), strict=True)]
    return total


def flat(gradients: list[Tensor]) -> Tensor:
    """As one vector."""
    return torch.cat([gradient.flatten() for gradient in gradients])


def agreement(neuron: str, layers: int, lateral: bool, size: int) -> dict[str, Any]:
    """How near the gradients of HYPR and BPTT are for the lowest layer, over seeds."""
    cosines, distances = [], []
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        stack = [
            Recurrent(16 if i == 0 else 32, 32, NEURONS[neuron](), lateral=lateral).double() for i in range(layers)
        ]
        with torch.no_grad():
            for layer in stack:
                layer.linear.weight.mul_(3.0)
        head = nn.Linear(32, OUTPUTS).double()
        x = torch.randn(STEPS, 4, 16, dtype=torch.float64)
        # Something to learn that lasts: a slow sum of the input.
        target, _ = spikescan.linear_recurrence(torch.tensor(0.95, dtype=torch.float64), x[..., :OUTPUTS])
        own = list(stack[0].neuron.parameters())
        parameters = own + [each for each in stack[0].parameters() if all(each is not one for one in own)]
        exact = gradient_of(Sequential(*stack), head, parameters, (x, target), STEPS)
        found = gradient_of(Sequential(*map(HYPR, stack)), head, parameters, (x, target), size)
        count = len(own)
        cosines.append(float(F.cosine_similarity(flat(found[count:]), flat(exact[count:]), dim=0)))
        if own:
            wanted = flat(exact[:count])
            distances.append(float((flat(found[:count]) - wanted).norm() / wanted.norm()))
    return {
        "neuron": neuron,
        "layers": layers,
        "lateral": lateral,
        "chunk": size,
        "cosine_mean": round(statistics.mean(cosines), 4),
        "cosine_least": round(min(cosines), 4),
        "own_distance_mean": f"{statistics.mean(distances):.2g}" if distances else None,
        "own_distance_largest": f"{max(distances):.2g}" if distances else None,
        "seeds": SEEDS,
    }


def rows_of_costs() -> Iterator[dict[str, Any]]:
    for lateral in (True, False):
        for steps in LENGTHS:
            for method, size in [("bptt", steps), *(("hypr", size) for size in CHUNKS)]:
                code = (
                    "import json; from benchmarks.hypr import measure; "
                    f"print(json.dumps(measure({lateral}, {method!r}, {steps}, {size})))"
                )
                run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
                yield json.loads(run.stdout)


def rows_of_agreement() -> Iterator[dict[str, Any]]:
    for layers in (1, 2):
        for lateral in (False, True):
            for size in (1, 4, 16, 60, STEPS):
                yield agreement("lif", layers, lateral, size)
    for neuron in [name for name in NEURONS if name != "lif"]:
        for lateral in (False, True):
            yield agreement(neuron, 1, lateral, 16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--agreement", action="store_true")
    arguments = parser.parse_args()
    rows = []
    for row in rows_of_agreement() if arguments.agreement else rows_of_costs():
        print(*row.values(), flush=True)
        rows.append(row)
    with arguments.output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
