"""Training step of a LIF with soft reset by each method: ``python -m benchmarks.resets --output docs/performance/resets.csv``.

A training step is forward + backward, in float32, of a LIF with tau = 2 and binary spikes. The contenders:

* ``sweep``: one fused walk over time; what ``method="auto"`` takes;
* ``decoupled``: the membrane without resets and the raised threshold, walked side by side (PRF);
* ``decoupled fft``: the membrane by Fourier transforms first;
* ``fixed_point``: scans until no spike changes (FPT), with how many they were;
* ``loop``: the LIF in plain torch, a loop over `unbind`: what published speeds of parallel neurons are measured against.

A hard reset has no decoupled form. Its sweep and its ``speculative`` chunks are timed over input that makes neurons fire more
and more often, in rows that begin with ``hard``: what speculation takes depends on that, a sweep does not.

All take turns in one process. The file has a row for each shape and contender, with the number of spikes that differ from
the sweep's. Ratios are of medians within one run. Rows whose shape begins with ``ties`` count over random runs, without a time.
"""

import argparse
import csv
import itertools
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import spikescan
from benchmarks.machine import interleaved, machine, median_ratio, write_rows
from benchmarks.ops import training_step
from spikescan.neurons.parallel_reset import decoupled_spikes, fixed_point_spikes

# The tape of the loop over a longer [T, 32, 128] would not fit into a small machine's memory.
SHAPES = [
    *[(T, 4, 64) for T in (1024, 8192, 32768)],
    *[(T, 1, 32) for T in (1024, 8192, 32768)],
    *[(T, 32, 128) for T in (1024, 4096)],
]
FIXED_POINT_LIMIT = 1 << 20  # neuron-steps of which we wait for scan after scan
COLUMNS = [
    "shape",
    "contender",
    "median_ms",
    "least_ms",
    "times_sweep",
    "loop_times",
    "firing_rate",
    "spikes_differ",
    "neuron_steps",
    "iterations",
    "runs",
    "machine",
]


def by_loop(x: Tensor, neuron: spikescan.LIF) -> Tensor:
    """A LIF with soft, detached reset; `unbind`, since indexing has a backward that is quadratic in T."""
    v, spikes = torch.zeros_like(x[0]), []
    for x_t in x.unbind(0):
        h = v + (x_t - v) / neuron.tau
        s = neuron.firing(h)
        v = h - s.detach() * neuron.firing.threshold
        spikes.append(s)
    return torch.stack(spikes)


def by_fft(x: Tensor, neuron: spikescan.LIF) -> Tensor:
    """Decoupled, its potential by Fourier transforms."""
    gain = torch.full(x.shape[2:3], 1.0 / neuron.tau)
    at_rest = x.new_zeros(x.shape[1:])
    return decoupled_spikes(x, 1.0 - gain, gain, at_rest, firing=neuron.firing.spec, potential="fft")[0]


def runs(x: Tensor, tau: float = 2.0) -> dict[str, Callable[[], Tensor]]:
    """The spikes of x by each contender."""
    neuron = spikescan.LIF(tau)
    walked = {method: spikescan.LIF(tau, method=method) for method in ("sweep", "decoupled")}  # type: ignore[arg-type]
    named: dict[str, Callable[[], Tensor]] = {name: lambda each=each: each(x)[0] for name, each in walked.items()}  # type: ignore[misc]
    named["decoupled fft"] = lambda: by_fft(x, neuron)
    if x.numel() <= FIXED_POINT_LIMIT:
        iterated = spikescan.LIF(tau, method="fixed_point")
        named["fixed_point"] = lambda: iterated(x)[0]
    return named | {"loop": lambda: by_loop(x, neuron)}


def iterations(x: Tensor, tau: float = 2.0) -> int:
    """How many the fixed point takes for the neuron that takes most."""
    decay = torch.full(x.shape[2:3], 1.0 - 1.0 / tau)
    found = fixed_point_spikes(x / tau, decay, torch.zeros_like(x[0]), firing=spikescan.Binary().spec)
    return int(found.iterations.max())


def time_shape(shape: tuple[int, ...], rounds: int) -> list[dict[str, Any]]:
    """The rows of a shape."""
    torch.manual_seed(0)
    x = 2.0 * torch.randn(shape)
    rows = time_contenders("x".join(map(str, shape)), x.requires_grad_(), runs(x), rounds)
    for row in rows:
        row["iterations"] = iterations(x.detach()) if row["contender"] == "fixed_point" else ""
    return rows


# Mean and deviation of an input to a LIF with tau = 20, from one that hardly ever fires to one that fires often.
DRIVES = [(0.0, 1.5), (0.0, 2.2), (0.8, 1.0), (1.5, 2.0), (8.0, 8.0)]


def hard_resets(rounds: int, shape: tuple[int, ...] = (2048, 4, 64), tau: float = 20.0) -> list[dict[str, Any]]:
    """The rows of a hard reset, from rare to frequent spikes."""
    rows = []
    for mean, deviation in DRIVES:
        torch.manual_seed(0)
        x = (mean + deviation * torch.randn(shape)).requires_grad_()
        contenders = {
            method: lambda method=method, x=x: spikescan.LIF(tau, reset="hard", method=method)(x)[0]  # type: ignore[misc]
            for method in ("sweep", "speculative")
        }
        rows += time_contenders(f"hard, {'x'.join(map(str, shape))}", x, contenders, rounds)
    return rows


def time_contenders(
    shape: str, x: Tensor, contenders: dict[str, Callable[[], Tensor]], rounds: int
) -> list[dict[str, Any]]:
    """A row for each way to the spikes of x."""
    with torch.no_grad():
        expected = contenders["sweep"]()
        differ = {name: int((run() != expected).sum()) for name, run in contenders.items()}
    grad = torch.randn(x.shape)
    calls = {name: training_step(run, [x], grad) for name, run in contenders.items()}
    times = interleaved(calls, rounds, patience=0.5)
    return [
        {
            "shape": shape,
            "contender": name,
            "median_ms": round(1e3 * statistics.median(taken), 3),
            "least_ms": round(1e3 * min(taken), 3),
            "times_sweep": round(median_ratio(times, name, "sweep"), 2),
            "loop_times": round(median_ratio(times, "loop", name), 2) if "loop" in times else "",
            "firing_rate": f"{expected.mean().item():.3g}",
            "spikes_differ": differ[name],
            "neuron_steps": x.numel(),
            "runs": len(taken),
            "machine": machine(),
        }
        for name, taken in times.items()
    ]


# (neuron, its arguments, mean and deviation of its input, which make about one spike in ten steps)
TIES: dict[str, tuple[type[spikescan.Neuron], dict[str, float], float, float]] = {
    "tau 2": (spikescan.LIF, {"tau": 2.0}, 0.3, 1.5),
    "tau 20": (spikescan.LIF, {"tau": 20.0}, 2.0, 4.0),
    "IF": (spikescan.IF, {}, 0.1, 0.3),
}
# The fixed point takes many scans, so that it gets fewer random runs.
SAMPLES = {"decoupled": 20, "fixed_point": 2}


def ties(steps: int = 4096) -> list[dict[str, Any]]:
    """How many spikes differ from the sweep's in float32, over random runs; an integrator without leak is the hardest."""
    rows = []
    for name, (neuron, arguments, mean, deviation) in TIES.items():
        for method, samples in SAMPLES.items():
            differ = 0
            for seed in range(samples):
                x = mean + deviation * torch.randn(steps, 4, 64, generator=torch.Generator().manual_seed(seed))
                with torch.no_grad():
                    differ += int((neuron(method=method, **arguments)(x)[0] != neuron(**arguments)(x)[0]).sum())
            rows.append(
                {
                    "shape": f"ties {name}, {steps}x4x64",
                    "contender": method,
                    "spikes_differ": differ,
                    "neuron_steps": samples * x.numel(),
                    "runs": samples,
                    "machine": machine(),
                }
            )
    return rows


def main() -> None:
    """Measure, and write the file."""
    parser = argparse.ArgumentParser(description="Time the training step of a LIF with a reset by each method.")
    parser.add_argument("--output", type=Path, required=True, help="the CSV file to write")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--only-hard", action="store_true", help="measure the hard reset, and keep the file's other rows"
    )
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    spikescan.retain_freed_memory()  # for all contenders alike: fresh pages would cost more than their arithmetic
    rows: list[dict[str, Any]] = []
    if given.only_hard:
        with given.output.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if not row["shape"].startswith("hard")]
    soft = () if given.only_hard else (time_shape(shape, given.rounds) for shape in SHAPES)
    for row in itertools.chain.from_iterable(itertools.chain(soft, [hard_resets(given.rounds)])):
        print(*(row.get(name, "") for name in COLUMNS[:-1]), flush=True)
        rows.append(row)
    for row in () if given.only_hard else ties():
        print(row["shape"], row["contender"], row["spikes_differ"], row["neuron_steps"], flush=True)
        rows.append(row)
    write_rows(given.output, COLUMNS, rows)


if __name__ == "__main__":
    main()
