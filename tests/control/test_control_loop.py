"""A run from its folder's first file to its last."""

import json
import math
from contextlib import closing
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from spikescan.analysis import record
from spikescan.control import action_agreement, control_experiment_from, evaluate, is_control, load_run, play, train
from spikescan.control.actors import build_actor
from spikescan.control.environment import Environment
from spikescan.control.play import play as play_episodes
from spikescan.control.run import build_agent, build_algorithm
from spikescan.errors import CheckpointError, InputError
from spikescan.recipes import find_recipe, list_recipes
from spikescan.training import EpochEnd
from spikescan.training import load_run as load_supervised
from spikescan.training.config import read_yaml


def weights(folder, epoch):
    return load_file(folder / "checkpoint" / f"epoch-{epoch:04d}.safetensors")


def test_resumed_it_has_the_bits_of_a_run_that_was_never_stopped(experiment, tmp_path):
    experiment = replace(experiment, epochs=3, epoch_steps=55)
    whole = list(train(experiment, tmp_path / "whole"))
    events = train(replace(experiment, epochs=2), tmp_path / "stopped")
    for event in events:
        if isinstance(event, EpochEnd):
            break
    next(events)  # into the second epoch, which is lost
    events.close()
    ends = [event for event in train(experiment, tmp_path / "stopped", resume=True) if isinstance(event, EpochEnd)]
    assert [end.epoch for end in ends] == [2, 3]
    expected = weights(tmp_path / "whole", 3)
    for name, tensor in weights(tmp_path / "stopped", 3).items():
        assert torch.equal(tensor, expected[name]), name
    last = next(event for event in reversed(whole) if isinstance(event, EpochEnd))
    for name in ("train_loss", "train_return", "validation_return", "firing_rate"):
        assert ends[-1].metrics[name] == last.metrics[name]


def test_a_run_folder_is_read_back_and_acts_as_it_did(experiment, tmp_path):
    ends = [event for event in train(experiment, tmp_path / "run") if isinstance(event, EpochEnd)]
    run = load_run(tmp_path / "run")
    assert run.experiment == experiment
    assert run.epoch == run.index.best_epoch == max(ends, key=lambda end: end.metrics["validation_return"]).epoch
    found = evaluate(run, episodes=4, split="validation")
    assert found.mean_return == run.metrics[run.epoch - 1]["validation_return"]
    assert found.steps == 12
    assert set(found.firing_rates) == {
        "actor.network.layer0.neuron",
        "actor.network.layer1.neuron",
        "actor.network.fields",
    }
    assert evaluate(run, episodes=4).returns == evaluate(run, episodes=4).returns
    assert evaluate(run, episodes=4).returns != found.returns
    assert "gymnasium" in json.loads((tmp_path / "run" / "environment.json").read_text())["packages"]
    agreement = action_agreement(run, episodes=4)
    assert agreement.steps == 12
    assert agreement.holds
    assert agreement.largest_difference < 1e-5


def test_firing_rates_are_those_of_the_steps_until_an_episode_ends(experiment, monkeypatch):
    """Of an actor that is one of the models too, whose neurons run by `step` alone while it acts."""
    experiment = replace(experiment, actor={"name": "mlp", "width": 8, "depth": 2})
    with closing(Environment(experiment.environment)) as environment:
        policy = build_agent(experiment, environment).policy
    shorter = replace(play_episodes(policy, experiment, [1, 2, 3]), lengths=torch.tensor([3, 1, 2]))
    monkeypatch.setattr(play, "play", lambda *_: shorter)
    found = play.evaluate_policy(policy, experiment, [1, 2, 3])
    expected = record(policy, shorter.observations, lengths=shorter.lengths).firing_rates()
    assert found.firing_rates == pytest.approx({name: rate.mean for name, rate in expected.items()})
    assert found.firing_rate > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"episodes": 0}, "episodes is 0, expected at least 1"),
        ({"split": "train"}, "'train', expected one of validation"),
    ],
)
def test_episodes_that_there_are_not_are_refused(experiment, tmp_path, options, message):
    list(train(replace(experiment, epochs=1), tmp_path / "run"))
    with pytest.raises(InputError, match=message):
        evaluate(load_run(tmp_path / "run"), **options)


def test_events_tell_where_the_run_stands(experiment, tmp_path):
    events = [event for event in train(experiment, tmp_path / "run") if not isinstance(event, EpochEnd)]
    assert [event.step for event in events] == [50, 60, 110, 120]
    assert all(event.steps == 120 for event in events)
    assert all(math.isfinite(event.loss) and math.isfinite(event.episode_return) for event in events)
    assert events[-1].seconds_left == 0
    assert events[-1].firing_rate > 0


def test_a_run_is_resumed_as_it_was_started(experiment, tmp_path):
    list(train(replace(experiment, epochs=1), tmp_path / "run"))
    with pytest.raises(InputError, match="holds a run already"):
        next(train(experiment, tmp_path / "run"))
    with pytest.raises(
        InputError, match=r"seed is now 1, in .* it is 0\. What may change: epochs, evaluation_episodes"
    ):
        next(train(replace(experiment, seed=1), tmp_path / "run", resume=True))
    assert len(list(train(replace(experiment, epochs=2), tmp_path / "run", resume=True))) == 3
    with pytest.raises(CheckpointError, match="is a run of a control task"):
        load_supervised(tmp_path / "run")
    with pytest.raises(CheckpointError, match="is no run folder"):
        load_run(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["ann", "gru", "mlp"])
def test_other_actors(experiment, name, tmp_path):
    list(train(replace(experiment, actor={"name": name, **({} if name == "ann" else {"width": 8})}), tmp_path / "run"))
    assert action_agreement(load_run(tmp_path / "run")).holds


def test_memory_learns_to_recall(experiment, tmp_path):
    """Only the first of three observations shows the cue: without memory the best answer is 0, which returns -1."""
    algorithm = {**experiment.algorithm, "start_steps": 300, "batch_size": 32, "update_interval": 1, "policy_delay": 1}
    algorithm |= {"actor_lr": 1e-2, "critic_lr": 1e-2, "critic_hidden": [32], "polyak": 0.8}
    actor = {**experiment.actor, "hidden": [24], "population": 8, "encoding": "current", "micro_steps": 1}
    learning = replace(experiment, actor=actor, algorithm=algorithm, epochs=1, epoch_steps=500, evaluation_episodes=1)
    list(train(learning, tmp_path / "run"))
    assert evaluate(load_run(tmp_path / "run")).mean_return > -0.5


def wrong(experiment, **changes):
    return replace(experiment, **{name: {**getattr(experiment, name), **change} for name, change in changes.items()})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"environment": {"name": "Pendulm-v1"}}, "no environment 'Pendulm-v1'. Did you mean 'Pendulum-v1'"),
        ({"environment": {"name": "nowhere:Task-v0"}}, "nowhere:Task-v0 cannot be imported"),
        ({"environment": {"name": "CartPole-v1"}}, "expected continuous actions within bounds"),
        ({"environment": {"hide": [2]}}, r"hide is \[2\], expected a list of observations .* 0 to 1"),
        ({"environment": {"hide": [0, 1]}}, "leaves nothing of the 2 observations"),
        ({"environment": {"gravity": 3}}, "does not take these options"),
        ({"actor": {"name": "popluation"}}, "no actor 'popluation'. Did you mean 'population'"),
        ({"actor": {"hiden": [3]}}, "actor population has no option 'hiden'. Did you mean 'hidden'"),
        ({"neuron": {"name": "dns"}}, "Did you mean 'dsn'"),
        ({"neuron": {"name": "psn"}}, "cannot act for as long as an episode lasts: it has no step"),
        ({"algorithm": {"name": "td4"}}, "no algorithm 'td4'. Did you mean 'td3'"),
        ({"algorithm": {"polyac": 0.1}}, "has no option 'polyac'. Did you mean 'polyak'"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_written(experiment, changes, message, tmp_path):
    with pytest.raises(InputError, match=message):
        next(train(wrong(experiment, **changes), tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []


def test_a_neuron_bound_to_a_length_acts_without_memory(experiment, tmp_path):
    experiment = wrong(experiment, actor={"memory": False}, neuron={"name": "psn"})
    list(train(replace(experiment, epochs=1), tmp_path / "run"))
    assert action_agreement(load_run(tmp_path / "run")).holds


RECIPES = {name: read_yaml(find_recipe(name)) for name in list_recipes()}


@pytest.mark.parametrize("name", [name for name, values in RECIPES.items() if is_control(values)])
def test_recipes_build(name):
    found = control_experiment_from(RECIPES[name], name)
    assert build_algorithm(found).sequence >= 1
    assert build_actor(found, 3, 2)(torch.zeros(2, 1, 3))[0].shape == (2, 1, 2)
    assert find_recipe(name).read_text().startswith("# "), "the first line is what `spikescan list recipes` shows"


def test_wrong_values_of_an_experiment():
    for values, message in (
        ({"environmnt": {}}, "Did you mean 'environment'"),
        ({"epochs": 0}, "epochs is 0, expected at least 1"),
        ({"seed": -1}, "seed is -1"),
        ({"epochs": "many"}, "Expected a <class 'int'>"),
    ):
        with pytest.raises(InputError, match=message):
            control_experiment_from(values)


def test_an_environment_maps_actions_onto_its_range(recall):
    environment = Environment({"name": recall})
    cue = environment.reset(3)[0]
    for action in (0.0, 0.0):
        environment.step(torch.tensor([action]))
    _, reward, terminated, truncated = environment.step(torch.tensor([0.25]))  # of -2 to 2: 0.5
    assert (reward, terminated, truncated) == (-(float(0.5 - cue) ** 2), True, False)


def test_mujoco(tmp_path):
    pytest.importorskip("mujoco", reason="InvertedPendulum needs MuJoCo: pip install 'spikescan[control]'")
    environment = Environment({"name": "InvertedPendulum-v5"})
    assert (environment.observations, environment.actions) == (4, 1)
    assert torch.equal(environment.reset(0), environment.reset(0))
    environment.close()
