"""spikescan compare"""

import pytest

from spikescan.cli import main

FEW = ["--neurons", "dsn,ilif", "--seeds", "1", "--firing", "binary", "--controls", "shuffled", "--epochs", "1"]


@pytest.fixture(scope="module")
def compared(recipe, tmp_path_factory):
    """The results folder of a small comparison."""
    folder = tmp_path_factory.mktemp("compared") / "results"
    assert main(["compare", str(recipe), *FEW, "--output", str(folder)]) == 0
    return folder


def test_it_leaves_cells_and_tables(compared):
    assert {path.name for path in (compared / "cells").iterdir()} == {
        "dsn-binary-seed0.json",
        "dsn-shuffled-binary-seed0.json",
        "ilif-binary-seed0.json",
    }
    assert {"README.md", "results.csv", "results.html"} <= {path.name for path in compared.iterdir()}
    assert not (compared / "unfinished").exists()
    assert "* ilif, binary: it has no binary spikes" in (compared / "README.md").read_text()


def test_nothing_is_done_twice(recipe, compared, capsys):
    before = {path: path.read_bytes() for path in (compared / "cells").iterdir()}
    assert main(["compare", str(recipe), *FEW, "--output", str(compared)]) == 0
    assert "test accuracy" not in capsys.readouterr().out
    assert {path: path.read_bytes() for path in (compared / "cells").iterdir()} == before


def test_the_table_is_made_again_without_training(recipe, compared, capsys):
    (compared / "README.md").unlink()
    assert main(["compare", str(recipe), "--table", "--output", str(compared)]) == 0
    assert (compared / "README.md").exists()
    assert "results.html" in capsys.readouterr().out


def test_time_that_has_run_out_starts_nothing(recipe, compared, capsys):
    arguments = ["compare", str(recipe), *FEW[2:], "--neurons", "lif", "--limit-minutes", "0"]
    assert main([*arguments, "--output", str(compared)]) == 0
    assert "lif" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--neurons", "dsn,lfi"], "There is no neuron 'lfi'. Did you mean 'lif'"),
        (["--neurons", ","], "holds no name"),
        (["--firing", "ternary"], "The comparison has no firing 'ternary'"),
        (["--controls", "shufled"], "Did you mean 'shuffled'"),
        (["--seeds", "0"], "nothing to compare"),
        (["--workers", "0"], "workers is 0"),
        (["--options", '{"lif": {"taw": 1}}'], "Did you mean 'tau'"),
        (["--epoch", "3"], "Did you mean 'epochs'"),
        (["--model.depht", "3"], "Did you mean 'depth'"),
        (["--neuron.taw", "3"], "Did you mean 'tau'"),
        (["--data.path", "/nowhere"], "/nowhere does not exist"),
        (["--table"], "holds no finished cell yet"),
    ],
)
def test_wrong_command_lines(recipe, changes, message, capsys, tmp_path):
    assert main(["compare", str(recipe), "--output", str(tmp_path / "out"), *changes]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_of_another_experiment_is_named(recipe, compared, capsys):
    assert main(["compare", str(recipe), *FEW, "--epochs", "2", "--output", str(compared)]) == 2
    assert "epochs was 1, now is 2" in capsys.readouterr().err


def test_a_recipe_that_is_not_there(capsys):
    assert main(["compare", "smnits"]) == 2
    assert "Did you mean 'smnist'" in capsys.readouterr().err
    assert main(["compare"]) == 2
    assert "recipe" in capsys.readouterr().err
