"""Put measured numbers into the pages: ``python -m benchmarks.publish``.

Between ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` a page holds what this command writes there, from files that other
commands wrote: ``docs/performance/ops.csv`` (`benchmarks.ops`) and ``docs/results/smnist_demo/`` (a run folder of
`spikescan demo`), the tables of `spikescan compare` in ``docs/results/compare/``, or from the registry of neurons, whose
pictures it draws. Nothing between the marks is written by hand.
"""

import csv
import functools
import inspect
import itertools
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
import yaml

from spikescan.analysis.response import draw_responses
from spikescan.analysis.theme import svg
from spikescan.files import write_text
from spikescan.neurons import Neuron, create_neuron, list_neurons

ROOT = Path(__file__).resolve().parents[1]
OPS = ROOT / "docs/performance/ops.csv"
OPS_AVX2 = ROOT / "docs/performance/ops-avx2.csv"
NEURONS = ROOT / "docs/performance/neurons.csv"
RESETS = ROOT / "docs/performance/resets.csv"
CIFAR_ENERGY = ROOT / "docs/results/sequential_cifar_energy.csv"
RESONANCE = ROOT / "docs/performance/resonance.csv"
LINEAR = ROOT / "docs/performance/linear.csv"
DEMO = ROOT / "docs/results/smnist_demo"
LONG = ROOT / "docs/results/long"
COMPARED = ROOT / "docs/results/compare"
FLOOR = 28 / 8  # bytes a neuron-step of a training step of DSN or LIF, over those of add
PICTURES = ROOT / "docs/pictures/neurons"
STEPS = 100  # of the pictures, and of neurons bound to a number of steps
OWN = ("add", "dsn", "dsn recompute", "lif")
OTHERS = ("loop", "associative_scan", "psn matmul", "sliding psn conv1d")


def timed(path: Path) -> dict[str, dict[str, dict[str, str]]]:
    """Rows of the ops benchmark by shape and contender, of the shapes that were timed beside add."""
    table: dict[str, dict[str, dict[str, str]]] = {}
    for row in read_csv(path):
        if row["times_add"]:
            table.setdefault(row["shape"], {})[row["contender"]] = row
    return table


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table."""
    lines = [list(head), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def layers(path: Path = OPS) -> str:
    """Our own kernels beside the floor."""

    def cells(row: dict[str, str]) -> str:
        return f"{float(row['median_ms']):.2f} ms, {float(row['times_add']):.1f} x add"

    head = [
        "[T, B, C, ...]",
        "add",
        "DSN",
        "DSN recompute",
        "LIF",
        "DSN, ns a neuron-step",
        "share of the floor: DSN, LIF",
    ]
    rows = []
    for shape, by in timed(path).items():
        shares = ", ".join(f"{FLOOR / float(by[name]['times_add']):.0%}" for name in ("dsn", "lif"))
        add = f"{float(by['add']['median_ms']):.2f} ms"
        rows.append([shape, add, *(cells(by[name]) for name in OWN[1:]), by["dsn"]["ns_per_neuron_step"], shares])
    return markdown(head, rows) + f"\n\nMedians; {read_csv(path)[0]['machine']}."


def rivals(path: Path = OPS) -> str:
    """The other ways to do it, in multiples of our DSN."""
    rows = [
        [shape, *(f"{float(by[name]['times_dsn']):.1f}" if name in by else "-" for name in OTHERS)]
        for shape, by in timed(path).items()
    ]
    return markdown(["[T, B, C, ...]", *OTHERS], rows) + "\n\n\\- : the T x T matrix alone would pass a gigabyte."


def neurons() -> str:
    """The training step of every neuron."""
    rows = read_csv(NEURONS)
    shapes = list(dict.fromkeys(row["shape"] for row in rows))
    by = {(row["neuron"], row["shape"]): row for row in rows}

    def cell(name: str, shape: str) -> str:
        row = by[name, shape]
        loop = f"; loop {row['loop_times']} x" if row["loop_times"] else ""
        return f"{float(row['median_ms']):.1f} ms, {row['times_add']} x add{loop}"

    table = markdown(
        ["neuron", *shapes],
        ([name, *(cell(name, shape) for shape in shapes)] for name in dict.fromkeys(row["neuron"] for row in rows)),
    )
    return f"{table}\n\nMedians; the loop in multiples of the neuron's own time; {rows[0]['machine']}."


def read_csv(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def resets() -> str:
    """A soft reset by each method, beside a loop over tensors."""
    rows = [row for row in read_csv(RESETS) if row["median_ms"] and not row["shape"].startswith("hard")]
    names = list(dict.fromkeys(row["contender"] for row in rows))
    by = {(row["shape"], row["contender"]): row for row in rows}

    def cell(shape: str, name: str) -> str:
        row = by.get((shape, name))
        return (
            f"{float(row['median_ms']):.1f} ms" + ("" if name == "loop" else f", {row['loop_times']} x") if row else "-"
        )

    shapes = dict.fromkeys(row["shape"] for row in rows)
    table = markdown(["[T, B, C]", *names], ([shape, *(cell(shape, name) for name in names)] for shape in shapes))
    return f"{table}\n\nMedians, and how many times as long the loop takes; {rows[0]['machine']}."


def hard_resets() -> str:
    """A hard reset by speculation, beside the sweep, by how often neurons fire."""
    rows = [row for row in read_csv(RESETS) if row["shape"].startswith("hard")]
    pairs = zip(rows[::2], rows[1::2], strict=True)
    table = markdown(
        ["firing rate", "sweep", "speculative", "times the sweep"],
        (
            [sweep["firing_rate"], f"{float(sweep['median_ms']):.1f} ms", f"{float(other['median_ms']):.1f} ms",
             other["times_sweep"]]
            for sweep, other in pairs
        ),
    )  # fmt: skip
    return f"{table}\n\n[T, B, C] = {rows[0]['shape'].removeprefix('hard, ')}; medians; {rows[0]['machine']}."


def linear() -> str:
    """How many times as long torch's linear layer takes, by the share of inputs that are not zero."""
    rows = [row for row in read_csv(LINEAR) if row["contender"] == "torch"]
    shares = list(dict.fromkeys(row["share"] for row in rows))
    layers = list(dict.fromkeys((row["inputs"], row["outputs"], row["pass"]) for row in rows))
    found = {(row["inputs"], row["outputs"], row["pass"], row["share"]): row["times_linear"] for row in rows}
    table = markdown(
        ["layer", *(f"{float(share):.0%} not zero" for share in shares)],
        ([f"{inputs} to {outputs}, {what}", *(found[inputs, outputs, what, share] for share in shares)]
         for inputs, outputs, what in layers),
    )  # fmt: skip
    return f"{table}\n\nTorch's time, in times of ours, by medians; {rows[0]['machine']}."


def resonance() -> str:
    """PRF by scan and by FFT, in multiples of its fused sweep."""
    rows = read_csv(RESONANCE)
    by = {(row["shape"], row["pass"], row["contender"]): row["times_sweep"] for row in rows}
    kinds = [(each, name) for each in ("forward", "training") for name in ("scan", "fft")]
    table = markdown(
        ["[T, B, C]", *(f"{name}, {each}" for each, name in kinds)],
        ([shape, *(by[shape, *kind] for kind in kinds)] for shape in dict.fromkeys(row["shape"] for row in rows)),
    )
    return f"{table}\n\nTimes the fused sweep's time, by medians; {rows[0]['machine']}."


def latency(path: Path = OPS) -> str:
    """One step of a small network."""
    rows = [row for row in read_csv(path) if row["contender"] in ("step", "stream")]
    return markdown(
        ["network, one sample, one thread", "by", "median", "least"],
        (
            [
                row["shape"],
                f"`{row['contender']}`",
                *(f"{_microseconds(row[key])} µs" for key in ("median_ms", "least_ms")),
            ]
            for row in rows
        ),
    )


def _microseconds(milliseconds: str) -> str:
    return f"{1e3 * float(milliseconds):.0f}"


def memory() -> str:
    """Peak memory of a training step."""
    rows = [row for row in read_csv(OPS) if "peak tensors" in row["contender"]]
    pairs = ([row["shape"], *row["contender"].split(": peak tensors ")] for row in rows)
    return markdown(["shape", "layer", "tensors beyond input, output and their gradients"], pairs)


def speed() -> str:
    """The README's lines about speed."""
    by_shape = timed(OPS)
    large = ("32x512x1024", "1024x128x128", "4096x16x256")
    ratios, without = (
        ", ".join(f"{float(timed(path)[shape]['dsn']['times_add']):.1f}" for shape in large) for path in (OPS, OPS_AVX2)
    )
    loops = [float(by["loop"]["times_dsn"]) for by in by_shape.values()]
    longest = by_shape["16384x4x64"]
    short = by_shape["32x128x256"]
    steps = {
        (row["contender"], row["shape"].split("norm ")[1]): _microseconds(row["median_ms"])
        for row in read_csv(OPS)
        if row["contender"] in ("step", "stream")
    }
    return "\n".join(
        [
            f"  A training step (forward + backward) of a DSN layer takes {ratios} times `torch.add`",
            f"  on a tensor of the same size at {', '.join(large)}; a loop over `unbind` takes",
            f"  {min(loops):.0f} to {max(loops):.0f} times as long as the DSN. PSN's bare matrix product takes",
            f"  {float(short['psn matmul']['times_dsn']):.1f} times as long at T = 32 and",
            f"  {float(longest['psn matmul']['times_dsn']):.0f} times at T = 16,384. One time step of 3 x 128 DSN",
            f"  on a stream takes {steps['stream', 'none']} µs without a norm and {steps['stream', 'layer']} µs with layer",
            f"  norm, part by part (`step`) {steps['step', 'none']} and {steps['step', 'layer']} µs.",
            f"  ({read_csv(OPS)[0]['machine']})",
            f"  Without AVX-512, on an older and slower processor, the three are {without}",
            f"  ({read_csv(OPS_AVX2)[0]['machine']}).",
        ]
    )


def demo() -> str:
    """The README's line about the demo."""
    test = read(DEMO / "evaluation-test.json")
    stepped = next(way for way in read(DEMO / "agreement.json")["ways"] if way["name"] == "step by step")
    spikes = [sum(layer[key] for layer in stepped["layers"].values()) for key in ("differing", "total")]
    with (DEMO / "metrics.csv").open(newline="") as file:
        epochs = list(csv.DictReader(file))
    seconds = sum(float(row["seconds"]) for row in epochs)
    environment = read(DEMO / "environment.json")
    return (
        f"The run shown: {test['score']:.1%} of the {test['samples']} test images, after {len(epochs)} epochs in "
        f"{seconds / 60:.1f} minutes on {environment['cores']} cores ({environment['processor']}); pixel by pixel "
        f"{stepped['predictions']['differing']} predictions and {spikes[0]} of {spikes[1]:,} spikes differ."
    )


def example(name: str) -> Neuron:
    """A neuron as its class makes it, of one channel and `STEPS` steps; the same one each time."""
    torch.manual_seed(0)
    return create_neuron(name, channels=1, time_steps=STEPS)


def neurons_table() -> str:
    """What each neuron can do and what a step of it costs."""
    head = [
        "neuron",
        "class",
        "causal, streams",
        "T",
        "multiplications",
        "additions",
        "shifts",
        "transcendentals",
        "state, B",
    ]
    rows = []
    for name in list_neurons():
        neuron = example(name)
        can = "no" if not neuron.causal else "yes" if neuron.streamable else "causal only"
        cost = [f"{count:g}" for count in neuron.cost()]
        rows.append(
            [
                f"[`{name}`](#{name})",
                f"`{type(neuron).__name__}`",
                can,
                "fixed" if neuron.length_bound else "any",
                *cost,
            ]
        )
    return markdown(head, rows) + f"\n\nA neuron and step; those of a fixed T at T = {STEPS}."


def catalogue() -> str:
    """Every neuron: its equations, from its docstring, and the picture of its answers, drawn here."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    sections = []
    for name in list_neurons():
        neuron = example(name)
        write_text(PICTURES / f"{name}.svg", svg(draw_responses(neuron, time_steps=STEPS)))
        summary, equations = described(type(neuron))
        sections.append(
            f"### {name}\n\n`{type(neuron).__name__}`. {summary}\n\n{equations}\n\n"
            f"![answers of {name} to an impulse, a constant current, a burst and noise](pictures/neurons/{name}.svg)\n"
        )
    return "\n".join(sections)


def described(neuron: type[Neuron]) -> tuple[str, str]:
    """The first sentence of a docstring and its equations, as blocks that a Markdown page shows."""
    lines = (inspect.getdoc(neuron) or "").splitlines()
    blocks = []
    for index, line in enumerate(lines):
        if line.startswith(".. math::"):
            indented = itertools.takewhile(lambda each: not each or each.startswith(" "), lines[index + 1 :])
            body = "\n".join(each.strip() for each in [line.removeprefix(".. math::"), *indented] if each.strip())
            aligned = body if "&" not in body else f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}"
            blocks.append(f"```math\n{aligned}\n```")
    return lines[0], "\n\n".join(blocks)


def long_runs() -> str:
    """The longer run of each task: its test score, and the epoch that validation picked."""
    head = ["run", "score", "test", "validation", "epoch", "seed", "training, minutes", "threads"]
    rows = []
    for folder in sorted(path for path in LONG.iterdir() if path.is_dir()):
        test, environment = read(folder / "evaluation-test.json"), read(folder / "environment.json")
        score = test["score_name"]
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        epochs = read_csv(folder / "metrics.csv")
        best = next(row for row in epochs if int(row["epoch"]) == test["epoch"])
        rows.append(
            [
                folder.name,
                score,
                f"{test['score']:.4g}",
                f"{float(best[f'validation_{score}']):.4g}",
                f"{test['epoch']} of {len(epochs)}",
                str(config["seed"]),
                f"{sum(float(row['seconds']) for row in epochs) / 60:.0f}",
                str(environment["threads"]),
            ]
        )
    return markdown(head, rows)


def comparisons() -> str:
    """A line for each neuron or control, a column for each task: the score on the test split."""
    tables = {path.parent.name: read_csv(path) for path in sorted(COMPARED.glob("*/results.csv"))}
    scores = {task: {_contender(row): row for row in table} for task, table in tables.items()}
    lines = list(dict.fromkeys(name for by in scores.values() for name in by))
    lines.sort(key=lambda name: ["binary", "integer", "control"].index(name[1]))
    head = ["", "spikes", *(f"{task}, {next(iter(by.values()))['score']}" for task, by in scores.items())]
    return markdown(head, ([*name, *(_score(by.get(name)) for by in scores.values())] for name in lines))


def _contender(row: dict[str, str]) -> tuple[str, str]:
    """What a row of a comparison is of, and its spikes; a control is one of the recipe's neuron."""
    if row["control"] == "shuffled":
        return f"{row['neuron']}, time shuffled", "control"
    return row["neuron"], "control" if row["control"] else row["firing"]


def _score(row: dict[str, str] | None) -> str:
    """A mean over seeds, with how far they lie apart."""
    if row is None or not row["test_mean"]:
        return ""
    spread = f" ± {float(row['test_deviation']):.2g}" if row["test_deviation"] else ""
    return f"{float(row['test_mean']):.4g}{spread}"


def read(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def cifar_energy() -> str:
    """The paper's energies, its rule, and what we count."""
    head = ["CIFAR", "neuron", "rate", "paper", "by the rule", "counted here", "synapses", "neurons", "with gates"]
    rows = []
    for row in read_csv(CIFAR_ENERGY):
        gates = float(row["counted_uJ"]) + float(row["transcendental_uJ"])
        rule, counted = (f"{row[f'{name}_uJ']} ({row[f'{name}_percent']} %)" for name in ("rule", "counted"))
        given = [row[name] for name in ("classes", "neuron", "rate", "paper_uJ")]
        rows.append([*given, rule, counted, row["synapses_uJ"], row["neurons_uJ"], f"{gates:.2f}"])
    return markdown(head, rows) + "\n\nIn microjoule an image; the rate is a neuron and sub-step."


PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "docs/performance.md": {
        "layers": layers,
        "layers avx2": functools.partial(layers, OPS_AVX2),
        "rivals avx2": functools.partial(rivals, OPS_AVX2),
        "latency avx2": functools.partial(latency, OPS_AVX2),
        "neurons": neurons,
        "resets": resets,
        "hard resets": hard_resets,
        "resonance": resonance,
        "linear": linear,
        "rivals": rivals,
        "latency": latency,
        "memory": memory,
    },
    "docs/energy.md": {"cifar": cifar_energy},
    "docs/results/long.md": {"long": long_runs},
    "docs/results/README.md": {"comparisons": comparisons},
    "docs/neurons.md": {"table": neurons_table, "catalogue": catalogue},
    "README.md": {"demo": demo, "speed": speed},
}


def main() -> None:
    """Write every marked part anew."""
    for name, parts in PAGES.items():
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        for mark, write in parts.items():
            begin, end = f"<!-- begin {mark} -->", f"<!-- end {mark} -->"
            pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
            if not pattern.search(text):
                raise SystemExit(f"{name} has no {begin} ... {end}")
            text = pattern.sub(lambda _, write=write, b=begin, e=end: f"{b}\n{write()}\n{e}", text)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
