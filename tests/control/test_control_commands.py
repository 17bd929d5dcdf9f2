"""The commands on a control run."""

import csv
import io
import json
import sys

import pytest
import yaml

from spikescan.analysis import Energy
from spikescan.cli import main
from spikescan.training.config import to_yaml


@pytest.fixture
def recipe(experiment, tmp_path):
    path = tmp_path / "recall.yaml"
    path.write_text(to_yaml(experiment))
    return path


def test_a_run_by_commands(recipe, tmp_path, capsys, monkeypatch):
    folder = str(tmp_path / "run")
    assert main(["train", str(recipe), "--run", folder, "--epochs", "1", "--algorithm.batch_size", "4"]) == 0
    shown = capsys.readouterr().out
    assert "epoch 1/1" in shown
    assert "validation return" in shown
    assert f"Run folder: {folder}" in shown
    assert main(["train", "--resume", folder, "--epochs", "2"]) == 0
    assert "epoch 2/2" in capsys.readouterr().out
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["algorithm"]["batch_size"] == 4
    with (tmp_path / "run" / "metrics.csv").open() as file:
        assert [float(row["step"]) for row in csv.DictReader(file)] == [60, 120]

    assert main(["eval", folder, "--episodes", "3"]) == 0
    shown = capsys.readouterr().out
    assert "3 episodes of spikescan/Recall-v0 from seeds of the test split" in shown
    assert "firing rate of actor.network.layer0.neuron" in shown
    assert len(json.loads((tmp_path / "run" / "evaluation-test.json").read_text())["returns"]) == 3

    assert main(["check", folder, "--episodes", "3"]) == 0
    assert "3 episodes of together 9 steps: 0 actions differ" in capsys.readouterr().out

    monkeypatch.setattr(sys, "stdin", io.StringIO("1\n0\n"))
    assert main(["stream", folder]) == 0
    assert all(-1 <= float(line) <= 1 for line in capsys.readouterr().out.splitlines())

    assert main(["energy", folder, "--samples", "2"]) == 0
    assert "2 test episodes of spikescan/Recall-v0" in capsys.readouterr().out
    counted = Energy.from_dict(json.loads((tmp_path / "run" / "energy.json").read_text()))
    assert (counted.samples, counted.steps) == (2, 3)
    assert counted.accumulates > 0

    assert main(["train", "--resume", folder, "--epochs", "3"]) == 0
    assert not (tmp_path / "run" / "energy.json").exists()
    assert not (tmp_path / "run" / "evaluation-test.json").exists()  # of other weights


def test_an_epoch_of_random_actions_has_no_loss(recipe, tmp_path, capsys):
    assert (
        main(["train", str(recipe), "--run", str(tmp_path / "run"), "--epochs", "1", "--algorithm.start_steps", "60"])
        == 0
    )
    assert "train loss none yet" in capsys.readouterr().out


def test_what_a_user_can_mend_is_one_line(recipe, tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["train", str(recipe), "--run", str(run), "--epochs", "1"]) == 0
    capsys.readouterr()
    for arguments, message in (
        (["train", str(recipe), "--algorithm.polyac", "0.5"], "Did you mean 'polyak'"),
        (["train", str(recipe), "--epoch_step", "5"], "Did you mean 'epoch_steps'"),
        (["train", str(recipe), "--run", str(run)], "holds a run already"),
        (["train", "--resume", str(run), "--seed", "4"], "seed is now 4"),
        (["eval", str(run), "--split", "train"], "--split test and validation"),
        (["eval", str(run), "--episodes", "0"], "episodes is 0, expected at least 1"),
        (["check", str(run), "--episodes", "-1"], "episodes is -1, expected at least 1"),
        (["energy", str(run), "--split", "train"], "its splits are test and validation"),
        (["energy", str(run), "--samples", "0"], "samples is 0, expected at least 1 episode"),
    ):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def test_without_gymnasium_the_message_says_what_to_install(recipe, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    assert main(["train", str(recipe), "--run", str(tmp_path / "run")]) == 2
    assert "pip install 'spikescan[control]'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["actors", "algorithms"])
def test_lists(kind, capsys):
    assert main(["list", kind]) == 0
    assert {"actors": "population: ", "algorithms": "td3: "}[kind] in capsys.readouterr().out
