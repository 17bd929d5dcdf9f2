"""Training step of one DSN layer beside its alternatives: ``python -m benchmarks.ops --output docs/performance/ops.csv``.

A training step is forward + backward, in float32, of a DSN layer with k = 4 and integer spikes. It is timed beside

* ``add``: ``torch.add(x, 1, out=y)`` on a tensor of the same size, the least that anything can take that reads and writes it;
* ``dsn recompute``: the same layer keeping only its input for the backward pass;
* ``lif``: our fused LIF with soft reset;
* ``loop``: the DSN in plain torch, its recurrence a loop over `unbind`;
* ``associative_scan``: the DSN in plain torch, its recurrence by torch's scan;
* ``psn matmul``: the matrix product of PSN alone, ``weight @ x``;
* ``sliding psn conv1d``: sliding PSN of order 4 the way its authors compute it, by ``conv1d`` over a transposed copy.

All take turns in one process. The file has a row for each shape and contender; ratios are of medians within one run.
"""

import argparse
import functools
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._higher_order_ops.associative_scan import associative_scan
from torch.nn import functional

import spikescan
from benchmarks.machine import interleaved, machine, median_ratio, peak_bytes, write_rows
from spikescan.models import mlp

SHAPES = [
    (32, 128, 256),
    (32, 512, 1024),
    (1024, 32, 128),
    (1024, 128, 128),
    (4096, 16, 256),
    (16384, 4, 64),
    (4, 32, 64, 32, 32),
]
COLUMNS = [
    "shape",
    "contender",
    "median_ms",
    "least_ms",
    "times_add",
    "times_dsn",
    "ns_per_neuron_step",
    "runs",
    "machine",
]
PSN_LIMIT = 1 << 29  # bytes of a T x T matrix that we are ready to multiply with


def training_step(run: Callable[[], Tensor], leaves: list[Tensor], grad: Tensor) -> Callable[[], object]:
    """Forward, then backward from `grad` to `leaves`."""
    return lambda: torch.autograd.grad(run(), leaves, grad, allow_unused=True)


def plain_dsn(x: Tensor, neuron: spikescan.DSN, recurrence: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The DSN in plain torch around a given recurrence ``(decay, drive) -> states``."""
    shape = (1, 1, -1, *[1] * (x.dim() - 3))
    k = neuron.kernel_size
    padded = torch.cat([torch.zeros_like(x[: k - 1]), x])
    gate = neuron.bias.view(shape) + sum(neuron.weight[:, i].view(shape) * padded[i : i + len(x)] for i in range(k))
    log_decay = functional.logsigmoid(gate) / neuron.tau
    return neuron.firing(recurrence(log_decay.exp(), -torch.expm1(log_decay) * x))


def by_loop(decay: Tensor, drive: Tensor) -> Tensor:
    """A loop over time; `unbind`, since indexing has a backward that is quadratic in T."""
    state, states = torch.zeros_like(drive[0]), []
    for decay_t, drive_t in zip(decay.unbind(0), drive.unbind(0), strict=True):
        state = decay_t * state + drive_t
        states.append(state)
    return torch.stack(states)


def by_scan(decay: Tensor, drive: Tensor) -> Tensor:
    """Torch's associative scan, in the mode that runs on a CPU."""

    def combine(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return a[0] * b[0], b[0] * a[1] + b[1]

    return associative_scan(combine, (decay, drive), dim=0, combine_mode="generic")[1]


def sliding_psn(x: Tensor, weight: Tensor) -> Tensor:
    """Order 4, as a convolution over the last axis of a transposed copy."""
    steps, k = len(x), len(weight)
    rows = functional.pad(x.flatten(1).t().unsqueeze(1), (k - 1, 0))
    charge = functional.conv1d(rows, weight.view(1, 1, k)).squeeze(1).t().reshape(steps, *x.shape[1:])
    return spikescan.Binary()(charge)


def contenders(shape: tuple[int, ...]) -> dict[str, Callable[[], object]]:
    """Everything that is timed at a shape."""
    torch.manual_seed(0)
    x = torch.randn(shape, requires_grad=True)
    grad, out = torch.randn(shape), torch.empty(shape)
    neuron = spikescan.DSN(shape[2])
    lean = spikescan.DSN(shape[2], recompute=True)
    lif = spikescan.LIF()
    taps = torch.randn(4, requires_grad=True)
    parameters = list(neuron.parameters())

    def add() -> None:
        with torch.no_grad():
            torch.add(x, 1, out=out)

    calls: dict[str, Callable[[], object]] = {
        "add": add,
        "dsn": training_step(lambda: neuron(x)[0], [x, *parameters], grad),
        "dsn recompute": training_step(lambda: lean(x)[0], [x, *lean.parameters()], grad),
        "lif": training_step(lambda: lif(x)[0], [x], grad),
        "sliding psn conv1d": training_step(lambda: sliding_psn(x, taps), [x, taps], grad),
        "loop": training_step(lambda: plain_dsn(x, neuron, by_loop), [x, *parameters], grad),
        "associative_scan": training_step(lambda: plain_dsn(x, neuron, by_scan), [x, *parameters], grad),
    }
    if 4 * shape[0] ** 2 <= 2 * PSN_LIMIT:
        mixing = torch.randn(shape[0], shape[0], requires_grad=True)
        flat = grad.flatten(1)
        calls["psn matmul"] = training_step(lambda: mixing @ x.flatten(1), [x, mixing], flat)
    return calls


def time_shape(shape: tuple[int, ...], rounds: int) -> list[dict[str, Any]]:
    """The rows of a shape."""
    times = interleaved(contenders(shape), rounds, patience=3.0)
    steps = torch.Size(shape).numel()
    return [
        {
            "shape": "x".join(map(str, shape)),
            "contender": name,
            "median_ms": round(1e3 * statistics.median(taken), 3),
            "least_ms": round(1e3 * min(taken), 3),
            "times_add": round(median_ratio(times, name, "add"), 2),
            "times_dsn": round(median_ratio(times, name, "dsn"), 2),
            "ns_per_neuron_step": round(1e9 * statistics.median(taken) / steps, 3),
            "runs": len(taken),
            "machine": machine(),
        }
        for name, taken in times.items()
    ]


def step_latency(rounds: int = 3000) -> list[dict[str, Any]]:
    """A step of a network of 3 x 128 DSN, one sample, one thread: what a live stream waits for.

    By `step`, part by part with the state in hand, and by `push` of a stream.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rows = []
    for norm in ("none", "layer", "batch"):
        model = mlp(1, 10, neuron=spikescan.DSN, norm=norm).eval()
        x_t = torch.randn(1, 1)
        live = spikescan.stream(model, batch=1)
        with torch.inference_mode():
            _, state = model.step(x_t)
            calls = {"step": functools.partial(model.step, x_t, state), "stream": functools.partial(live.push, x_t)}
            timed = interleaved(calls, rounds, patience=3.0)
        rows += [
            {
                "shape": f"1x1, 3 x 128 DSN, norm {norm}",
                "contender": name,
                "median_ms": round(1e3 * statistics.median(times), 4),
                "least_ms": round(1e3 * min(times), 4),
                "runs": len(times),
                "machine": machine(),
            }
            for name, times in timed.items()
        ]
    torch.set_num_threads(threads)
    return rows


def peak_tensors(recompute: bool, shape: tuple[int, ...] = (1024, 64, 128)) -> float | None:
    """Peak memory of forward + backward beyond input, output and their gradients, in tensors of the input's size."""
    neuron = spikescan.DSN(shape[2], recompute=recompute)

    def call(x: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
        spikes = neuron(x)[0]
        return spikes, torch.autograd.grad(spikes, x, grad)[0]

    # The first call of a kind loads kernels, which are not the step's memory.
    for steps in (2, shape[0] // 4):
        peak_bytes(
            functools.partial(call, torch.randn(steps, *shape[1:], requires_grad=True), torch.randn(steps, *shape[1:]))
        )
    x, grad = torch.randn(shape, requires_grad=True), torch.randn(shape)
    step = functools.partial(call, x, grad)

    grown = peak_bytes(step)
    return None if grown is None else round(grown / x.nbytes - 2, 2)  # less the output and the input's gradient


def memory_rows() -> list[dict[str, Any]]:
    """Peak memory, each in a process of its own: memory that this one freed would hide it."""
    rows = []
    for recompute in (False, True):
        code = f"from benchmarks.ops import peak_tensors; print(peak_tensors({recompute}))"
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
        )
        name = "dsn recompute" if recompute else "dsn"
        rows.append(
            {"shape": "1024x64x128", "contender": f"{name}: peak tensors {run.stdout.strip()}", "machine": machine()}
        )
    return rows


def main() -> None:
    """Measure, and write the file."""
    parser = argparse.ArgumentParser(description="Time the training step of a DSN layer beside its alternatives.")
    parser.add_argument("--output", type=Path, required=True, help="the CSV file to write")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    spikescan.retain_freed_memory()  # for all contenders alike: fresh pages would cost more than their arithmetic
    rows: list[dict[str, Any]] = []
    for shape in SHAPES:
        rows += time_shape(shape, given.rounds)
        for row in rows[-len(contenders(shape)) :]:
            print(
                f"{row['shape']:>16} {row['contender']:>20} {row['median_ms']:>10.2f} ms {row['times_add']:>8.1f} x add"
            )
    rows += step_latency() + memory_rows()
    for row in rows[-5:]:
        print(row["shape"], row["contender"], row.get("median_ms", ""))
    write_rows(given.output, COLUMNS, rows)


if __name__ == "__main__":
    main()
