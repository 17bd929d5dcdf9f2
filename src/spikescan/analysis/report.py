"""The report of a run: one ``report.html`` that holds everything it shows, and the picture for a README.

Needs ``pip install 'spikescan[train]'``.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from spikescan.analysis import page, pictures
from spikescan.analysis.agreement import Agreement
from spikescan.analysis.findings import Example, Findings, find
from spikescan.analysis.latency import Latency
from spikescan.analysis.recording import FiringRate
from spikescan.analysis.theme import DARK, LIGHT
from spikescan.errors import InputError
from spikescan.files import write_text, write_whole
from spikescan.training.run import Run

__all__ = ["report_run", "write_demo_picture", "write_report"]


def report_run(run: Run, *, agreement: Agreement | None = None, sample: int = 0) -> Path:
    """Write ``report.html`` into a run folder and return its path.

    Args:
        run: from `spikescan.training.load_run`.
        agreement: measured before; None takes ``agreement.json`` in the folder, which `spikescan check` writes, or else
            measures the test split, if the model can be stepped.
        sample: which sample of the test split to follow through the model.

    Raises:
        InputError: the test split has no such sample.
    """
    return write_report(run.folder / "report.html", find(run, agreement=agreement, sample=sample))


def write_report(path: Path, findings: Findings) -> Path:
    """Write a page with all its pictures into one file, whole or not at all; returns `path`."""
    write_text(path, page.page(findings.title, findings.subtitle, _sections(findings)))
    return path


def write_demo_picture(path: Path, findings: Findings, *, dark: bool = False) -> Path:
    """Write the picture for a README as ``.svg`` or ``.png``; it needs an example and the agreement. Returns `path`."""
    if findings.example is None or findings.agreement is None or path.suffix not in (".svg", ".png"):
        raise InputError(
            f"The picture {path} needs findings with an example and an agreement, and a name that ends in .svg or .png."
        )
    shown = findings.example
    figure = pictures.demo(
        shown.recording, findings.agreement, image=shown.image, target=shown.target, theme=DARK if dark else LIGHT
    )
    kind = path.suffix.removeprefix(".")
    write_whole(path, lambda temporary: figure.savefig(temporary, format=kind, dpi=160, metadata=_UNDATED[kind]))
    return path


_UNDATED = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}
"""Nothing that changes from day to day."""


def _sections(findings: Findings) -> Iterator[str]:
    yield page.tiles(_headlines(findings))
    if findings.agreement is not None:
        yield _agreement(findings.agreement)
    if findings.example is not None:
        yield _activity(findings.example)
        yield from _insides(findings.example)
    if findings.metrics:
        yield _learning(findings.metrics, findings.best_epoch)
    if findings.firing:
        yield _firing(findings.firing)
    if findings.latency is not None:
        yield _speed(findings.latency)
    facts = {"Configuration": findings.config, "Environment": findings.environment}
    yield page.grid(page.section(name, page.entries(values)) for name, values in facts.items() if values is not None)


def _headlines(findings: Findings) -> Iterator[tuple[str, str, str]]:
    if findings.test is not None:
        value = findings.test.value
        shown = f"{value:.1%}" if findings.test.name in ("accuracy", "agreement") else f"{value:.4g}"
        yield f"test {findings.test.name}", shown, f"on {findings.test.samples:,} samples"
    if findings.agreement is not None:
        # Each way is a comparison of its own; the headline is the worst of them.
        predictions = max((way.predictions for way in findings.agreement.ways), key=lambda count: count.differing)
        spikes = max((way.spikes for way in findings.agreement.ways), key=lambda count: count.differing)
        yield "predictions differ", f"{predictions.differing:,}", f"of {predictions.total:,}"
        yield "spikes differ", f"{spikes.differing:,}", f"of {_short(spikes.total)}"
    seconds = [row["seconds"] for row in findings.metrics if "seconds" in row]
    if seconds:
        yield "training time", _duration(sum(seconds)), f"for {len(seconds)} epochs"
    speeds = sorted(row["neuron_steps_per_second"] for row in findings.metrics if "neuron_steps_per_second" in row)
    if speeds:
        yield "training speed", _short(speeds[len(speeds) // 2]), "neuron-steps / s"
    if findings.firing:
        neurons = sum(rate.per_neuron.numel() for rate in findings.firing.values())
        total = sum(float(rate.per_neuron.sum()) for rate in findings.firing.values())
        yield "firing rate", f"{total / neurons:.3g}", "mean spikes a step"
    yield "parameters", _short(findings.parameters), "in the network"


def _agreement(agreement: Agreement) -> str:
    ways = agreement.ways
    step = ways[-1]
    verdict = page.verdict(
        agreement.holds,
        f"{step.predictions} predictions and {step.spikes} spikes differ when the model runs {step.name}.",
        f"{agreement.samples:,} samples of {agreement.steps:,} steps, {agreement.dtype} on {agreement.device}, against "
        "the parallel run. In float32 up to 1 spike of 100,000 may differ, since matrix products round by their shape.",
    )
    rows = [
        [f"predictions, of {step.predictions.total:,}", *(f"{way.predictions.differing:,}" for way in ways)],
        [f"spikes, of {step.spikes.total:,}", *(f"{way.spikes.differing:,}" for way in ways)],
        *[
            [f"in {name}, of {count.total:,}", *(f"{way.layers[name].differing:,}" for way in ways)]
            for name, count in step.layers.items()
        ],
        ["largest difference of an output", *(f"{way.largest_output_difference:.2g}" for way in ways)],
        ["membrane to threshold, where differences begin", *(_margin(way.largest_margin) for way in ways)],
    ]
    columns = ["differing from the parallel run", *(way.name for way in ways)]
    return page.section(
        "Same weights, same spikes",
        verdict,
        page.table(columns, rows, "The same samples, run in several ways with carried state"),
    )


def _activity(example: Example) -> str:
    recording = example.recording
    drawn = page.picture(
        partial(pictures.activity, recording, image=example.image, target=example.target),
        f"Input, spike rasters of the layers {', '.join(recording.layers)}, and output over time.",
        "Each row of a raster is a neuron, each column a time step; a stronger shade is more spikes. The bars beside a "
        "raster are the mean spikes a step of each neuron.",
        wide=True,
    )
    return page.section("One test sample on its way through the network", drawn)


def _insides(example: Example) -> Iterator[str]:
    recording = example.recording
    shown = {name: layer for name, layer in recording.layers.items() if "membrane" in layer.traces}
    folds = [
        page.fold(
            name,
            page.picture(
                partial(pictures.inside, name, layer, steps=int(recording.lengths[0])),
                f"Spikes, membrane and decay of some neurons of {name} over time.",
                "From a quick to a slow neuron, over the same sample. Dashed: the membranes at which the number of "
                "spikes changes. The decay is what the membrane keeps from one step to the next, on a logit axis.",
                wide=True,
            ),
            is_open=place == 0,
        )
        for place, (name, layer) in enumerate(shown.items())
    ]
    if folds:
        yield page.section("Inside the neurons", *folds)


def _learning(metrics: Sequence[Mapping[str, float]], best_epoch: int | None) -> str:
    epochs = _column(metrics, "epoch")
    curves = []
    for name in (column.removeprefix("train_") for column in metrics[0] if column.startswith("train_")):
        train, validation = _column(metrics, f"train_{name}"), _column(metrics, f"validation_{name}")
        curves.append(
            page.picture(
                partial(pictures.learning_curve, epochs, train, validation, name=name, best=best_epoch),
                f"{name} over the epochs; at the end {_last(train)} in training, {_last(validation)} in validation.",
            )
        )
    prefix = "firing_rate."
    rates = {name.removeprefix(prefix): _column(metrics, name) for name in metrics[0] if name.startswith(prefix)}
    if rates:
        described = "; ".join(f"{name} {_last(values)}" for name, values in rates.items())
        curves.append(
            page.picture(
                partial(pictures.rate_curves, epochs, rates), f"Firing rates over the epochs; at the end {described}."
            )
        )
    speeds = _column(metrics, "neuron_steps_per_second")
    if speeds:
        curves.append(
            page.picture(
                partial(pictures.speed_curve, epochs, speeds),
                f"Training speed over the epochs; at the end {_short(speeds[-1])} neuron-steps a second.",
            )
        )
    kept = [] if best_epoch is None else [page.remark(f"Dotted: epoch {best_epoch:g}, whose weights are used here.")]
    return page.section("Learning", page.grid(curves), *kept)


def _firing(firing: Mapping[str, FiringRate]) -> str:
    described = "; ".join(f"{name} {rate.mean:.3g}, {rate.silent:.1%} silent" for name, rate in firing.items())
    drawn = page.picture(
        partial(pictures.firing_rates, firing),
        f"Firing rates: {described}.",
        "Over the test samples: a dot for each neuron, a bar at the mean of the layer. Silent neurons never fired.",
        wide=True,
    )
    return page.section("Firing rates", drawn)


def _speed(latency: Latency) -> str:
    stepped = latency.step_seconds * latency.steps
    rows = [
        ["in parallel", _duration(latency.parallel_seconds), _duration(latency.parallel_seconds / latency.steps)],
        ["step by step", _duration(stepped), _duration(latency.step_seconds)],
    ]
    return page.section(
        "Speed of inference",
        page.table(
            ["", "whole sequence", "time step"],
            rows,
            f"{latency.samples} sample of {latency.steps:,} steps, medians; 99 of 100 steps take at most "
            f"{_duration(latency.step_seconds_99)}",
        ),
    )


def _margin(margin: float | None) -> str:
    return "none" if margin is None else f"{margin:.2g}"


def _column(metrics: Sequence[Mapping[str, float]], name: str) -> list[float]:
    return [row[name] for row in metrics] if all(name in row for row in metrics) else []


def _last(values: Sequence[float]) -> str:
    return f"{values[-1]:.4g}" if values else "unknown"


def _short(number: float) -> str:
    """Four digits at most, with the field's letters for thousands and so on."""
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if number >= size:
            return f"{number / min(size, 1e3 if letter == ' k' else size):.3g}{letter}"
    return f"{number:,.0f}"


def _duration(seconds: float) -> str:
    if seconds >= 60:
        return f"{seconds / 60:.1f} min"
    for size, unit in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"
