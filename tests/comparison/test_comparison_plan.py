"""Which trials there are, and with which settings."""

import math
from dataclasses import replace

import pytest
import torch

from spikescan.comparison import CONTENDERS, Choice, plan
from spikescan.comparison.contenders import find_contender, scale_for
from spikescan.control import ControlExperiment
from spikescan.errors import InputError
from spikescan.neurons.registry import create_neuron


def names(trials) -> list[str]:
    return [trial.name for trial in trials]


def test_the_first_seed_of_everything_comes_first(recipe):
    trials = plan(*recipe, Choice(neurons=["dsn", "lif"], seeds=2))
    assert names(trials)[:9] == [
        "dsn-binary-seed0",
        "dsn-integer-seed0",
        "lif-binary-seed0",
        "lif-integer-seed0",
        "static-binary-seed0",
        "static-integer-seed0",
        "dsn-shuffled-binary-seed0",
        "dsn-shuffled-integer-seed0",
        "nonspiking-none-seed0",
    ]
    assert [name.replace("seed0", "seed1") for name in names(trials)[:9]] == names(trials)[9:]


def test_nothing_but_neuron_seed_and_order_differs(recipe):
    experiment, steps = recipe
    for trial in plan(experiment, steps, Choice(seeds=2)):
        assert replace(trial.experiment, neuron=experiment.neuron, seed=0, shuffle_time=False) == experiment
        assert trial.experiment.shuffle_time == (trial.control == "shuffled")


@pytest.mark.parametrize("steps", [1, 2, 28, 784])
@pytest.mark.parametrize("name", CONTENDERS)
def test_every_contender_can_be_built_for_any_length(recipe, name, steps):
    for trial in plan(recipe[0], steps, Choice([name], controls=[], seeds=1)):
        assert trial.impossible == ""
        neuron = dict(trial.experiment.neuron)
        built = create_neuron(neuron.pop("name"), 5, steps, neuron)
        assert type(built.firing).__name__.lower() == trial.firing
        assert built(torch.randn(steps, 2, 5))[0].shape == (steps, 2, 5)


def test_the_recipe_s_own_neuron_keeps_its_options(recipe):
    binary, integer = plan(*recipe, Choice(["dsn"], controls=[], seeds=1))
    assert binary.experiment.neuron == {"name": "dsn", "initial_decay": [0.5, 0.9], "firing": {"kind": "binary"}}
    assert integer.experiment.neuron["firing"] == {"kind": "integer", "levels": 4}
    assert binary.settings == "the recipe's"


def test_the_recipe_s_firing_is_kept_and_its_levels_are_everybody_s(recipe):
    experiment, steps = recipe
    firing = {"kind": "integer", "levels": 2}
    own = replace(experiment, neuron={**experiment.neuron, "firing": firing})
    trials = plan(own, steps, Choice(["dsn", "lif"], ["integer"], ["static"], seeds=1))
    assert [trial.experiment.neuron["firing"] for trial in trials] == [firing] * 3


def test_the_surrogate_of_a_class_is_kept(recipe):
    (trial,) = plan(*recipe, Choice(["s5_rf"], ["binary"], [], seeds=1))
    assert "firing" not in trial.experiment.neuron


def test_the_range_of_time_constants_is_the_recipe_s():
    scale = scale_for(784, {"name": "dsn", "initial_decay": [0.6, 0.995]})
    assert scale.fastest == pytest.approx(-1 / math.log(0.6))
    assert scale.slowest == pytest.approx(-1 / math.log(0.995))
    assert scale_for(784, {"name": "lif"}) == (784, 2.0, 200.0)
    assert scale_for(28, {"name": "dsn", "initial_decay": 0.5}) == (28, 2.0, 28.0)
    assert scale_for(1, {"name": "dsn"}) == (1, 2.0, 2.0)


def test_time_constants_of_dsn_and_prf_span_the_same_range():
    scale = scale_for(784, {"name": "lif"})
    decays = find_contender("dsn").options(scale)["initial_decay"]
    prf = find_contender("prf").options(scale)
    assert [-1 / math.log(decay) for decay in decays] == pytest.approx([2.0, 200.0], rel=1e-3)
    assert [prf["tau"] / step for step in prf["step_range"]] == pytest.approx([200.0, 2.0], rel=1e-3)


def test_options_by_hand_are_set_on_top_and_said(recipe):
    (trial,) = plan(*recipe, Choice(["lif"], ["binary"], [], seeds=1, options={"lif": {"tau": 7.0}}))
    assert trial.experiment.neuron["tau"] == 7.0
    assert trial.experiment.neuron["scale_input"] is False
    assert trial.settings.endswith("set by hand: tau")


def test_what_a_neuron_cannot_do_is_said_not_raised(recipe):
    binary, integer = plan(*recipe, Choice(["ilif"], controls=[], seeds=1))
    assert (binary.impossible, integer.impossible) == ("it has no binary spikes", "")
    binary, integer = plan(*recipe, Choice(["pmsn"], controls=[], seeds=1))
    assert binary.impossible == ""
    assert "Binary" in integer.impossible


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"neurons": ["dns"]}, "There is no neuron 'dns'. Did you mean 'dsn'"),
        ({"shuffled": ["lfi"]}, "Did you mean 'lif'"),
        ({"firings": ["bianry"]}, "Did you mean 'binary'"),
        ({"controls": ["statik"]}, "Did you mean 'static'"),
        ({"options": {"lfi": {}}}, "Did you mean 'lif'"),
        ({"options": {"lif": {"taw": 2.0}}}, "neuron lif has no option 'taw'. Did you mean 'tau'"),
        (
            {"neurons": ["lif"], "controls": ["shuffled"], "options": {"dsn": {"tau": 1.0}}},
            "options are set for dsn, which is not compared; expected them for lif",
        ),
        ({"options": {"lif": {"tau": 0.5}}}, "tau is 0.5, expected at least 1"),
        ({"seeds": 0}, "nothing to compare"),
        ({"neurons": []}, "nothing to compare"),
    ],
)
def test_wrong_names_are_answered_with_the_nearest(recipe, choice, message):
    with pytest.raises(InputError, match=message):
        plan(*recipe, Choice(**choice))


def test_a_control_task_has_no_samples_to_shuffle():
    trials = plan(ControlExperiment(), 5, Choice(["dsn", "psn"], ["binary"], seeds=1))
    shuffled = next(trial for trial in trials if trial.control == "shuffled")
    assert "no samples" in shuffled.impossible
    assert all(not trial.impossible for trial in trials if trial is not shuffled)
