"""One test sample on its way through the network."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from spikescan.analysis import page, pictures
from spikescan.analysis.findings import Example, Findings
from spikescan.analysis.sections.words import words_of
from spikescan.data.sources import Audio, Crossings, Sensor, Series, Text

__all__ = ["activity", "insides"]

_SIGNALS_SHOWN = 8


def activity(findings: Findings) -> str | None:
    """The input as its user knows it, and what it becomes in each layer."""
    example = findings.example
    if example is None:
        return None
    recording = example.recording
    drawn = page.picture(
        partial(
            pictures.activity,
            recording,
            image=example.image,
            target=example.label,
            names=findings.class_names,
        ),
        f"Input, spike rasters of the layers {', '.join(recording.layers)}, and output over time.",
        "Each row of a raster is a neuron, each column a time step; a stronger shade is more spikes. The bars beside a "
        "raster are the mean spikes a step of each neuron.",
        wide=True,
    )
    look = _ORIGINALS.get(type(example.source))
    original = None if look is None else look(example)
    parts = [drawn] if original is None else [original, drawn]
    return page.section("One test sample on its way through the network", *parts)


def insides(findings: Findings) -> str | None:
    """Membranes and decays of some neurons."""
    if findings.example is None:
        return None
    recording = findings.example.recording
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
    return page.section("Inside the neurons", *folds) if folds else None


def _events(example: Example) -> str:
    assert isinstance(example.source, Sensor)
    frames = example.source.frames(example.input)
    return page.picture(
        partial(pictures.event_frames, frames),
        f"The events of the sample in {min(len(frames), 8)} pictures over time.",
        f"{frames.sum():,.0f} events; a stronger colour is more of them. Each picture sums up the steps named above it.",
        wide=True,
    )


def _sound(example: Example) -> str:
    assert isinstance(example.source, Audio)
    samples = example.source.samples(example.input)
    return page.picture(
        partial(pictures.waveform, samples, example.source.rate),
        f"The waveform of the sample, {len(samples) / example.source.rate:.2f} seconds.",
        wide=True,
    )


def _crossings(example: Example) -> str:
    assert isinstance(example.source, Crossings)
    return page.picture(
        partial(pictures.signals, example.source.signals(example.input), example.source.names),
        f"The signals {', '.join(example.source.names)} over time.",
        "Rebuilt from the events: the levels risen less the levels fallen, and a straight line taken off as drift.",
        wide=True,
    )


def _series(example: Example) -> str | None:
    assert isinstance(example.source, Series)
    if len(example.source.names) > _SIGNALS_SHOWN:
        return None
    return page.picture(
        partial(pictures.signals, example.source.values(example.input), example.source.names),
        f"The variables {', '.join(example.source.names)} over time.",
        wide=True,
    )


def _text(example: Example) -> str:
    assert isinstance(example.source, Text)
    return page.quotation(words_of(example.source.text(example.input.argmax(-1)), 3000))


_ORIGINALS: Mapping[Any, Callable[[Example], str | None]] = {
    Audio: _sound,
    Crossings: _crossings,
    Sensor: _events,
    Series: _series,
    Text: _text,
}
"""The input as its user knows it, by where it came from; an image stands beside the input in the picture of it."""
