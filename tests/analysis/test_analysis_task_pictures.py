from dataclasses import replace
from functools import partial

import pytest
import torch
from findings_cases import RUNS, N

from spikescan.analysis import pictures
from spikescan.analysis.energy import Energy
from spikescan.analysis.findings import Bands, ClassRates, Confusion, Findings, Pairs, PositionLoss, Track, find
from spikescan.analysis.sections import SECTIONS, energy, example, run
from spikescan.analysis.sections.words import duration, joules, short, words_of
from spikescan.analysis.theme import DARK, LIGHT

HEADINGS = {
    "sound": {"What is taken for what", "The last layer, class by class"},
    "image": {"What is taken for what", "The last layer, class by class"},
    "events": {"What is taken for what", "The last layer, class by class"},
    "review": {"What is taken for what", "The last layer, class by class"},
    "waves": {"What is taken for what", "Step by step: truth and model"},
    "forecast": {"Forecasts"},
    "language": {"Written by the model", "Loss by place in the sample"},
    "numbers": {"Targets and outputs"},
    "tracking": {"Step by step: truth and model"},
    "imitation": {"Step by step: truth and model"},
}
COMMON = (run.learning, run.firing, example.insides, energy.energy)
EVERYWHERE = {
    "Same weights, same spikes", "One test sample on its way through the network", "Inside the neurons", "Learning",
    "Firing rates", "Speed of inference", "Energy", "Configuration",
}  # fmt: skip


def drawn(figure):
    """A figure of which nothing lies beyond its edges."""
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert box.x0 >= -0.02, "cut on the left"
    assert box.y0 >= -0.02, "cut at the bottom"
    assert box.x1 <= width + 0.02, "cut on the right"
    assert box.y1 <= height + 0.02, "cut at the top"
    return figure


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, Findings]:
    return {kind: find(make(tmp_path_factory.mktemp(kind))) for kind, make in RUNS.items()}


@pytest.mark.parametrize("kind", RUNS)
def test_each_kind_of_task_has_its_sections_and_every_picture_can_be_drawn(kind, found, monkeypatch):
    waiting = []

    def picture(draw, description, caption="", *, wide=False):
        assert len(description) > 20
        waiting.append(draw)
        return ""

    monkeypatch.setattr("spikescan.analysis.page.picture", picture)
    headings = set()
    for draw in SECTIONS:
        section = draw(found[kind])
        headings |= {part.partition("</h2>")[0] for part in (section or "").split("<h2>")[1:]}
        if draw not in COMMON:  # their pictures are drawn in other tests
            for one in waiting:
                drawn(one(theme=LIGHT))
        waiting.clear()
    assert headings == EVERYWHERE | HEADINGS[kind]


def test_nothing_is_shown_of_nothing():
    bare = Findings(title="bare", subtitle="", parameters=1)
    assert len([section for draw in SECTIONS if (section := draw(bare)) is not None]) == 1


def test_a_name_that_looks_like_html_stays_a_name(found):
    hostile = replace(found["language"].generated_text, text="<b>\x00 & more", prompt="<i>")
    section = "".join(
        filter(None, (draw(replace(found["language"], generated_text=hostile)) for draw in SECTIONS[5:6]))
    )
    assert "<b>" not in section
    assert "&lt;b&gt;· &amp; more" in section


@pytest.mark.parametrize("classes", [1, 2, 12, 36, 300])
def test_confusion_of_few_and_of_many_classes(classes):
    counts = torch.randint(0, 12_000, (classes, classes), generator=torch.Generator().manual_seed(0))
    counts[0] = 0
    names = [f"a class with the long name {number}" for number in range(classes)]
    figure = drawn(pictures.confusion_matrix(Confusion(counts, names, "steps"), theme=DARK))
    matrix, bars = figure.axes
    assert len(matrix.get_yticks()) <= 40
    assert torch.equal(torch.from_numpy(matrix.images[0].get_array().data)[0], torch.zeros(classes))
    assert len(bars.patches) == classes


def test_class_rasters_have_one_order_of_neurons(found):
    examples = found["sound"].class_examples
    rates = found["sound"].class_rates
    figure = drawn(pictures.class_rasters(examples, ["zero", "one", "two", "three"], rates=rates))
    rasters = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(rasters) == len(examples)
    spikes = examples[1].recording.layers["neuron"].spikes[: examples[1].steps, 0, rates.order]
    assert torch.equal(torch.from_numpy(rasters[1].data).float(), spikes.t())
    drawn(pictures.class_rasters(examples[:1], list("abcd"), rates=ClassRates("neuron", torch.zeros(4, 6))))


def test_event_pictures_hold_all_events():
    frames = torch.zeros(20, 2, 3, 4)
    frames[7, 1, 0, 0] = 5.0
    frames[19, 0, 2, 3] = 5.0
    figure = drawn(pictures.event_frames(frames))
    coloured = [(torch.from_numpy(axes.images[0].get_array().data) < 1).any(-1).nonzero() for axes in figure.axes]
    assert [place.tolist() for place in coloured if len(place)] == [[[0, 0]], [[2, 3]]]
    assert figure.axes[0].get_title("left") == "steps 0 to 2"
    drawn(pictures.event_frames(torch.zeros(1, 2, 3, 4), theme=DARK))


def test_polarities_have_colours_of_their_own():
    events = torch.zeros(1, 2, 1, 3)
    events[0, 1, 0, 0] = events[0, 0, 0, 1] = 4.0
    picture = pictures.event_image(events, LIGHT)[:, 0]
    colours = [torch.tensor([int(code[place : place + 2], 16) / 255 for place in (1, 3, 5)])
               for code in (LIGHT.first, LIGHT.second, LIGHT.paper)]  # fmt: skip
    for place, colour in enumerate(colours):
        assert torch.allclose(picture[:, place], colour, atol=1e-2)


@pytest.mark.parametrize("samples", [1, 500, 20_000])
def test_a_long_sound_keeps_its_peaks(samples):
    sound = torch.zeros(samples)
    sound[samples // 2] = 0.9
    figure = drawn(pictures.waveform(sound, 8000))
    low, high = figure.axes[0].dataLim.intervaly
    assert high == pytest.approx(0.9)
    assert low == pytest.approx(0.9 if samples == 1 else 0.0)


def test_bands_and_signals_of_many_channels_can_be_drawn():
    bands = Bands(torch.randn(30, 12), [str(n) for n in range(12)], torch.full((30,), -100), torch.zeros(30).long())
    drawn(pictures.label_bands([bands], [f"wave {n}" for n in range(25)]))


def test_curves_of_one_step_can_be_drawn(found):
    errors = replace(found["forecast"].forecast_errors, by_step=torch.ones(1), repeat_last=torch.ones(1))
    drawn(pictures.forecast_errors(errors))
    drawn(pictures.position_loss(PositionLoss(torch.ones(1), torch.ones(1, dtype=torch.int64))))
    drawn(pictures.tracks([Track(torch.zeros(1, 5), torch.zeros(1, 5))]))
    drawn(pictures.pairs(Pairs(torch.randn(N, 9), torch.randn(N, 9))))


def test_energy_shows_what_takes_some(found):
    counted: Energy = found["sound"].energy
    figure = drawn(pictures.energy(counted))
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [layer.name for layer in counted.layers if layer.joules or layer.dense_joules]
    many = replace(counted, layers=tuple(replace(counted.layers[0], name=f"layer {n}") for n in range(90)))
    assert len(pictures.energy(many).axes[0].get_yticks()) == 40


def test_numbers_in_words():
    assert [joules(value) for value in (2.0, 1.5e-6, 3e-9, 0.0)] == ["2 J", "1.5 µJ", "3 nJ", "0 pJ"]
    assert [duration(value) for value in (90.0, 2.0, 1e-3, 1e-6)] == ["1.5 min", "2 s", "1 ms", "1 µs"]
    assert short(1234) == "1,234"
    assert words_of("a\x07b\n", 3) == "a·b …"
    assert partial(words_of, longest=9)("ab") == "ab"
