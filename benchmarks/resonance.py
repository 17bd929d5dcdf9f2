"""PRF by scan against FFT against the fused sweep: ``python -m benchmarks.resonance --output docs/performance/resonance.csv``.

One layer of PRF in float32 on ``[T, 4, 64]``, its spikes alone ("forward") and a training step, forward and backward with the
gradients of input and parameters ("training"), by

* ``sweep``: the neuron itself, one fused sweep over time;
* ``scan``: `ops.linear_recurrence` on complex numbers, then firing;
* ``fft``: a convolution padded to twice the length, then firing, as the neuron's authors compute it.

All take turns in one process; ratios are of medians within one run.
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import spikescan
from benchmarks.machine import interleaved, machine, median_ratio, write_rows

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "neurons"))  # the forms are those of the tests

import prf_forms

TIME_STEPS = (1024, 2048, 4096, 8192, 16384, 32768)
BATCH, CHANNELS = 4, 64
COLUMNS = [
    "shape",
    "pass",
    "contender",
    "median_ms",
    "least_ms",
    "times_sweep",
    "ns_per_neuron_step",
    "runs",
    "machine",
]


def contenders(time_steps: int) -> dict[str, dict[str, Callable[[], object]]]:
    """What is timed at a length, by pass."""
    torch.manual_seed(0)
    neuron = spikescan.PRF(CHANNELS)
    x = torch.randn(time_steps, BATCH, CHANNELS, requires_grad=True)
    grad = torch.randn_like(x)
    leaves = [x, *neuron.parameters()]
    forms: dict[str, Callable[[], Tensor]] = {
        "sweep": lambda: neuron(x)[0],
        "scan": lambda: neuron.firing(prf_forms.by_scan(neuron, x)),
        "fft": lambda: neuron.firing(prf_forms.by_fft(neuron, x)),
    }

    def forward(form: Callable[[], Tensor]) -> Callable[[], object]:
        def call() -> None:
            with torch.no_grad():
                form()

        return call

    def training(form: Callable[[], Tensor]) -> Callable[[], object]:
        return lambda: torch.autograd.grad(form(), leaves, grad)

    return {
        "forward": {name: forward(form) for name, form in forms.items()},
        "training": {name: training(form) for name, form in forms.items()},
    }


def time_length(time_steps: int, rounds: int) -> list[dict[str, Any]]:
    """The rows of a length."""
    rows = []
    for what, calls in contenders(time_steps).items():
        times = interleaved(calls, rounds, patience=3.0)
        rows += [
            {
                "shape": f"{time_steps}x{BATCH}x{CHANNELS}",
                "pass": what,
                "contender": name,
                "median_ms": round(1e3 * statistics.median(taken), 3),
                "least_ms": round(1e3 * min(taken), 3),
                "times_sweep": round(median_ratio(times, name, "sweep"), 2),
                "ns_per_neuron_step": round(1e9 * statistics.median(taken) / (time_steps * BATCH * CHANNELS), 3),
                "runs": len(taken),
                "machine": machine(),
            }
            for name, taken in times.items()
        ]
    return rows


def main() -> None:
    """Measure, and write the file."""
    parser = argparse.ArgumentParser(description="Time a layer of PRF by fused sweep, scan and FFT.")
    parser.add_argument("--output", type=Path, required=True, help="the CSV file to write")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    spikescan.retain_freed_memory()  # for all contenders alike: fresh pages would cost more than their arithmetic
    rows: list[dict[str, Any]] = []
    for time_steps in TIME_STEPS:
        for row in time_length(time_steps, given.rounds):
            print(
                f"{row['shape']:>12} {row['pass']:>9} {row['contender']:>6} {row['median_ms']:>9.2f} ms "
                f"{row['times_sweep']:>6.2f} x sweep"
            )
            rows.append(row)
    write_rows(given.output, COLUMNS, rows)


if __name__ == "__main__":
    main()
