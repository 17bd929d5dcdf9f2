"""What every run has: its score, its agreement, its learning, its speed."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from spikescan.analysis import page, pictures
from spikescan.analysis.findings import Findings
from spikescan.analysis.sections.words import duration, joules, short

__all__ = ["agreement", "facts", "firing", "headlines", "learning", "speed"]


def headlines(findings: Findings) -> str:
    """The numbers that matter most."""
    return page.tiles(_headlines(findings))


def agreement(findings: Findings) -> str | None:
    """What differs when the model runs in another way."""
    measured = findings.agreement
    if measured is None:
        return None
    ways = measured.ways
    step = ways[-1]
    verdict = page.verdict(
        measured.holds,
        f"{step.predictions} predictions and {step.spikes} spikes differ when the model runs {step.name}.",
        f"{measured.samples:,} samples of {measured.steps:,} steps, {measured.dtype} on {measured.device}, against "
        "the parallel run. In float32 up to 1 spike of 100,000 may differ, since products of torch round by their shape.",
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


def learning(findings: Findings) -> str | None:
    """Loss, score, firing rates and speed over the epochs."""
    metrics, best_epoch = findings.metrics, findings.best_epoch
    if not metrics:
        return None
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
                f"Training speed over the epochs; at the end {short(speeds[-1])} neuron-steps a second.",
            )
        )
    kept = [] if best_epoch is None else [page.remark(f"Dotted: epoch {best_epoch:g}, whose weights are used here.")]
    return page.section("Learning", page.grid(curves), *kept)


def firing(findings: Findings) -> str | None:
    """How often the neurons of each layer fire."""
    rates = findings.firing
    if not rates:
        return None
    described = "; ".join(f"{name} {rate.mean:.3g}, {rate.silent:.1%} silent" for name, rate in rates.items())
    drawn = page.picture(
        partial(pictures.firing_rates, rates),
        f"Firing rates: {described}.",
        "Over the test samples: a dot for each neuron, a bar at the mean of the layer. Silent neurons never fired.",
        wide=True,
    )
    return page.section("Firing rates", drawn)


def speed(findings: Findings) -> str | None:
    """How long a sequence takes, and a step."""
    latency = findings.latency
    if latency is None:
        return None
    stepped = latency.step_seconds * latency.steps
    rows = [
        ["in parallel", duration(latency.parallel_seconds), duration(latency.parallel_seconds / latency.steps)],
        ["step by step", duration(stepped), duration(latency.step_seconds)],
    ]
    return page.section(
        "Speed of inference",
        page.table(
            ["", "whole sequence", "time step"],
            rows,
            f"{latency.samples} sample of {latency.steps:,} steps, medians; 99 of 100 steps take at most "
            f"{duration(latency.step_seconds_99)}",
        ),
    )


def facts(findings: Findings) -> str | None:
    """What was run, and on what."""
    known = {"Configuration": findings.config, "Environment": findings.environment}
    parts = [page.section(name, page.entries(values)) for name, values in known.items() if values is not None]
    return page.grid(parts) if parts else None


def _headlines(findings: Findings) -> Iterator[tuple[str, str, str]]:
    if findings.test is not None:
        value = findings.test.value
        shown = f"{value:.1%}" if findings.test.name in ("accuracy", "agreement") else f"{value:.4g}"
        yield f"test {findings.test.name}", shown, f"on {findings.test.samples:,} {findings.test.unit}"
    if findings.agreement is not None:
        # Each way is a comparison of its own; the headline is the worst of them.
        predictions = max((way.predictions for way in findings.agreement.ways), key=lambda count: count.differing)
        spikes = max((way.spikes for way in findings.agreement.ways), key=lambda count: count.differing)
        yield "predictions differ", f"{predictions.differing:,}", f"of {predictions.total:,}"
        yield "spikes differ", f"{spikes.differing:,}", f"of {short(spikes.total)}"
    seconds = [row["seconds"] for row in findings.metrics if "seconds" in row]
    if seconds:
        yield "training time", duration(sum(seconds)), f"for {len(seconds)} epochs"
    speeds = sorted(row["neuron_steps_per_second"] for row in findings.metrics if "neuron_steps_per_second" in row)
    if speeds:
        yield "training speed", short(speeds[len(speeds) // 2]), "neuron-steps / s"
    if findings.firing:
        neurons = sum(rate.per_neuron.numel() for rate in findings.firing.values())
        total = sum(float(rate.per_neuron.sum()) for rate in findings.firing.values())
        yield "firing rate", f"{total / neurons:.3g}", "mean spikes a step"
    if findings.energy is not None:
        yield (
            "energy a sample",
            joules(findings.energy.joules),
            f"{joules(findings.energy.dense_joules)} without spikes",
        )
    yield "parameters", short(findings.parameters), "in the network"


def _margin(margin: float | None) -> str:
    return "none" if margin is None else f"{margin:.2g}"


def _column(metrics: Sequence[Mapping[str, float]], name: str) -> list[float]:
    return [row[name] for row in metrics] if all(name in row for row in metrics) else []


def _last(values: Sequence[float]) -> str:
    return f"{values[-1]:.4g}" if values else "unknown"
