"""Training step of every neuron: ``python -m benchmarks.neurons --output docs/performance/neurons.csv``.

A training step is forward + backward, in float32, of a layer as the neuron's class makes it. It is timed beside
``torch.add(x, 1, out=y)`` on a tensor of the same size, and beside the neuron's own serial loop: `step` again and again
under autograd, which is what training would be without a form that sees all of time. Neurons that cannot `step` have no loop.

A neuron, its loop and the addition take turns in one process. The file has a row for each neuron and shape.
"""

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import spikescan
from benchmarks.machine import interleaved, machine, median_ratio, write_rows
from benchmarks.ops import training_step
from spikescan.neurons import Neuron, create_neuron, list_neurons

# Of one length, since some matrices over time grow with its square; few and many neurons.
SHAPES = [(256, 4, 64), (256, 128, 128)]
COLUMNS = ["neuron", "shape", "median_ms", "least_ms", "times_add", "loop_times", "runs", "machine"]


def by_steps(neuron: Neuron, x: Tensor) -> Tensor:
    """The spikes of a loop of `step`."""
    state, spikes = None, []
    for x_t in x.unbind(0):
        spikes_t, state = neuron.step(x_t, state)
        spikes.append(spikes_t)
    return torch.stack(spikes)


def time_neuron(name: str, shape: tuple[int, ...], rounds: int) -> dict[str, Any]:
    """The row of a neuron."""
    torch.manual_seed(0)
    neuron = create_neuron(name, channels=shape[2], time_steps=shape[0])
    x, grad, out = torch.randn(shape, requires_grad=True), torch.randn(shape), torch.empty(shape)
    leaves = [x, *neuron.parameters()]

    def add() -> None:
        with torch.no_grad():
            torch.add(x, 1, out=out)

    calls: dict[str, Callable[[], object]] = {"add": add, "neuron": training_step(lambda: neuron(x)[0], leaves, grad)}
    # In training some neurons look over all of time for statistics, which single steps cannot.
    if neuron.streamable and name != "mulfree_psn":
        calls["loop"] = training_step(lambda: by_steps(neuron, x), leaves, grad)
    times = interleaved(calls, rounds, patience=1.0)
    return {
        "neuron": name,
        "shape": "x".join(map(str, shape)),
        "median_ms": round(1e3 * statistics.median(times["neuron"]), 3),
        "least_ms": round(1e3 * min(times["neuron"]), 3),
        "times_add": round(median_ratio(times, "neuron", "add"), 1),
        "loop_times": round(median_ratio(times, "loop", "neuron"), 1) if "loop" in times else "",
        "runs": len(times["neuron"]),
        "machine": machine(),
    }


def main() -> None:
    """Measure, and write the file."""
    parser = argparse.ArgumentParser(description="Time the training step of every neuron beside its serial loop.")
    parser.add_argument("--output", type=Path, required=True, help="the CSV file to write")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    spikescan.retain_freed_memory()
    rows = []
    for shape in SHAPES:
        for name in list_neurons():
            rows.append(time_neuron(name, shape, given.rounds))
            row = rows[-1]
            print(f"{shape} {name}: {row['median_ms']} ms, {row['times_add']} x add, loop {row['loop_times']} x")
    write_rows(given.output, COLUMNS, rows)


if __name__ == "__main__":
    main()
