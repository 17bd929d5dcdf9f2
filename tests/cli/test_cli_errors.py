"""What a user can mend is one line on stderr and exit code 2; nothing is left half-written."""

import errno
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from spikescan.cli import main
from spikescan.training import checkpoint


def complaint(capsys, arguments: list[str]) -> str:
    """The one line that a command which fails writes to stderr."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("spikescan: ")
    assert captured.err.count("\n") == 1, captured.err
    assert "Traceback" not in captured.err
    return captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tarin"], "There is no command 'tarin'. Did you mean 'train'?"),
        (["train"], "needs a recipe (ecg, "),
        (["train", "smnits"], "There is no recipe 'smnits'. Did you mean 'smnist'?"),
        (["train", "nowhere.yaml"], "There is no file nowhere.yaml"),
        (["train", "smnist", "--epoch", "3"], "Did you mean 'epochs'?"),
        (["train", "smnist", "--neuon.tau", "3"], "Did you mean 'neuron'?"),
        (["train", "smnist", "--epochs", "three"], "Expected a <class 'int'>. Got value: three"),
        (["train", "smnist", "--epochs"], "expected one argument"),
        (["train", "smnist", "--neuron", "lif"], "Write --neuron.name lif."),
        (["demo", "--samples", "0"], "demo: samples is 0, expected at least 1"),
        (["train", "smnist", "psmnist"], "psmnist"),
        (["train", "smnist", "--resume", "run"], "leave RECIPE and --run out"),
        (["train", "--resume", "nowhere"], "nowhere is no run folder"),
        (["list", "neuron"], "Did you mean 'neurons'?"),
        (["list"], "kind"),
        (["eval", "nowhere"], "nowhere is no run folder"),
        (["check", "nowhere"], "nowhere is no run folder"),
        (["stream", "nowhere"], "nowhere is no run folder"),
        (["report", "nowhere"], "nowhere"),
        (["env", "now"], "now"),
    ],
)
def test_wrong_command_lines(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in complaint(capsys, arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--neuron.name", "dns"], "Did you mean 'dsn'"),
        (["--neuron.taw", "1"], "neuron dsn has no option 'taw'. Did you mean 'tau'"),
        (["--neuron.tau", "fast"], "neuron dsn"),
        (["--model.name", "mpl"], "Did you mean 'mlp'"),
        (["--model.depht", "2"], "Did you mean 'depth'"),
        (["--data.name", "mnits"], "Did you mean 'mnist'"),
        (["--data.colums", "true"], "Did you mean 'columns'"),
        (["--data.path", "/nowhere"], "MNIST: /nowhere does not exist. The folder holds mnist.npz"),
        (["--optimiser.name", "adam"], "Did you mean 'adamw'"),
        (["--optimiser.lr", "-1"], "optimiser adamw: lr is -1.0, expected 0 or more"),
        (["--seed", str(2**64)], "seed is 18446744073709551616"),
        (["--schedule.name", "cosin"], "Did you mean 'cosine'"),
        (["--task.name", "classify"], "There is no task 'classify'"),
        (["--task.label_smoothing", "2"], "label_smoothing is 2.0"),
        (["--precision", "7-true"], "Lightning Fabric cannot start"),
    ],
)
def test_wrong_fields_leave_nothing_behind(recipe, changes, message, capsys, tmp_path):
    assert message in complaint(capsys, ["train", str(recipe), "--run", str(tmp_path / "run"), *changes])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", ["0", "-1"])
def test_batches_of_no_samples(finished, size, capsys):
    assert f"batch_size is {size}, expected at least 1" in complaint(
        capsys, ["eval", str(finished), "--batch_size", size]
    )


def test_a_field_of_a_yaml_file(recipe, tmp_path, capsys):
    path = tmp_path / "mine.yaml"
    path.write_text(recipe.read_text() + "epoch: 3\n")
    message = complaint(capsys, ["train", str(path)])
    assert f"{path} has no field 'epoch'. Did you mean 'epochs'?" in message


def test_a_folder_with_a_run_is_not_overwritten(recipe, finished, capsys):
    before = (finished / "metrics.csv").read_bytes()
    assert f"spikescan train --resume {finished}" in complaint(capsys, ["train", str(recipe), "--run", str(finished)])
    assert (finished / "metrics.csv").read_bytes() == before


def test_fewer_epochs_than_are_finished(finished, capsys):
    before = (finished / "config.yaml").read_bytes()
    message = complaint(capsys, ["train", "--resume", str(finished), "--epochs", "1"])
    assert f"epochs is 1, but {finished} has finished 2" in message
    assert (finished / "config.yaml").read_bytes() == before


def test_data_that_lie_elsewhere_now(finished, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    config = folder / "config.yaml"
    config.write_text(re.sub(r"path: [^,}]*", "path: gone", config.read_text()))
    message = complaint(capsys, ["eval", str(folder)])
    assert "gone does not exist" in message
    assert f"data in {config} says: if it lies elsewhere now, change its path there" in message


@pytest.mark.parametrize(
    ("name", "content"),
    [("checkpoint/checkpoint.json", b"{"), ("weights", b"\x00" * 100), ("config.yaml", b"epochs: [")],
)
def test_a_damaged_run(finished, tmp_path, capsys, name, content):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    paths = list((folder / "checkpoint").glob("*.safetensors")) if name == "weights" else [folder / name]
    for path in paths:
        path.write_bytes(content)
    for command in ("eval", "check", "stream"):
        assert paths[0].parent.name in complaint(capsys, [command, str(folder)])


def test_a_full_disk(recipe, tmp_path, monkeypatch, capsys):
    def full(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(checkpoint, "write_bytes", full)
    message = complaint(capsys, ["train", str(recipe), "--run", str(tmp_path / "run")])
    assert "epoch-0001.safetensors could not be written: No space left on device. Finished epochs are kept." in message
    assert f"spikescan train --resume {tmp_path / 'run'}" in message
    monkeypatch.undo()
    assert main(["train", "--resume", str(tmp_path / "run")]) == 0


def test_more_than_memory_holds(tmp_path, capsys):
    events = {name: np.zeros(40, int) for name in "xytp"}
    np.savez(
        tmp_path / "own.npz", offsets=np.arange(5) * 10, target=np.zeros(4, int), sensor=np.array([10**7] * 2), **events
    )
    arguments = ["train", "sequence", "--data.path", str(tmp_path / "own.npz"), "--run", str(tmp_path / "run")]
    assert "not enough memory for this: Unable to allocate" in complaint(capsys, arguments)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made(recipe, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in complaint(capsys, ["train", str(recipe), "--run", str(tmp_path / "file" / "run")])


def test_a_missing_extra_names_the_installation(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith(("jsonargparse", "spikescan.cli."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jsonargparse", None)
    assert "jsonargparse is not installed" in (message := complaint(capsys, ["list", "data"]))
    assert "pip install 'spikescan[train]'" in message


@pytest.mark.parametrize("command", [["list", "data"], ["check"], ["train", "--resume"]])
def test_a_reader_that_has_gone_is_no_error(finished, tmp_path, command):
    shutil.copytree(finished, tmp_path / "run")
    arguments = command if command[0] == "list" else [*command, str(tmp_path / "run")]
    reading, writing = os.pipe()
    os.close(reading)
    code = "import sys; from spikescan.cli import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code, *arguments], stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_debug_shows_the_traceback(monkeypatch):
    from spikescan.errors import InputError

    with pytest.raises(InputError):
        main(["eval", "nowhere", "--debug"])
    monkeypatch.setenv("SPIKESCAN_DEBUG", "1")
    with pytest.raises(InputError):
        main(["eval", "nowhere"])


def test_faults_of_our_own_are_not_hidden(monkeypatch):
    from spikescan.cli import env

    def fault(*arguments):
        raise RuntimeError("a fault")

    monkeypatch.setattr(env, "describe_environment", fault)
    with pytest.raises(RuntimeError, match="a fault"):
        main(["env"])


def test_import_and_help_load_nothing_heavy():
    code = (
        "import sys, spikescan\n"
        "from spikescan.cli import main\n"
        "assert main(['--help']) == 0\n"
        "heavy = {'matplotlib', 'lightning_fabric', 'jsonargparse', 'rich', 'mlxtend', 'tensorboard'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
