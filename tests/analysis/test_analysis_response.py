from xml.etree import ElementTree

import pytest
import torch

from spikescan.analysis._neurons import thresholds
from spikescan.analysis.response import draw_responses, responses, stimuli
from spikescan.analysis.theme import DARK, LIGHT, svg
from spikescan.firing import Membrane
from spikescan.neurons import create_neuron, list_neurons


def test_the_stimuli_are_what_they_are_called():
    given = stimuli(50)
    assert given["impulse"].count_nonzero() == 1
    assert set(given["constant"].tolist()) == {0.0, 1.5}
    assert torch.equal(given["noise"], stimuli(50)["noise"])
    assert all(stimulus.shape == (50,) for stimulus in given.values())


@pytest.mark.parametrize("name", list_neurons())
def test_every_neuron_answers_and_is_drawn(name):
    torch.manual_seed(0)
    neuron = create_neuron(name, channels=3, time_steps=40).train()
    answers = responses(neuron, 3, 40)
    assert neuron.training
    for answer in answers.values():
        assert answer.membrane.shape == answer.spikes.shape == answer.stimulus.shape == (40,)
        assert answer.membrane.isfinite().all()
    text = svg(draw_responses(neuron, 3, 40, theme=DARK))
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert DARK.paper in text
    assert LIGHT.paper not in text


@pytest.mark.parametrize("name", ["dsn", "psn"])
def test_a_neuron_that_sends_its_membrane_has_no_threshold(name):
    neuron = create_neuron(name, channels=3, time_steps=40, options={"firing": Membrane()})
    assert thresholds(neuron, 40).shape == (40, 0)
    assert ElementTree.fromstring(svg(draw_responses(neuron, 3, 40))).tag.endswith("svg")


def test_an_integrator_remembers_an_impulse_and_a_leaky_one_forgets():
    kept = responses(create_neuron("if", 1, options={"reset": None}))["impulse"].membrane
    lost = responses(create_neuron("lif", 1, options={"reset": None}))["impulse"].membrane
    assert kept[-1] == 4.0
    assert 0.0 <= lost[-1] < 1e-6
