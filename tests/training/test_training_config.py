"""Experiments from YAML and from the command line."""

from pathlib import Path

import pytest
from torch import nn

from spikescan.errors import InputError
from spikescan.firing import Integer
from spikescan.training import Experiment, experiment_from
from spikescan.training.build import build_model
from spikescan.training.checkpoint import ModelShape
from spikescan.training.choices import construct, split_choice
from spikescan.training.config import merge, read_yaml, to_yaml

SHAPE = ModelShape(2, 3, 5)


def test_yaml_round_trip(tmp_path):
    experiment = Experiment(
        neuron={"name": "dsn", "initial_decay": [0.5, 0.995]},
        clip_norm=None,
        devices=[0, 1],
        optimiser={"name": "sgd", "lr": 1e-5},
    )
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(experiment))
    assert experiment_from(read_yaml(path)) == experiment
    assert experiment_from({}) == Experiment()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 3}, "no field 'epoch'. Did you mean 'epochs'"),
        ({"neurons": {}}, "Did you mean 'neuron'"),
        ({"epochs": "many"}, "epochs.*Expected a <class 'int'>"),
        ({"neuron": "dsn"}, "neuron.*Expected a <class 'dict'>"),
        ({"epochs": 0}, "epochs is 0, expected at least 1"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**64}, "seed is 18446744073709551616, expected 0 to 18446744073709551615"),
        ({"clip_norm": 0.0}, "clip_norm is 0.0, expected above 0, or null"),
        ({"patience": 0}, "patience is 0"),
        ({"average": -1.0}, "average is -1.0, expected 0 for none, or a number of epochs"),
        ({"average": float("nan")}, "average is nan"),
        ({"auxiliary_weight": 1.0}, "auxiliary_weight is 1.0, expected 0 to less than 1"),
    ],
)
def test_wrong_fields_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        experiment_from(values, "my.yaml")


@pytest.mark.parametrize("content", ["a: [", "- 1\n- 2", "7", ""])
def test_files_that_hold_no_fields_are_refused(tmp_path: Path, content):
    path = tmp_path / "x.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=r"x\.yaml (is no YAML|holds)"):
        read_yaml(path)


def test_changes_lie_on_top_of_a_recipe():
    recipe = {"neuron": {"name": "dsn", "tau": 0.5, "kernel_size": 4}, "epochs": 3}
    assert merge(recipe, {"neuron": {"tau": 1.0}})["neuron"] == {"name": "dsn", "tau": 1.0, "kernel_size": 4}
    assert merge(recipe, {"neuron": {"name": "dsn", "tau": 1.0}})["neuron"]["kernel_size"] == 4
    # The options of one neuron mean nothing to another.
    assert merge(recipe, {"neuron": {"name": "lif", "tau": 2.0}})["neuron"] == {"name": "lif", "tau": 2.0}
    assert merge(recipe, {"epochs": 5}) == {**recipe, "epochs": 5}
    assert recipe["neuron"]["tau"] == 0.5


def optimise(
    model: object, *, lr: float = 0.1, betas: tuple[float, float] = (0.9, 0.999), kind: nn.Module | None = None
):
    return model, lr, betas, kind


def test_options_are_checked_and_converted():
    assert construct("sgd", optimise, {"model": "m"}, {"lr": 1, "betas": [0.5, 0.6]}) == ("m", 1.0, (0.5, 0.6), None)
    assert isinstance(construct("sgd", optimise, {"model": "m"}, {"lr": "1e-3"})[1], float)
    for options, message in (
        ({"lrr": 1}, "sgd has no option 'lrr'. Did you mean 'lr'\\? It takes: lr, betas, kind"),
        ({"model": 1}, "sgd has no option 'model'"),
        ({"lr": "fast"}, "sgd: .*lr.*Expected a <class 'float'>. Got value: fast"),
        ({"betas": [1.0]}, "betas"),
    ):
        with pytest.raises(InputError, match=message):
            construct("sgd", optimise, {"model": "m"}, options)


def test_a_choice_has_a_name():
    assert split_choice("neuron", {"tau": 1, "name": "dsn"}) == ("dsn", {"tau": 1})
    with pytest.raises(InputError, match=r"neuron is {'tau': 1}, expected a name and options"):
        split_choice("neuron", {"tau": 1})


def test_neuron_options_reach_every_layer():
    experiment = Experiment(
        model={"name": "mlp", "width": 4, "depth": 2},
        neuron={"name": "dsn", "tau": 1, "firing": {"kind": "integer", "levels": 2}},
    )
    neurons = [module for module in build_model(experiment, SHAPE).modules() if hasattr(module, "firing")]
    assert [(neuron.tau, neuron.firing) for neuron in neurons] == [(1.0, Integer(2))] * 2
    psn = build_model(Experiment(neuron={"name": "psn"}), SHAPE)
    assert any(p.shape == (5, 5) for p in psn.parameters())


@pytest.mark.parametrize(
    ("field", "choice", "message"),
    [
        ("neuron", {"name": "dns"}, "Did you mean 'dsn'"),
        ("neuron", {"name": "dsn", "taw": 1}, "neuron dsn has no option 'taw'. Did you mean 'tau'"),
        ("neuron", {"name": "dsn", "tau": "x"}, "neuron dsn: .*tau.*Got value: x"),
        ("neuron", {"name": "dsn", "channels": 3}, "no option 'channels'"),
        ("model", {"name": "mlq"}, "Did you mean 'mlp'"),
        ("model", {"name": "mlp", "widht": 3}, "model mlp has no option 'widht'. Did you mean 'width'"),
        ("model", {"name": "mlp", "norm": "lyer"}, "layer"),
    ],
)
def test_unknown_names_and_options_get_the_nearest(field, choice, message):
    with pytest.raises(InputError, match=message):
        build_model(Experiment(**{field: choice}), SHAPE)
