"""The training step against the number of time steps: ``python -m benchmarks.efficiency``.

Forward, backward and peak memory in float32 of three cases at T = 1,024 to 32,768:

* ``layer``: one layer, ``[T, 4, 64]``;
* ``volume``: one layer at the same T x B x C = 2,097,152 throughout, ``[T, B, 64]``;
* ``model``: a classifier of 3 x 128 neurons with layer norm on ``[T, 4, 1]``, whose backward includes the update, by SGD: an
  optimiser with a memory would hold more T x T matrices for PSN.

The neurons are DSN, PSN, masked and sliding PSN of order 32, LIF with soft reset as its fused sweep, and the same LIF in plain
torch as a loop over time (``lif loop``). All neurons of a case and a T take turns in one process; the peak is what a process of
its own grows by while it builds the neuron and its input and makes one step. What shorter T let expect beyond ``--seconds`` or
``--memory`` is not tried, and the row says what it would need.

The rows of a finished case and T are not measured again; delete them from ``docs/results/efficiency.csv`` to do so.
``efficiency.md`` and ``efficiency.svg`` beside it are made from the rows. On two quiet cores all takes about half an hour.
"""

import argparse
import itertools
import math
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

import spikescan
from benchmarks.machine import in_turns, machine, peak_bytes, write_rows
from benchmarks.peers.report import exponent
from benchmarks.publish import markdown, read_csv
from benchmarks.resets import by_loop
from spikescan.analysis.theme import LIGHT, svg
from spikescan.files import write_text
from spikescan.layers import final_step
from spikescan.models import mlp
from spikescan.neurons.base import State, Temporal

OUTPUT = Path(__file__).resolve().parents[1] / "docs/results/efficiency.csv"
TIME_STEPS = (1024, 2048, 4096, 8192, 16384, 32768)
BATCH, CHANNELS = 4, 64
VOLUME = 32768 * CHANNELS
CLASSES = 10
ORDER = 32
CASES = {
    "layer": f"One layer, [T, {BATCH}, {CHANNELS}]",
    "volume": f"One layer of T x B x C = {VOLUME:,}, C = {CHANNELS}",
    "model": f"A classifier of 3 x 128 neurons, [T, {BATCH}, 1]",
}
PASSES = ("step", "forward", "backward")
COLUMNS = (
    "case", "time_steps", "neuron", "shape",
    *(f"{each}{kind}_ms" for each in PASSES for kind in ("", "_least", "_most")),
    "runs", "peak_mib", "without", "machine",
)  # fmt: skip
PATIENCE, SLOW_ROUNDS = 2.0, 3
PUBLISHED = {
    "psn": {"step": 25.6, "forward": 21.7, "backward": 28.0},
    "sliding_psn": {"step": 2.2, "backward": 3.2},
}
"""How many times as long as DSN at 16,000 tokens (arXiv 2602.01133: abstract, and third parties' notes of its text)."""
CLAIMED_AT = 16384


Result = TypeVar("Result")


class LoopLIF(Temporal):
    """The LIF in plain torch, a loop over time: what a library without a kernel for it does."""

    def __init__(self) -> None:
        super().__init__()
        self.neuron = spikescan.LIF()

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """From rest."""
        return by_loop(x, self.neuron), ()

    def initial_state(self, x_t: Tensor) -> State:
        """``()``."""
        return ()


NEURONS: dict[str, Callable[[int, int], Temporal]] = {
    "dsn": lambda T, C: spikescan.DSN(C),
    "psn": lambda T, C: spikescan.PSN(T),
    "masked_psn": lambda T, C: spikescan.MaskedPSN(T, min(ORDER, T)),
    "sliding_psn": lambda T, C: spikescan.SlidingPSN(ORDER),
    "lif": lambda T, C: spikescan.LIF(),
    "lif loop": lambda T, C: LoopLIF(),
}
"""By the number of time steps and of channels."""


class Passes(NamedTuple):
    """Seconds."""

    forward: float
    backward: float

    @property
    def step(self) -> float:
        """Both."""
        return self.forward + self.backward


class Limits(NamedTuple):
    """How long and how large a training step may be."""

    seconds: float
    gibibytes: float


def shape_of(case: str, time_steps: int) -> tuple[int, int, int]:
    """Of the input."""
    batch = max(1, VOLUME // (time_steps * CHANNELS)) if case == "volume" else BATCH
    return time_steps, batch, 1 if case == "model" else CHANNELS


def training_step(case: str, time_steps: int, neuron: str) -> Callable[[], Passes]:
    """Builds what is measured; each call makes one step and says how long its passes took."""
    torch.manual_seed(0)
    x = torch.randn(shape_of(case, time_steps))
    make = NEURONS[neuron]
    if case == "model":
        return model_step(mlp(1, CLASSES, neuron=lambda channels: make(time_steps, channels)), x)
    return layer_step(make(time_steps, CHANNELS), x.requires_grad_())


def layer_step(layer: Temporal, x: Tensor) -> Callable[[], Passes]:
    """From the gradient of the spikes to that of the input and all parameters."""
    leaves, grad = [x, *layer.parameters()], torch.randn(x.shape)

    def step() -> Passes:
        start = time.perf_counter()
        spikes, _ = layer(x)
        between = time.perf_counter()
        torch.autograd.grad(spikes, leaves, grad)
        return Passes(between - start, time.perf_counter() - between)

    return step


def model_step(model: Temporal, x: Tensor) -> Callable[[], Passes]:
    """Up to the loss; then the gradients and the update."""
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3)
    labels = torch.arange(x.shape[1]) % CLASSES

    def step() -> Passes:
        optimiser.zero_grad(set_to_none=True)
        start = time.perf_counter()
        loss = F.cross_entropy(final_step(model(x)[0]), labels)
        between = time.perf_counter()
        loss.backward()
        optimiser.step()
        return Passes(between - start, time.perf_counter() - between)

    return step


def time_all(case: str, time_steps: int, neurons: Sequence[str], rounds: int, threads: int) -> dict[str, list[Passes]]:
    """The passes of these neurons, in turns."""
    torch.set_num_threads(threads)
    spikescan.retain_freed_memory()  # for all alike: fresh pages would cost more than their arithmetic
    for name in neurons:
        training_step(case, 64, name)()  # loads the kernels
    steps = {name: training_step(case, time_steps, name) for name in neurons}
    return in_turns(steps, rounds, PATIENCE, seconds=lambda passes: passes.step, slow_rounds=SLOW_ROUNDS)


def peak_of(case: str, time_steps: int, neuron: str, gibibytes: float, threads: int) -> int | str | None:
    """Bytes that this process grows by at most from building to the end of a step; why not, if they are too many."""
    torch.set_num_threads(threads)
    training_step(case, 64, neuron)()
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = in_use + int(gibibytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        return peak_bytes(lambda: training_step(case, time_steps, neuron)())
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError) or "allocate" in str(error):
            return f"more than {gibibytes:g} GiB"
        raise


def apart(function: Callable[..., Result], *arguments: Any) -> Result:
    """What a function returns in a process of its own, forked from this one, which never computes and so has no threads."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        return pool.submit(function, *arguments).result()


def carried_on(points: Sequence[tuple[int, float]], time_steps: int) -> float | None:
    """The value at a longer T: the last two carried on as a power of T, at least as they are; None where there are none."""
    if not points:
        return None
    (T0, first), (T1, last) = ([points[0], *points])[-2:] if len(points) < 2 else sorted(points)[-2:]
    power = max(0.0, math.log(last / first) / math.log(T1 / T0)) if T1 > T0 else 0.0
    return last * (time_steps / T1) ** power


def expected_too_much(earlier: Sequence[dict[str, str]], time_steps: int, limits: Limits) -> str:
    """Why this T is not tried, from the rows of shorter T; empty where it is."""
    timed = [(int(row["time_steps"]), float(row["step_ms"]) / 1e3) for row in earlier if row["step_ms"]]
    sized = [(int(row["time_steps"]), float(row["peak_mib"]) / 1024) for row in earlier if row["peak_mib"]]
    seconds, gibibytes = carried_on(timed, time_steps), carried_on(sized, time_steps)
    if gibibytes is not None and gibibytes > limits.gibibytes:
        return f"needs about {gibibytes:.0f} GiB"
    if seconds is not None and seconds > limits.seconds:
        return f"would take about {seconds:.0f} s"
    if earlier and not earlier[-1]["step_ms"]:
        return earlier[-1]["without"]  # more of the same
    return ""


def measure(
    case: str, time_steps: int, earlier: Sequence[dict[str, str]], limits: Limits, rounds: int, threads: int
) -> list[dict[str, Any]]:
    """The rows of a case and a T."""
    rows: dict[str, dict[str, Any]] = {}
    for name in NEURONS:
        mine = [row for row in earlier if (row["case"], row["neuron"]) == (case, name)]
        rows[name] = {
            "case": case,
            "time_steps": time_steps,
            "neuron": name,
            "shape": "x".join(map(str, shape_of(case, time_steps))),
            "without": expected_too_much(mine, time_steps, limits),
            "machine": machine(),
        }
        if not rows[name]["without"]:
            peak = apart(peak_of, case, time_steps, name, limits.gibibytes, threads)
            if isinstance(peak, str):
                rows[name]["without"] = peak
            elif peak is not None:
                rows[name]["peak_mib"] = round(peak / 2**20, 1)
    kept = [name for name, row in rows.items() if not row["without"]]
    times = apart(time_all, case, time_steps, kept, rounds, threads) if kept else {}
    for name, taken in times.items():
        rows[name] |= summary(taken)
    return list(rows.values())


def summary(taken: Sequence[Passes]) -> dict[str, Any]:
    """Median, least and most of each pass, in milliseconds."""
    found: dict[str, Any] = {"runs": len(taken)}
    for each in PASSES:
        ms = [1e3 * getattr(passes, each) for passes in taken]
        found |= {f"{each}_ms": round(statistics.median(ms), 3)}
        found |= {f"{each}_least_ms": round(min(ms), 3), f"{each}_most_ms": round(max(ms), 3)}
    return found


Rows = Sequence[dict[str, str]]


def page(rows: Rows, picture: str) -> str:
    """Markdown."""
    parts = [
        "# Training time and memory against the number of time steps\n",
        f"Made by `python -m benchmarks.efficiency`; `{picture}.csv` has the numbers. Medians of a float32 training step; "
        "after ± half the range between the fastest and the slowest run; then how many times as long as DSN. p is the "
        "exponent of T, by least squares in logarithms over all T that were measured. Peak memory is everything that the "
        "step needs, input and parameters included. PSN, masked PSN and sliding PSN are this library's (of order 32), on the "
        "same processor; `lif` is the fused sweep, `lif loop` the same neuron as a loop in plain torch.\n",
        f"![time and memory against T]({picture}.svg)\n",
        "## What was claimed\n",
        f"Times DSN at T = {CLAIMED_AT:,}. Published are times of training on a GPU at 16,000 tokens (arXiv 2602.01133: "
        "abstract, and third parties' notes of its text; batch and width are not known).\n",
        claims(rows) + "\n",
    ]
    for case, title in CASES.items():
        mine = [row for row in rows if row["case"] == case]
        if mine:
            parts.append(f"## {title}\n")
            parts += [timings(mine, each) + "\n" for each in PASSES]
            parts.append(memory(mine) + "\n")
    parts.append("; ".join(sorted({row["machine"] for row in rows})) + ".\n")
    return "\n".join(parts)


def claims(rows: Rows) -> str:
    """The published ratios beside ours."""
    at = {(row["case"], row["neuron"]): row for row in rows if int(row["time_steps"]) == CLAIMED_AT}

    def ratio(case: str, neuron: str, each: str) -> str:
        row, own = at.get((case, neuron)), at.get((case, "dsn"))
        if row is None or own is None:
            return "-"
        return f"{float(row[f'{each}_ms']) / float(own[f'{each}_ms']):.1f}" if row["step_ms"] else row["without"]

    table = (
        [f"{neuron}, {each}", f"{value}", *(ratio(case, neuron, each) for case in CASES)]
        for neuron, values in PUBLISHED.items()
        for each, value in values.items()
    )
    return markdown(["", "published", *CASES], table)


def timings(rows: Rows, each: str) -> str:
    """One pass of a case, by neuron and T."""
    lengths = lengths_of(rows)
    own = {row["time_steps"]: row[f"{each}_ms"] for row in rows if row["neuron"] == "dsn"}

    def cell(row: dict[str, str] | None) -> str:
        if row is None or not row["step_ms"]:
            return row["without"] if row else "-"
        median, least, most = (float(row[f"{each}{kind}_ms"]) for kind in ("", "_least", "_most"))
        beside = own.get(row["time_steps"])
        times = f", {median / float(beside):.3g} x" if beside and row["neuron"] != "dsn" else ""
        return f"{shown_ms(median)} ±{(most - least) / 2 / median:.0%}{times}"

    return by_neuron(rows, each, lengths, cell, f"{each}_ms")


def memory(rows: Rows) -> str:
    """Peak memory of a case, by neuron and T."""

    def cell(row: dict[str, str] | None) -> str:
        if row is None or not row["peak_mib"]:
            return row["without"] if row else "-"
        return f"{float(row['peak_mib']):,.0f} MiB"

    return by_neuron(rows, "peak memory", lengths_of(rows), cell, "peak_mib")


def by_neuron(
    rows: Rows, title: str, lengths: Sequence[str], cell: Callable[[dict[str, str] | None], str], value: str
) -> str:
    """A table with a line for each neuron and its exponent of T at the end."""
    by = {(row["neuron"], row["time_steps"]): row for row in rows}

    def line(neuron: str) -> Iterator[str]:
        yield neuron
        yield from (cell(by.get((neuron, length))) for length in lengths)
        p = exponent(points(rows, neuron, value))
        yield "" if p is None else f"{p:.2f}"

    return markdown([title, *(f"T = {int(length):,}" for length in lengths), "p"], map(line, neurons_of(rows)))


def points(rows: Rows, neuron: str, value: str) -> list[tuple[float, float]]:
    """T and what was measured there."""
    found = [(float(row["time_steps"]), float(row[value])) for row in rows if row["neuron"] == neuron and row[value]]
    return sorted(found)


def lengths_of(rows: Rows) -> list[str]:
    return sorted({row["time_steps"] for row in rows}, key=int)


def neurons_of(rows: Rows) -> list[str]:
    return list(dict.fromkeys(row["neuron"] for row in rows))


def shown_ms(value: float) -> str:
    """Three digits."""
    return f"{value:.3g} ms" if value < 1000 else f"{value / 1e3:.3g} s"


def plot(rows: Rows) -> str:
    """Time above, memory below, for each case, with the exponents of T."""
    colours = dict(zip(NEURONS, (LIGHT.first, LIGHT.second, LIGHT.third, "#cc79a7", "#e69f00", LIGHT.ink), strict=True))
    cases = [case for case in CASES if any(row["case"] == case for row in rows)]
    with LIGHT.figure(4.4 * len(cases), 7.6) as figure:
        panels = figure.subplots(2, len(cases), squeeze=False)
        for (index, (value, label)), (column, case) in itertools.product(
            enumerate((("step_ms", "training step, milliseconds"), ("peak_mib", "peak memory, MiB"))), enumerate(cases)
        ):
            axes = panels[index, column]
            mine = [row for row in rows if row["case"] == case]
            for neuron in neurons_of(mine):
                line = points(mine, neuron, value)
                p = exponent(line)
                name = neuron if p is None else f"{neuron}, T^{p:.2f}"
                axes.plot(*zip(*line, strict=True), color=colours[neuron], marker="o", markersize=3.5, label=name)
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:,g}")
            axes.yaxis.set_minor_formatter("")
            lengths = [int(length) for length in lengths_of(mine)]
            axes.set_xticks(lengths, [f"{length // 1024}k" if length >= 1024 else str(length) for length in lengths])
            axes.grid(visible=True, axis="y")
            axes.legend(fontsize=7)
            axes.set_title(CASES[case] if index == 0 else "")
            axes.set_xlabel("T" if index == 1 else "")
            axes.set_ylabel(label if column == 0 else "")
        return svg(figure)


def main() -> None:
    """Measure what is not there yet, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the CSV file; page and picture lie beside it")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--time-steps", type=int, nargs="+", default=list(TIME_STEPS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7, help=f"{SLOW_ROUNDS} for steps of more than {PATIENCE:g} s")
    parser.add_argument("--seconds", type=float, default=60.0, help="longest step to try")
    parser.add_argument("--memory", type=float, default=6.0, help="GiB that a step may need")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)  # for the machine's line
    limits = Limits(given.seconds, given.memory)
    rows = read_csv(given.output) if given.output.exists() else []
    for time_steps, case in itertools.product(sorted(given.time_steps), given.cases):
        if any((row["case"], int(row["time_steps"])) == (case, time_steps) for row in rows):
            continue
        started = time.perf_counter()
        earlier = [row for row in rows if int(row["time_steps"]) < time_steps]
        write_rows(
            given.output, COLUMNS, [*rows, *measure(case, time_steps, earlier, limits, given.rounds, given.threads)]
        )
        rows = read_csv(given.output)
        for row in rows[-len(NEURONS) :]:
            print(case, time_steps, row["neuron"], row["step_ms"] or row["without"], row["peak_mib"], flush=True)
        print(f"{case} {time_steps}: {time.perf_counter() - started:.0f} s", flush=True)
    write_text(given.output.with_suffix(".svg"), plot(rows))
    write_text(given.output.with_suffix(".md"), page(rows, given.output.stem))


if __name__ == "__main__":
    main()
