"""`spikescan.Linear` beside torch's on spikes: ``python -m benchmarks.linear --output docs/performance/linear.csv``.

A layer without bias in float32 on 8,192 rows, of whose inputs a share is not zero: its output ("forward"), and the gradient of
its weight ("of the weight"). The gradient of the input has no zeros and is torch's in both. All take turns in one process;
ratios are of medians within one run.
"""

import argparse
import functools
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import spikescan
from benchmarks.machine import interleaved, machine, median_ratio, write_rows

ROWS = 8192
SHAPES = [(128, 10), (128, 128), (256, 256), (512, 512)]
SHARES = (0.02, 0.05, 0.1, 0.2, 0.3, 1.0)
COLUMNS = [
    "inputs",
    "outputs",
    "share",
    "pass",
    "contender",
    "median_ms",
    "least_ms",
    "times_linear",
    "runs",
    "machine",
]


def contenders(inputs: int, outputs: int, share: float) -> dict[str, dict[str, Callable[[], object]]]:
    """What is timed, by pass."""
    torch.manual_seed(0)
    x = (torch.rand(ROWS, inputs) < share).float() * torch.randint(1, 5, (ROWS, inputs))
    grad = torch.randn(ROWS, outputs)
    layers = {"linear": spikescan.Linear(inputs, outputs, bias=False), "torch": nn.Linear(inputs, outputs, bias=False)}

    def forward(layer: nn.Module) -> None:
        with torch.no_grad():
            layer(x)

    def of_weight(layer: nn.Linear, y: torch.Tensor) -> None:
        torch.autograd.grad(y, layer.weight, grad, retain_graph=True)

    return {
        "forward": {name: functools.partial(forward, layer) for name, layer in layers.items()},
        "of the weight": {name: functools.partial(of_weight, layer, layer(x)) for name, layer in layers.items()},
    }


def time_layer(inputs: int, outputs: int, share: float, rounds: int) -> list[dict[str, Any]]:
    """The rows of a layer."""
    rows = []
    for what, calls in contenders(inputs, outputs, share).items():
        times = interleaved(calls, rounds, patience=3.0)
        rows += [
            {
                "inputs": inputs,
                "outputs": outputs,
                "share": share,
                "pass": what,
                "contender": name,
                "median_ms": round(1e3 * statistics.median(taken), 3),
                "least_ms": round(1e3 * min(taken), 3),
                "times_linear": round(median_ratio(times, name, "linear"), 2),
                "runs": len(taken),
                "machine": machine(),
            }
            for name, taken in times.items()
        ]
    return rows


def main() -> None:
    """Measure, and write the file."""
    parser = argparse.ArgumentParser(description="Time linear layers on spikes.")
    parser.add_argument("--output", type=Path, required=True, help="the CSV file to write")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    spikescan.retain_freed_memory()  # for all contenders alike: fresh pages would cost more than their arithmetic
    rows: list[dict[str, Any]] = []
    for inputs, outputs in SHAPES:
        for share in SHARES:
            rows += time_layer(inputs, outputs, share, given.rounds)
            print(*(f"{row['pass']} {row['contender']} {row['median_ms']} ms" for row in rows[-4:]), sep=", ")
    write_rows(given.output, COLUMNS, rows)


if __name__ == "__main__":
    main()
