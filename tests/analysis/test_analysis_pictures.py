import copy
import sys
from functools import partial
from xml.etree import ElementTree

import pytest
import torch
from matplotlib.figure import Figure

from spikescan.analysis import measure_agreement, measure_firing, record
from spikescan.analysis.pictures import (
    activity,
    demo,
    firing_rates,
    inside,
    learning_curve,
    rate_curves,
    speed_curve,
)
from spikescan.analysis.pictures._parts import thin
from spikescan.analysis.theme import DARK, LIGHT, svg
from spikescan.errors import BackendError
from spikescan.firing import Binary
from spikescan.layers import RateReadout, Sequential
from spikescan.neurons import DSN, LIF, SlidingPSN

T = 30
MODELS = {
    "dsn": Sequential({"first": DSN(3), "a $name$ <b>": DSN(3), "readout": RateReadout()}),
    "lif": Sequential(LIF(firing=Binary(0.3))),
    "sliding_psn": SlidingPSN(2, firing=Binary(0.2)),
}


@pytest.fixture
def x():
    return 3.0 * torch.randn(T, 2, 3, generator=torch.Generator().manual_seed(0))


def assert_can_be_shown(figure, theme):
    assert isinstance(figure, Figure)
    text = svg(figure)
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert theme.paper in text


@pytest.mark.parametrize(("name", "theme"), [("dsn", DARK), ("lif", LIGHT), ("sliding_psn", LIGHT)])
def test_every_neuron_can_be_drawn(name, theme, x):
    model = MODELS[name]
    recording = record(model, x, lengths=torch.tensor([T, 20]))
    assert_can_be_shown(activity(recording, theme=theme), theme)
    assert_can_be_shown(demo(recording, measure_agreement(model, x), theme=theme), theme)
    assert_can_be_shown(firing_rates(measure_firing(model, x), theme=theme), theme)
    for layer in recording.layers.values():
        assert_can_be_shown(inside(name, layer, steps=20, sample=1, theme=theme), theme)


def test_an_image_is_drawn_beside_its_spikes(x):
    figure = activity(record(MODELS["dsn"], x), sample=1, image=torch.rand(5, 4), target=2, theme=DARK)
    assert_can_be_shown(figure, DARK)


@pytest.mark.parametrize(
    "draw",
    [
        partial(learning_curve, [1, 2], [0.5, 0.4], [0.6, 0.5], name="$loss$", best=2),
        partial(learning_curve, [1], [], [0.6], name="loss"),
        partial(rate_curves, [1, 2], {"first": [0.5, 0.4]}),
        partial(speed_curve, [1, 2], [1e6, 2e6]),
    ],
    ids=["learning", "one epoch", "rates", "speed"],
)
def test_curves_can_be_drawn(draw):
    assert_can_be_shown(draw(theme=DARK), DARK)


def test_a_raster_holds_every_spike_in_its_shade(x):
    recording = record(MODELS["dsn"], x)
    raster = activity(recording, sample=1).axes[2].images[0]
    layer = recording.layers["first"]
    order = layer.traces["decay"][:, 1].mean(0).argsort(stable=True)
    assert layer.spikes[:, 1].max() > 1
    assert torch.equal(torch.from_numpy(raster.get_array().data).float(), layer.spikes[:, 1, order].t())
    assert raster.get_cmap().N == 5
    assert (raster.norm.vmin, raster.norm.vmax) == (-0.5, 4.5)


def test_thinning_loses_no_spike():
    spikes = torch.zeros(5000, 900)
    spikes[4999, 899] = 3.0
    spikes[2500, 1] = 1.0
    few = thin(spikes)
    assert few.shape[0] <= 2000
    assert few.shape[1] <= 400
    assert sorted(few[few > 0].tolist()) == [1.0, 3.0]


def test_wide_and_spatial_inputs_can_be_drawn():
    model = DSN(2)
    recording = record(model, torch.randn(T, 1, 2, 3, 3))
    activity(recording).canvas.draw()
    inside("DSN", recording.layers["DSN"], steps=T).canvas.draw()


def test_silent_and_single_step_recordings_can_be_drawn():
    for x in (torch.zeros(T, 1, 2), torch.ones(1, 1, 2)):
        recording = record(DSN(2), x)
        activity(recording).canvas.draw()
        inside("DSN", recording.layers["DSN"], steps=len(x)).canvas.draw()
        firing_rates(recording.firing_rates()).canvas.draw()


def test_what_is_not_a_number_leaves_gaps(x):
    broken = copy.deepcopy(MODELS["dsn"])
    for part in (broken.first.weight, broken.first.bias):
        torch.nn.init.constant_(part, torch.nan)
    recording = record(broken, x)
    assert recording.layers["first"].spikes.isnan().any()
    figure = activity(recording)
    assert_can_be_shown(figure, LIGHT)
    assert "blank where their spikes are not a number" in svg(figure)
    assert_can_be_shown(inside("first", recording.layers["first"], steps=T), LIGHT)


def test_without_matplotlib_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BackendError, match=r"pip install 'spikescan\[train\]'"):
        speed_curve([1], [1.0])
