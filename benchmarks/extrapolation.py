"""A language model beyond the length it was trained at: ``python -m benchmarks.extrapolation``.

A small network learns Tiny Shakespeare by character in pieces of 2,048, with each neuron alike, then reads the same 98,304
characters of the test text in pieces of 1,024 to 32,768, each from rest. Every piece is read in parallel over time and step by
step, whose losses must agree. The loss by position is kept too, and beside it what the same characters cost when they are read
in pieces of the trained length: that difference is the length's alone, whatever the text.

A masked PSN has a row of its matrix for each of the 2,048 positions, and refuses the next one. It has no definition there; what
could be put in place of the missing rows is shown in three ways (`ONWARD`), which are ours.

Every finished cell, a neuron and a seed, is a file in ``docs/results/extrapolation/`` and is not computed again; delete the
file to do so. Training goes on where it was stopped, in the run folder of the cell. ``extrapolation.csv``, ``.md`` and ``.svg``
are made from the cells. On one thread a seed takes about 3 minutes a neuron, 20 for the masked PSN, whose matrix is multiplied
whole.
"""

import argparse
import copy
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.machine import machine, write_rows
from benchmarks.publish import markdown
from spikescan.analysis.theme import LIGHT, svg
from spikescan.data import Batch, Dataset, Split
from spikescan.errors import InputError
from spikescan.files import write_text
from spikescan.neurons import MaskedPSN, SlidingPSN
from spikescan.neurons.base import State, Temporal
from spikescan.neurons.psn import MaskedPSNState, SlidingPSNState
from spikescan.training import experiment_from, load_run, train
from spikescan.training.config import Experiment
from spikescan.training.events import EpochEnd

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "docs/results/extrapolation.csv"
TRAINED = 2048
LENGTHS = (1024, 2048, 4096, 8192, 16384, 32768)
CHARACTERS = 3 * LENGTHS[-1]  # of the 111,539 that the test text scores: whole pieces of every length
BINS = 32
EPOCHS = 5
FIRING = {"kind": "integer", "levels": 4}
NEURONS: dict[str, dict[str, Any]] = {
    "dsn": {"name": "dsn", "initial_decay": [0.6, 0.995], "firing": FIRING},
    "sliding_psn": {"name": "sliding_psn", "order": 32, "firing": FIRING},
    "lif": {"name": "lif", "firing": FIRING},
    "masked_psn": {"name": "masked_psn", "order": 32, "firing": FIRING},
}
COLUMNS = (
    "neuron", "seed", "onward", "length", "start", "end", "loss", "excess", "streamed_loss", "largest_difference",
    "predictions_differing", "characters", "without", "machine",
)  # fmt: skip
PUBLISHED = """\
Published (DSN paper, arXiv 2602.01133: abstract, and third parties' notes of its text): WikiText-103, trained at 2,000 tokens;
the perplexity of DSN is stable to 30,000, sliding PSN goes to about 10,000 with a rising perplexity, masked PSN fails beyond
2,000. Its network has 137 M parameters and reads words; only the pattern can be compared."""
ANCHORS = "interpolated n-grams on the whole test text: 3 characters 2.049, 5 characters 1.669"


def experiment(neuron: str, seed: int, *, epochs: int = EPOCHS, data: dict[str, Any] | None = None) -> Experiment:
    """What a cell trains: the same for every neuron."""
    return experiment_from(
        {
            "data": {"name": "tiny_shakespeare", "steps": TRAINED} | (data or {}),
            "task": {"name": "language", "score_as": "nats"},
            "model": {"name": "mlp", "width": 128, "depth": 3, "residual": "membrane", "readout": "last"},
            "neuron": NEURONS[neuron],
            "optimiser": {"name": "adamw", "lr": 0.005},
            "schedule": {"name": "one_cycle", "warmup": 0.2},
            "epochs": epochs,
            "batch_size": 1,
            "seed": seed,
            "accelerator": "cpu",
        }
    )


def pieces(split: Split, characters: int, length: int) -> Batch:
    """The first `characters` of a text that was cut into samples which follow each other, cut into pieces of `length`."""
    inputs, targets = split.inputs.flatten()[:characters], split.targets.flatten()[:characters]
    return Split(inputs.view(-1, length, 1), targets.view(-1, length), encode=split.encode).batch(slice(None))


def by_steps(model: Temporal, x: Tensor) -> Tensor:
    """Step by step, ``[T, B, K]``."""
    state, outputs = None, []
    for x_t in x:
        y_t, state = model.step(x_t, state)
        outputs.append(y_t)
    return torch.stack(outputs)


def losses(outputs: Tensor, targets: Tensor) -> Tensor:
    """Nats of each character, float64 ``[T, B]``."""
    each = F.cross_entropy(outputs.flatten(0, 1).double(), targets.t().flatten(), reduction="none")
    return each.view(outputs.shape[:2])


def silent(neuron: MaskedPSN) -> tuple[Tensor, Tensor]:
    """Taps and bias of zero: no row, no spikes."""
    return torch.zeros(neuron.order), torch.zeros(())


def last_row(neuron: MaskedPSN) -> tuple[Tensor, Tensor]:
    """The band of the last row, from then on."""
    return neuron.weight[-1, -neuron.order :], neuron.bias[-1]


def mean_row(neuron: MaskedPSN) -> tuple[Tensor, Tensor]:
    """The mean band of all rows that have a whole one."""
    first = neuron.order - 1
    bands = [neuron.weight[t, t - first : t + 1] for t in range(first, neuron.time_steps)]
    return torch.stack(bands).mean(0), neuron.bias[first:].mean()


ONWARD: dict[str, Callable[[MaskedPSN], tuple[Tensor, Tensor]]] = {
    "silent": silent,
    "last row": last_row,
    "mean row": mean_row,
}
"""What stands for the rows that a masked PSN does not have: taps ``[order]`` and bias."""


def go_on(model: Temporal, x: Tensor, row: Callable[[MaskedPSN], tuple[Tensor, Tensor]], known: int) -> Tensor:
    """The outputs for x, of which the masked PSNs know the first steps, and then have this row at every step."""
    outputs, state = model(x[:known])
    after, _ = with_row(copy.deepcopy(model), row)(x[known:], sliding_state(state))
    return torch.cat([outputs, after])


def with_row(model: Temporal, row: Callable[[MaskedPSN], tuple[Tensor, Tensor]]) -> Temporal:
    """`model` with each masked PSN in it replaced by the sliding PSN of one row; in place."""
    for name, neuron in [each for each in model.named_modules() if isinstance(each[1], MaskedPSN)]:
        sliding = SlidingPSN(neuron.order, firing=neuron.firing)
        taps, bias = row(neuron)
        sliding.load_state_dict({"weight": taps, "bias": bias})
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, sliding)
    return model


def sliding_state(state: State) -> State:
    """The state of a model whose masked PSNs have become sliding ones: the window alone."""
    if isinstance(state, MaskedPSNState):
        return SlidingPSNState(state.window)
    return tuple(map(sliding_state, state)) if type(state) is tuple else state


@torch.no_grad()
def evaluate(
    model: Temporal, text: Split, lengths: Sequence[int], trained: int, bins: int = BINS
) -> list[dict[str, Any]]:
    """Rows of every length in parallel and step by step, and by position at the trained and at the longest length.

    The lengths rise, and each divides the last; `trained` is one of them, so that every row is of the same characters.
    """
    characters = len(text.targets.flatten()) // lengths[-1] * lengths[-1]
    known = losses(model(pieces(text, characters, trained).inputs)[0], pieces(text, characters, trained).targets)
    known = known.t().flatten()  # in the order of the text
    rows = []
    for length in lengths:
        batch = pieces(text, characters, length)
        shown = (trained, lengths[-1])
        try:
            outputs, _ = model(batch.inputs)
        except InputError as error:
            rows.append({"length": length, "start": 0, "end": length, "without": f"refused: {error}"})
            for name, row in ONWARD.items():
                each = losses(go_on(model, batch.inputs, row, trained), batch.targets)
                rows += [{"onward": name} | found for found in by_position(each, known, bins if length in shown else 1)]
            continue
        stepped = by_steps(model, batch.inputs)
        each, streamed = losses(outputs, batch.targets), losses(stepped, batch.targets)
        whole, *parts = by_position(each, known, bins if length in shown else 1)
        whole |= {
            "streamed_loss": float(streamed.mean()),
            "largest_difference": float((streamed - each).abs().max()),
            "predictions_differing": int((stepped.argmax(-1) != outputs.argmax(-1)).sum()),
        }
        rows += [whole, *parts]
    return rows


def by_position(each: Tensor, known: Tensor, bins: int) -> Iterator[dict[str, Any]]:
    """A row of all of the losses ``[T, B]``, and if there are several bins one of each; beside the known losses ``[T * B]``."""
    length = len(each)
    excess = each - known.view(-1, length).t()
    width = length // bins
    for start, end in [(0, length), *((at, at + width) for at in range(0, length, width) if bins > 1)]:
        yield {
            "length": length,
            "start": start,
            "end": end,
            "loss": float(each[start:end].mean()),
            "excess": float(excess[start:end].mean()),
            "characters": each[start:end].numel(),
        }


def measure(neuron: str, seed: int, folder: Path, epochs: int = EPOCHS) -> dict[str, Any]:
    """Train one cell in its run folder, or go on there, and evaluate it."""
    torch.set_num_threads(1)
    for event in train(experiment(neuron, seed, epochs=epochs), folder, resume=(folder / "config.yaml").exists()):
        if isinstance(event, EpochEnd):
            print(f"{neuron} {seed}: epoch {event.epoch}, {event.metrics['validation_nats']:.3f} nats", flush=True)
    run = load_run(folder)
    started = time.perf_counter()
    rows = evaluate(run.model, first(run.dataset, CHARACTERS), LENGTHS, TRAINED)
    return {
        "neuron": neuron,
        "seed": seed,
        "parameters": sum(parameter.numel() for parameter in run.model.parameters()),
        "epoch": run.epoch,
        "validation_loss": run.metrics[run.epoch - 1]["validation_loss"],
        "firing_rate": run.metrics[run.epoch - 1]["firing_rate"],
        "training_seconds": sum(row["seconds"] for row in run.metrics),
        "evaluation_seconds": time.perf_counter() - started,
        "machine": machine(),
        "rows": rows,
    }


def first(dataset: Dataset, characters: int) -> Split:
    """So much of the test text, in one piece."""
    inputs, targets = (each.flatten()[:characters] for each in (dataset.test.inputs, dataset.test.targets))
    return Split(inputs.view(1, -1, 1), targets.view(1, -1), encode=dataset.test.encode)


def read_cells(folder: Path) -> list[dict[str, Any]]:
    """All that are finished, by neuron and seed."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
    names = list(NEURONS)
    return sorted(found, key=lambda cell: (names.index(cell["neuron"]), cell["seed"]))


def write_results(cells: list[dict[str, Any]], output: Path) -> None:
    """The table, the page and its picture."""
    shared = ("neuron", "seed", "machine")
    rows = [{name: cell[name] for name in shared} | row for cell in cells for row in cell["rows"]]
    write_rows(output, COLUMNS, map(rounded, rows))
    write_text(output.with_suffix(".svg"), plot(cells))
    write_text(output.with_suffix(".md"), page(cells, output.stem))


def rounded(row: dict[str, Any]) -> dict[str, Any]:
    """Losses to a hundred-thousandth of a nat; differences of rounding as they are."""
    digits = {name: f"{row[name]:.5f}" for name in ("loss", "excess", "streamed_loss") if name in row}
    tiny = {name: f"{row[name]:.2e}" for name in ("largest_difference",) if name in row}
    return row | digits | tiny


def page(cells: list[dict[str, Any]], picture: str) -> str:
    """Markdown."""
    lengths = [f"{length:,}" for length in LENGTHS]
    parts = [
        "# Reading on beyond the trained length\n",
        f"Made by `python -m benchmarks.extrapolation`; `{picture}.csv` has the numbers, `{picture}/` a file for each cell. "
        f"Tiny Shakespeare by character, trained for {EPOCHS} epochs in pieces of {TRAINED:,}: 3 blocks of 128 with a "
        "real-valued residual, integer spikes up to 4, AdamW; the same for every neuron and tuned for none. Read are the same "
        f"{CHARACTERS:,} characters of the test text at every length, in pieces that each start at rest.\n",
        "Loss in nats a character: mean over seeds, the range in brackets.\n",
        markdown(["neuron", *lengths], table(cells, "loss")) + "\n",
        f"Beside it: {ANCHORS}; uniform 4.174.\n",
        f"The same less the loss of the same characters in pieces of {TRAINED:,}, in thousandths of a nat. Below 0 is what the "
        "fewer starts at rest save; a neuron that does not bear the length goes above.\n",
        markdown(["neuron", *lengths], table(cells, "excess")) + "\n",
        f"![loss by length and by position]({picture}.svg)\n",
        "## Parallel and step by step\n",
        "The largest over seeds and lengths: difference of the mean loss, of the loss of one character, and predictions that "
        "differ.\n",
        markdown(["neuron", "mean loss", "one character", "predictions"], streaming(cells)) + "\n",
        "## The masked PSN beyond its matrix\n",
        MASKED + "\n",
        "## What was claimed\n",
        PUBLISHED + "\n",
        "## The runs\n",
        markdown(
            ["neuron", "seed", "parameters", "validation, nats", "spikes a neuron and step", "training, s"], runs(cells)
        ),
        "",
        "; ".join(sorted({cell["machine"] for cell in cells})) + ".\n",
    ]
    return "\n".join(parts)


MASKED = f"""\
`MaskedPSN({TRAINED}, 32)` has a row of weights and a threshold for each position, and raises `InputError` at position
{TRAINED + 1:,}: no published equation says what follows. Starting again from rest every {TRAINED:,} characters gives the loss
at {TRAINED:,} for ever. The rows "silent", "last row" and "mean row" put something in place of the missing rows, from position
{TRAINED + 1:,} on: no spikes; the band and threshold of the last row; the mean of all rows. It was trained fully masked: with
the paper's annealing (lambda from 0) it would see the characters that it has to predict."""


def table(cells: list[dict[str, Any]], value: str) -> Iterator[list[str]]:
    """A line for each neuron, and for each way on."""
    for neuron, onward in lines(cells):
        texts = []
        for length in LENGTHS:
            found = [row.get(value) for row in whole(cells, neuron, onward) if row["length"] == length]
            texts.append(spread(found, value))
        yield [shown(neuron, onward), *texts]


def lines(cells: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Neurons, and ways on."""
    return list(dict.fromkeys((cell["neuron"], row.get("onward", "")) for cell in cells for row in cell["rows"]))


def shown(neuron: str, onward: str) -> str:
    return f"{neuron}, then {onward}" if onward else neuron


def whole(cells: list[dict[str, Any]], neuron: str, onward: str) -> list[dict[str, Any]]:
    """The rows of whole pieces."""
    return [row for row in rows_of(cells, neuron, onward) if (row["start"], row["end"]) == (0, row["length"])]


def rows_of(cells: list[dict[str, Any]], neuron: str, onward: str) -> list[dict[str, Any]]:
    return [
        row for cell in cells if cell["neuron"] == neuron for row in cell["rows"] if row.get("onward", "") == onward
    ]


def spread(values: Sequence[float | None], value: str) -> str:
    """Mean and range over seeds; a value that is None was refused."""
    if not values:
        return ""
    known = [number for number in values if number is not None]
    if not known:
        return "refused"
    form = (lambda number: f"{number:.4f}") if value == "loss" else (lambda number: f"{1e3 * number:+.1f}")
    mean = form(statistics.mean(known))
    return mean if len(known) == 1 else f"{mean} [{form(min(known))}, {form(max(known))}]"


def streaming(cells: list[dict[str, Any]]) -> Iterator[list[str]]:
    """How far the two ways to run are apart."""
    for neuron in dict.fromkeys(cell["neuron"] for cell in cells):
        rows = [row for row in whole(cells, neuron, "") if "streamed_loss" in row]
        means = max(abs(row["streamed_loss"] - row["loss"]) for row in rows)
        one = max(row["largest_difference"] for row in rows)
        predictions = max(row["predictions_differing"] for row in rows)
        yield [neuron, f"{means:.1e}", f"{one:.1e}", f"{predictions} of {rows[0]['characters']:,}"]


def runs(cells: list[dict[str, Any]]) -> Iterator[list[str]]:
    """One line a cell."""
    for cell in cells:
        yield [
            cell["neuron"],
            str(cell["seed"]),
            f"{cell['parameters']:,}",
            f"{cell['validation_loss']:.4f}",
            f"{cell['firing_rate']:.3f}",
            f"{cell['training_seconds']:.0f}",
        ]


def plot(cells: list[dict[str, Any]]) -> str:
    """Loss by length; by position over the longest; and what of it is the length's."""
    colours = dict(zip(NEURONS, (LIGHT.first, LIGHT.second, LIGHT.third, "#cc79a7"), strict=True))
    styles: dict[str, Any] = {"": "-", "silent": ":", "last row": (0, (5, 2)), "mean row": (0, (3, 1, 1, 1))}
    with LIGHT.figure(11.0, 7.4) as figure:
        (by_length, text), (position, excess) = figure.subplots(2, 2)
        text.set_axis_off()
        for neuron, onward in lines(cells):
            style = {"color": colours[neuron], "linestyle": styles[onward], "label": shown(neuron, onward)}
            points = over_seeds(whole(cells, neuron, onward), "length", "loss")
            by_length.plot(*points, **style, marker="o", markersize=3.5)
            parts = [row for row in rows_of(cells, neuron, onward) if row["end"] - row["start"] < row["length"]]
            long = [row for row in parts if row["length"] == LENGTHS[-1]]
            position.plot(*over_seeds(long, "end", "loss", to=TRAINED), **style)
            excess.plot(*over_seeds(long, "end", "excess", 1e3, to=TRAINED), **style)
        by_length.set_title("loss by length of a piece")
        by_length.set_xscale("log", base=2)
        by_length.set_xticks(LENGTHS, [f"{length // 1024}k" for length in LENGTHS])
        by_length.set_xlabel("characters of a piece")
        by_length.set_ylabel("nats a character")
        position.set_title(f"loss by position, pieces of {LENGTHS[-1]:,}")
        position.set_ylabel("nats a character")
        excess.set_title(f"above the same characters in pieces of {TRAINED:,}")
        excess.set_ylabel("thousandths of a nat")
        excess.set_yscale("symlog", linthresh=10.0)
        excess.set_yticks([tick for tick in (-20, -10, -5, 0, 5, 10, 100, 1000) if tick <= excess.get_ylim()[1] + 5])
        excess.yaxis.set_major_formatter("{x:g}")
        for axes in (by_length, position, excess):
            axes.grid(visible=True, axis="y")
            axes.axvline(TRAINED, color=LIGHT.faint, zorder=0)
        for axes in (position, excess):
            axes.set_xlabel(f"position (means over {TRAINED:,}; line: trained length)")
        handles, names = by_length.get_legend_handles_labels()
        text.legend(handles, names, loc="center left", fontsize=9)
        return svg(figure)


def over_seeds(
    rows: Iterable[dict[str, Any]], x: str, y: str, factor: float = 1.0, to: int = 1
) -> tuple[list[int], list[float]]:
    """Means of y by x, rounded up to a multiple of `to`; of the rows that have y."""
    found: dict[int, list[float]] = {}
    for row in rows:
        if y in row:
            found.setdefault(-(-row[x] // to) * to, []).append(factor * row[y])
    return sorted(found), [statistics.mean(found[each]) for each in sorted(found)]


def main() -> None:
    """Compute the cells that are not there yet, then write what is made from all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=OUTPUT, help="the CSV file; the others lie beside it")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs/extrapolation", help="where run folders are kept")
    parser.add_argument("--neurons", nargs="+", choices=NEURONS, default=list(NEURONS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="fewer for a trial, with another --output")
    given = parser.parse_args()
    folder = given.output.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    for seed, neuron in itertools.product(given.seeds, given.neurons):
        path = folder / f"{neuron}-{seed}.json"
        if not path.exists():
            cell = measure(neuron, seed, given.runs / f"{neuron}-{seed}", given.epochs)
            write_text(path, json.dumps(cell, indent=1) + "\n")
            write_results(read_cells(folder), given.output)
            print(f"{neuron} {seed}: {cell['training_seconds']:.0f} s, {cell['evaluation_seconds']:.0f} s", flush=True)
    write_results(read_cells(folder), given.output)


if __name__ == "__main__":
    main()
