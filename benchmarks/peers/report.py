"""The page: Markdown and SVG plots from the rows alone."""

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.peers import work
from benchmarks.peers.table import Row
from benchmarks.publish import markdown
from spikescan.analysis.theme import LIGHT, svg
from spikescan.files import write_whole

__all__ = ["exponent", "faster_peers", "reason", "write_report"]

OWN = "spikescan"
_PYTORCH = ("SpikingJelly", "snnTorch", "PyTorch")
_FLOOR = {work.FORWARD: 8 / 8, work.BOTH: 20 / 8}
"""Least bytes a neuron-step over those of add: x and spikes; then the gradient and x once more, and the gradient of x."""
_FLOORS = (work.FLOOR, work.NO_NEURONS)
_FEW = 1 << 18
"""Neuron-steps that kernels take less than a millisecond for."""
_EPOCH = math.ceil(work.TRAINING_IMAGES / work.BATCH)


def exponent(points: Sequence[tuple[float, float]]) -> float | None:
    """p of time ~ T^p by least squares in logarithms; None for fewer than two points."""
    if len({T for T, _ in points}) < 2:
        return None
    return statistics.linear_regression([math.log(T) for T, _ in points], [math.log(s) for _, s in points]).slope


class Rival(NamedTuple):
    """A peer's row beside ours for the same call of the same cell."""

    row: Row
    own: Row

    @property
    def times(self) -> float:
        """How many times as long the peer takes."""
        assert self.row.median_s is not None
        assert self.own.median_s is not None
        return self.row.median_s / self.own.median_s


def _rivals(rows: Sequence[Row]) -> list[Rival]:
    own = {(*row.cell, row.call): row for row in rows if row.contender == OWN and row.median_s is not None}
    others = (row for row in rows if row.median_s is not None and not row.contender.startswith((OWN, *_FLOORS)))
    return [Rival(row, own[(*row.cell, row.call)]) for row in others if (*row.cell, row.call) in own]


def faster_peers(rows: Sequence[Row]) -> list[Rival]:
    """Every case in which a peer takes less time than spikescan."""
    return [rival for rival in _rivals(rows) if rival.times < 1]


def reason(row: Row) -> str:
    """Why this peer is faster, where it is known from how both are written; else "not explained"."""
    for applies, text in _REASONS:
        if applies(row):
            return text
    return "not explained"


_REASONS: list[tuple[Callable[[Row], bool], str]] = [
    (
        lambda row: row.kind in ("layer", "training") and row.task in ("psn", "masked_psn"),
        "theirs is one matrix product by the processor's own library; ours sums over time in order in the forward, so that "
        "the bits do not depend on how a sequence is cut (docs/design.md, Numerics)",
    ),
    (
        lambda row: row.kind == "layer" and row.contender.startswith("JAX") and math.prod(row.sizes) <= _FEW,
        "so few neuron-steps that what autograd and Python do around our kernels, up to 0.7 ms with AVX2, takes as long",
    ),
    (
        lambda row: row.kind == "stream" and row.contender.startswith("JAX"),
        "XLA compiles the step of the whole network into one program; here each layer is a call from Python",
    ),
    (
        lambda row: row.kind == "start" and row.contender in _PYTORCH,
        "nothing is compiled there",
    ),
    (
        lambda row: row.kind == "start",
        "one program is compiled there; here each kernel by itself, once a machine: the second process finds them on disk",
    ),
]


def write_report(rows: Sequence[Row], folder: Path) -> list[Path]:
    """``peers.md`` and ``peers-TASK.svg`` in `folder`; returns their paths."""
    if not rows:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    plots = {folder / f"peers-{task}.svg": _plot(rows, task) for task in _tasks(rows) if _lines(rows, task, work.BOTH)}
    page = folder / "peers.md"
    for path, text in {**plots, page: _page(rows)}.items():
        write_whole(path, lambda temporary, text=text: temporary.write_text(text, encoding="utf-8"))
    return [page, *plots]


def _page(rows: Sequence[Row]) -> str:
    parts = [
        ("", _introduction(rows)),
        ("## What was aimed at", _targets(rows)),
        ("## Where a peer is faster", _losses(rows)),
        ("## Time against T", _growth(rows)),
        ("## Share of the memory floor", _floors(rows)),
        ("## Other sizes", _sizes(rows)),
        ("## Peak memory", _memory(rows)),
        ("## Training", _training(rows)),
        ("## Step by step", _steps(rows)),
        ("## Time to the first result", _first(rows)),
        ("## Do the outputs agree?", _agreement(rows)),
        ("## Not measured", _missing(rows)),
    ]
    return "# spikescan beside other libraries\n" + "".join(
        f"\n{head}\n\n{text}\n" if head else f"\n{text}\n" for head, text in parts if text
    )


def _introduction(rows: Sequence[Row]) -> str:
    where = "\n".join(f"* {machine}" for machine in sorted({row.machine for row in rows}))
    return f"""`python -m benchmarks.peers` measured this and wrote this page; `peers.csv` has the numbers. Machine, versions:

{where}

Every library runs in a process and an environment of its own, on the same cores, with the same inputs and weights from one
file. Outputs and gradients are compared with spikescan's before anything is timed; the contenders then take turns, and
medians are shown, with the least and the most behind them where there is room. All processes keep freed memory; idle threads
wait as each library has it (`import spikescan` sets `OMP_WAIT_POLICY=PASSIVE`). SpikingJelly
and snnTorch run as their documentation shows on a CPU; "PyTorch" is the equation in plain torch; "JAX" is the equation
written in JAX and compiled by XLA, by `lax.scan`, by `lax.associative_scan`, or without a recurrence. In brackets: how many
times as long as spikescan."""


def _targets(rows: Sequence[Row]) -> str:
    rivals = _rivals(rows)
    layers = [rival for rival in rivals if rival.row.kind == "layer"]
    long = [rival for rival in layers if rival.row.call == work.BOTH and rival.row.sizes[0] >= 1024]
    training = [r for r in rivals if r.row.kind == "training" and r.row.contender.startswith(_PYTORCH)]
    steps = [rival for rival in rivals if rival.row.kind in ("step", "stream")]
    table = [
        _target("faster than every peer in every cell", layers, 1),
        _target(f"at least 5 times faster in {work.BOTH} at T >= 1,024", long, 5),
        _target("training at least 10 times faster than the fastest PyTorch peer", training, 10),
        _target("`step` at least 10 times faster", steps, 10),
        *_psn_target(rows),
    ]
    return markdown(["aim", "cells that meet it", "the nearest peer"], filter(None, table))


def _target(aim: str, rivals: list[Rival], times: float) -> list[str]:
    """One aim: cells where the fastest peer takes at least `times` as long."""
    if not rivals:
        return []
    fastest: dict[tuple[str, ...], Rival] = {}
    for rival in rivals:
        key = (*rival.row.cell, rival.row.call)
        fastest[key] = min(fastest.get(key, rival), rival, key=lambda each: each.times)
    met = sum(rival.times >= times for rival in fastest.values())
    least = min(fastest.values(), key=lambda each: each.times)
    nearest = f"{least.row.contender}: {least.times:.2g} times our time in {_named(least.row)}"
    return [aim, f"{met} of {len(fastest)}", nearest]


def _psn_target(rows: Sequence[Row]) -> Iterator[list[str]]:
    """SpikingJelly's PSN beside our PSN and DSN at the size of the PSN paper's comparison."""
    shape = work.shown(work.PSN_SHAPE)
    for call in (work.FORWARD, work.BOTH):
        found = {(row.task, row.contender): row.median_s for row in rows if (row.shape, row.call) == (shape, call)}
        theirs = found.get(("psn", "SpikingJelly"))
        for task, times in (("dsn", 4), ("psn", 1)):
            ours = found.get((task, OWN))
            if theirs and ours:
                aim = f"our {task.upper()} at least {times} times as fast as SpikingJelly's PSN at {shape}, {call}"
                verdict = "yes" if theirs / ours >= times else "no"
                yield [aim, verdict, f"{_ms(theirs)} there, {_ms(ours)} here: {theirs / ours:.2g} times"]


def _losses(rows: Sequence[Row]) -> str:
    lost = sorted(faster_peers(rows), key=lambda rival: rival.times)
    if not lost:
        return "In no cell."
    head = ["cell", "peer", "there", "here", "reason"]
    table = (
        [_named(each.row), each.row.contender, _spread(each.row), _spread(each.own), reason(each.row)] for each in lost
    )
    return f"{len(lost)} of {len(_rivals(rows))} comparisons.\n\n" + markdown(head, table)


def _growth(rows: Sequence[Row]) -> str:
    """Time against T at the same number of neuron-steps."""
    parts = [
        "T x B x C is the same in every column, so a time that does not grow with T has the exponent 0, a product over time "
        "1, and p is fitted to all that was measured."
    ]
    for task in _tasks(rows):
        tables = []
        for call in (work.FORWARD, work.BOTH):
            lines = _lines(rows, task, call)
            if lines:
                shapes = sorted({shape for line in lines.values() for shape in line}, key=_first_size)
                head = [call, *shapes, "p"]
                tables.append(markdown(head, (_grown(name, line, lines, shapes) for name, line in lines.items())))
        if tables:
            picture = f"\n\n![time against T](peers-{task}.svg)" if _lines(rows, task, work.BOTH) else ""
            parts.append(f"### {work.TITLES[task]}\n\n" + "\n\n".join(tables) + picture)
    return "\n\n".join(parts) if len(parts) > 1 else ""


def _grown(name: str, line: dict[str, float], lines: dict[str, dict[str, float]], shapes: list[str]) -> list[str]:
    own = lines.get(OWN, {})
    fitted = exponent([(_first_size(shape), seconds) for shape, seconds in line.items()])
    cells = [_beside(line.get(shape), own.get(shape) if name != OWN else None) for shape in shapes]
    return [name, *cells, "" if fitted is None else f"{fitted:.2f}"]


def _lines(rows: Sequence[Row], task: str, call: str) -> dict[str, dict[str, float]]:
    """Seconds by contender and shape, of the cells with one number of neuron-steps: the most frequent."""
    found = [r for r in rows if (r.kind, r.task, r.call) == ("layer", task, call) and r.median_s is not None]
    if not found:
        return {}
    volume = statistics.mode(math.prod(row.sizes) for row in found)
    lines: dict[str, dict[str, float]] = {}
    for row in found:
        if math.prod(row.sizes) == volume and row.median_s is not None:
            lines.setdefault(row.contender, {})[row.shape] = row.median_s
    return lines


def _floors(rows: Sequence[Row]) -> str:
    adds = {row.cell: row.median_s for row in rows if row.call == work.FLOOR}
    table = [
        [_named(row), f"{_FLOOR[row.call] * add / row.median_s:.0%}", f"{row.median_s / add:.1f}"]
        for row in rows
        if row.contender == OWN and row.call in _FLOOR and row.median_s and (add := adds.get(row.cell))
    ]
    text = (
        "The floor is what reading and writing memory once takes at the least, by `torch.add(x, 1, out=y)` in the same "
        "turns: 8 bytes a neuron-step forward, 20 forward and backward. A product over time is bound by arithmetic instead."
    )
    return f"{text}\n\n" + markdown(["cell", "share of the floor", "times add"], table) if table else ""


def _sizes(rows: Sequence[Row]) -> str:
    """Cells off the line of constant size."""
    on_line = {shape for task in _tasks(rows) for line in _lines(rows, task, work.BOTH).values() for shape in line}
    others = [row for row in rows if row.kind == "layer" and row.shape not in on_line and row.call != work.FLOOR]
    return _beside_each_other(others)


def _beside_each_other(rows: Sequence[Row], scale: Callable[[float], str] = lambda s: _ms(s)) -> str:
    """A line for each cell and call, a column for each contender."""
    names = list(dict.fromkeys(row.contender for row in rows))
    by: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        by.setdefault((*row.cell, row.call), {})[row.contender] = row
    table = []
    for line in by.values():
        own = line[OWN].median_s if OWN in line else None
        cells = [
            _beside(line[name].median_s, own if name != OWN else None, scale) if name in line else "" for name in names
        ]
        table.append([_named(next(iter(line.values()))), *cells])
    return markdown(["cell", *names], table) if table else ""


def _memory(rows: Sequence[Row]) -> str:
    found = [row for row in rows if row.peak_bytes is not None]
    names = list(dict.fromkeys(row.contender for row in found))
    by: dict[tuple[str, str, str], dict[str, int]] = {}
    for row in found:
        by.setdefault(row.cell, {})[row.contender] = row.peak_bytes or 0
    table = []
    for (_, task, shape), line in by.items():
        unit = 4 * math.prod(map(int, shape.split("x")))
        cells = (f"{line[name] / unit:.1f}" if name in line else "" for name in names)
        table.append([f"{work.TITLES[task]} {shape}", *cells])
    text = f"Of {work.BOTH}, in tensors of the input's size; spikes and the input's gradient are two of them."
    return f"{text}\n\n" + markdown(["cell", *names], table) if table else ""


def _training(rows: Sequence[Row]) -> str:
    text = (
        f"Seconds for an epoch of {work.TRAINING_IMAGES:,} images of sequential MNIST, {work.PIXELS} steps, {work.DEPTH} x "
        f"{work.WIDTH} neurons with layer norm, Adam: {_EPOCH} times the median batch of {work.BATCH}. "
        f'"{work.NO_NEURONS.capitalize()}" is the same batch with the neurons left out, in torch: linear layers, norms and '
        "update, which no neuron that is used with these can be faster than."
    )
    lines = [row._replace(call=work.TRAIN) for row in rows if row.kind == "training"]  # the floor in the same line
    table = _beside_each_other(lines, lambda s: f"{_three(s * _EPOCH)} s")
    return f"{text}\n\n{table}" if table else ""


def _steps(rows: Sequence[Row]) -> str:
    text = (
        f'Microseconds a time step, one sample: "step" is one layer of {work.WIDTH} neurons, "stream" a network of '
        f"{work.DEPTH} x {work.WIDTH} with layer norm over an image of {work.PIXELS} pixels. spikescan runs both by "
        "`spikescan.stream(model).push`, JAX by one compiled function, the others call layer by layer."
    )
    table = _beside_each_other([r for r in rows if r.kind in ("step", "stream")], lambda s: f"{1e6 * s:.0f} µs")
    return f"{text}\n\n{table}" if table else ""


def _first(rows: Sequence[Row]) -> str:
    text = (
        f'From starting Python to the end of the first {work.BOTH}: imports and compiling. "Empty cache" is the first time '
        "on a machine; spikescan keeps its kernels on disk. JAX runs as it is set by default, without a cache."
    )
    table = _beside_each_other([r for r in rows if r.kind == "start"], lambda s: f"{s:.2f} s")
    return f"{text}\n\n{table}" if table else ""


def _agreement(rows: Sequence[Row]) -> str:
    found = [row for row in rows if row.spikes_differing is not None]
    table = []
    for task, name in dict.fromkeys((row.task, row.contender) for row in found):
        mine = [row for row in found if (row.task, row.contender) == (task, name)]
        spikes = max(row.spikes_differing or 0.0 for row in mine)
        errors = [
            max((row.error or 0.0 for row in mine if (row.kind == "layer") == layer), default=0.0) for layer in (1, 0)
        ]
        table.append([work.TITLES[task], name, f"{spikes:.1e}", *(f"{error:.1e}" for error in errors)])
    head = ["neuron", "peer", "share of spikes", "gradients", "answers and losses of networks"]
    text = "The largest differences from spikescan over all cells, relative (2-norm) for gradients, answers and losses."
    return f"{text}\n\n" + markdown(head, table) if table else ""


def _missing(rows: Sequence[Row]) -> str:
    table = [[_named(row), row.contender, row.without] for row in rows if row.without]
    return markdown(["cell", "contender", "why"], table) if table else ""


def _plot(rows: Sequence[Row], task: str) -> str:
    colours = [LIGHT.first, LIGHT.second, LIGHT.third, "#cc79a7", "#e69f00"]
    with LIGHT.figure(6.4, 3.4) as figure:
        axes = figure.subplots()
        for i, (name, line) in enumerate(_lines(rows, task, work.BOTH).items()):
            points = sorted((_first_size(shape), 1e3 * seconds) for shape, seconds in line.items())
            style = {"color": colours[i % len(colours)], "marker": "o", "markersize": 4.0, "label": name}
            axes.plot([T for T, _ in points], [ms for _, ms in points], **style, zorder=3 if name == OWN else 2)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:,g}")
        axes.yaxis.set_minor_formatter("")
        lengths = sorted({_first_size(shape) for line in _lines(rows, task, work.BOTH).values() for shape in line})
        axes.set_xticks(lengths, [f"{length:,}" for length in lengths])
        axes.set_title(f"{work.TITLES[task]}: {work.BOTH}")
        axes.set_xlabel("T, at the same T x B x C")
        axes.set_ylabel("milliseconds")
        axes.grid(visible=True, axis="y")
        axes.legend(fontsize=8)
        return svg(figure)


def _tasks(rows: Iterable[Row]) -> list[str]:
    found = {row.task for row in rows if row.kind == "layer"}
    return [task for task in work.CONTENDERS if task in found]


def _first_size(shape: str) -> int:
    return int(shape.split("x")[0])


def _named(row: Row) -> str:
    what = row.call if row.kind == "layer" else row.kind
    return f"{work.TITLES[row.task]} {row.shape} {what}"


def _ms(seconds: float) -> str:
    return f"{_three(1e3 * seconds)} ms" if seconds < 1 else f"{_three(seconds)} s"


def _times(value: float) -> str:
    return f"{value:.2g}" if value < 100 else f"{value:,.0f}"


def _three(value: float) -> str:
    """Three digits, without a power of ten."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def _spread(row: Row) -> str:
    """Median (least to most)."""
    values = [value for value in (row.median_s, row.least_s, row.most_s) if value is not None]
    median, *others = map(_ms, values)
    return f"{median} ({' to '.join(others)})"


def _beside(seconds: float | None, own: float | None, scale: Callable[[float], str] = _ms) -> str:
    if seconds is None:
        return "-"
    return scale(seconds) + (f" ({_times(seconds / own)})" if own else "")
