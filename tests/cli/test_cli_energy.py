"""spikescan energy"""

import csv
import json
import shutil

import pytest

from spikescan.analysis import Energy, measure_energy
from spikescan.cli import main
from spikescan.training import load_run


@pytest.fixture
def folder(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def test_energy_counts_the_test_split(folder, capsys):
    assert main(["energy", str(folder)]) == 0
    output = capsys.readouterr().out
    loaded = load_run(folder)
    energy = measure_energy(loaded.model, loaded.dataset.test)
    assert Energy.from_dict(json.loads((folder / "energy.json").read_text())) == energy
    assert "20 samples of the test split of MNIST" in output
    assert "28 steps" in output
    for layer in energy.layers:
        assert layer.name in output
    rows = list(csv.DictReader((folder / "energy.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == [layer.name for layer in energy.layers]
    assert not list(folder.glob(".energy*"))


def test_samples_split_and_constants_are_chosen(folder, capsys):
    assert main(["energy", str(folder), "--samples", "3", "--split", "train", "--constants", "int8"]) == 0
    assert "3 samples of the train split" in capsys.readouterr().out
    energy = Energy.from_dict(json.loads((folder / "energy.json").read_text()))
    assert (energy.samples, energy.constants.name) == (3, "int8")


def test_what_a_user_can_mend_is_one_line(folder, capsys):
    assert main(["energy", str(folder), "--constants", "int9"]) == 2
    assert "int8" in capsys.readouterr().err
    assert main(["energy", str(folder), "--samples", "0"]) == 2
    assert "samples is 0" in capsys.readouterr().err
    assert not (folder / "energy.json").exists()
