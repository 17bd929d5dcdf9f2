"""Checkpoints are whole, or they are not there; damaged and foreign ones are refused."""

import errno
import json
import math
import resource
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from spikescan.errors import CheckpointError
from spikescan.files import write_bytes, write_text, write_whole
from spikescan.training import EpochEnd, checkpoint, load_run, train
from spikescan.training.checkpoint import (
    Index,
    ModelShape,
    load_training_state,
    load_weights,
    read_index,
    save_checkpoint,
)

SHAPE = ModelShape(2, 3, 4)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def saved(tmp_path) -> Path:
    save_checkpoint(tmp_path, nn.Linear(2, 3), {"optimiser": {"state": {}}}, Index(1, 5, 1, 0.5, SHAPE))
    return tmp_path


def test_what_is_saved_comes_back(saved):
    model, other = nn.Linear(2, 3), nn.Linear(2, 3)
    save_checkpoint(saved, model, {"optimiser": {"state": {0: torch.ones(2)}}}, Index(2, 10, 2, 0.75, SHAPE))
    assert read_index(saved) == Index(2, 10, 2, 0.75, SHAPE)
    load_weights(saved, 2, other)
    assert torch.equal(model.weight, other.weight)
    assert torch.equal(load_training_state(saved, 2)["optimiser"]["state"][0], torch.ones(2))


def test_only_the_last_and_the_best_epoch_are_kept(saved):
    for epoch, best in ((2, 2), (3, 2), (4, 2)):
        save_checkpoint(saved, nn.Linear(2, 3), {"optimiser": {}}, Index(epoch, 5 * epoch, best, 0.5, SHAPE))
    assert sorted(tree(saved)) == [
        "checkpoint.json",
        "epoch-0002.safetensors",
        "epoch-0004.pt",
        "epoch-0004.safetensors",
    ]


def best_of(ends: list[tuple[float, float]]) -> int:
    """The best epoch after epochs with these (score, loss)."""
    index = Index(0, 0, 0, -math.inf, SHAPE)
    for score, loss in ends:
        index = index.after_epoch(10, score, loss)
    assert (index.epoch, index.step) == (len(ends), 10 * len(ends))
    return index.best_epoch


def test_the_best_epoch_has_the_best_score_then_the_least_loss_and_is_then_the_first():
    assert best_of([(0.5, 1.0), (0.7, 2.0), (0.6, 0.1)]) == 2
    assert best_of([(0.7, 1.0), (0.7, 0.5), (0.7, 0.9)]) == 2
    assert best_of([(0.7, 0.5), (0.7, 0.5)]) == 1
    assert best_of([(math.nan, 1.0), (0.2, 3.0), (0.1, 0.1)]) == 2


def test_a_score_that_is_not_a_number_is_no_improvement():
    assert best_of([(0.2, 3.0), (math.nan, 0.1), (math.nan, math.nan)]) == 1
    assert best_of([(math.nan, 2.0), (math.nan, 1.0), (math.nan, math.nan)]) == 2
    assert best_of([(math.nan, math.nan)] * 3) == 1
    assert best_of([(0.2, math.nan), (0.2, 1.0)]) == 2
    assert best_of([(-math.inf, math.inf)]) == 1


def test_an_index_without_the_best_loss_is_read(saved):
    path = saved / "checkpoint.json"
    values = json.loads(path.read_text())
    del values["best_loss"]
    write_text(path, json.dumps(values))
    assert read_index(saved) == Index(1, 5, 1, 0.5, SHAPE)


def test_tied_weights_are_saved(tmp_path):
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    save_checkpoint(tmp_path, model, {"optimiser": {}}, Index(1, 1, 1, 0.0, SHAPE))
    load_weights(tmp_path, 1, model)


def test_no_epoch_is_no_error(tmp_path):
    assert read_index(tmp_path) is None


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """Within it no file gets more bytes than `room`: the operating system itself refuses them."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("stops_at", ["epoch-0002.safetensors", "epoch-0002.pt", "checkpoint.json"])
def test_a_full_disk_leaves_the_epoch_before(saved, monkeypatch, stops_at):
    before = tree(saved)

    def write(path: Path, content: bytes | memoryview | str) -> None:
        original = write_text if isinstance(content, str) else write_bytes
        with full_disk(10) if path.name == stops_at else nullcontext():
            original(path, content)

    monkeypatch.setattr(checkpoint, "write_bytes", write)
    monkeypatch.setattr(checkpoint, "write_text", write)
    with pytest.raises(OSError, match=stops_at):
        save_checkpoint(saved, nn.Linear(2, 3), {"optimiser": {}}, Index(2, 10, 2, 0.75, SHAPE))
    assert {name: content for name, content in tree(saved).items() if name in before} == before
    assert not [name for name in tree(saved) if "tmp" in name]
    assert read_index(saved).epoch == 1
    load_weights(saved, 1, nn.Linear(2, 3))


def test_a_full_disk_while_training_leaves_a_run_that_goes_on(experiment, tmp_path):
    events = train(experiment, tmp_path)
    next(event for event in events if isinstance(event, EpochEnd))
    with full_disk(3000), pytest.raises(OSError, match=rf"epoch-0002\.\w+ could not .* --resume {tmp_path}"):
        list(events)
    assert load_run(tmp_path).epoch == 1
    assert [e.epoch for e in train(experiment, tmp_path, resume=True) if isinstance(e, EpochEnd)] == [2, 3]
    assert [row["epoch"] for row in load_run(tmp_path).metrics] == [1, 2, 3]


def test_a_folder_that_cannot_be_written_is_an_os_error(experiment, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        list(train(experiment, tmp_path / "file" / "run"))


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_write_whole_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "file"
    write_text(path, "old")

    def fail(temporary: Path) -> None:
        temporary.write_text("ne")
        raise error

    with pytest.raises(type(error)):
        write_whole(path, fail)
    assert tree(tmp_path) == {"file": b"old"}
    write_text(path, "new")
    assert tree(tmp_path) == {"file": b"new"}


def test_truncated_files_are_refused(saved):
    for name, load in (
        ("epoch-0001.safetensors", lambda: load_weights(saved, 1, nn.Linear(2, 3))),
        ("epoch-0001.pt", lambda: load_training_state(saved, 1)),
        ("checkpoint.json", lambda: read_index(saved)),
    ):
        whole = (saved / name).read_bytes()
        for content in (whole[: len(whole) // 2], b"", b"something else altogether"):
            (saved / name).write_bytes(content)
            with pytest.raises(CheckpointError, match=name):
                load()
        (saved / name).write_bytes(whole)
        load()


def test_missing_files_are_refused(saved):
    with pytest.raises(CheckpointError, match=r"epoch-0007\.safetensors is missing"):
        load_weights(saved, 7, nn.Linear(2, 3))
    with pytest.raises(CheckpointError, match=r"epoch-0007\.pt is missing"):
        load_training_state(saved, 7)


def test_code_in_a_training_state_is_not_run(saved):
    torch.save({"optimiser": print}, saved / "epoch-0001.pt")
    with pytest.raises(CheckpointError, match="no training state"):
        load_training_state(saved, 1)


@pytest.mark.parametrize("content", ["[]", '{"format": "other"}', '{"format": "spikescan checkpoint 1"}', "{}", "7"])
def test_a_foreign_index_is_refused(saved, content):
    (saved / "checkpoint.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"checkpoint\.json is damaged, or no index"):
        read_index(saved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epoch": "a"}, "epoch is 'a'"),
        ({"step": 1.5}, "step is 1.5"),
        ({"best_score": None}, "best_score is None"),
        ({"shape": {"inputs": "2", "outputs": 3, "time_steps": 4}}, "inputs is '2'"),
        ({"shape": {"inputs": 2, "outputs": -3, "time_steps": 4}}, "outputs is -3"),
    ],
)
def test_a_damaged_index_is_refused(saved, changes, message):
    path = saved / "checkpoint.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(CheckpointError, match=rf"checkpoint\.json is damaged.*{message}"):
        read_index(saved)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(2, 4), r"weight is \[3, 2\], here \[4, 2\]"),
        (nn.Linear(2, 3, bias=False), "it has bias, which this network lacks"),
        (nn.Sequential(nn.Linear(2, 3)), r"lacks 0\.weight; it lacks 0\.bias; it has .* and 1 more"),
    ],
)
def test_weights_of_another_network_are_refused(saved, model, message):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        load_weights(saved, 1, model)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_run_folder_is_checked(experiment, tmp_path):
    with pytest.raises(CheckpointError, match=r"no run folder: it has no config\.yaml"):
        load_run(tmp_path)
    events = train(experiment, tmp_path)
    next(events)
    with pytest.raises(CheckpointError, match=r"no finished epoch. Go on with: spikescan train --resume"):
        load_run(tmp_path)
    list(events)
    load_run(tmp_path)
    path = tmp_path / "checkpoint" / f"epoch-{load_run(tmp_path).epoch:04d}.safetensors"
    save_file({**load_file(path), "extra": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="it has extra, which this network lacks"):
        load_run(tmp_path)


def test_a_run_is_loaded_without_its_data(experiment, tmp_path):
    list(train(replace(experiment, epochs=1), tmp_path))
    config = tmp_path / "config.yaml"
    config.write_text(config.read_text().replace(experiment.data["path"], "/nowhere"))
    y, _ = load_run(tmp_path).model(torch.zeros(3, 2, 28))
    assert y.shape == (3, 2, 10)


def test_the_environment_is_written(experiment, tmp_path):
    next(train(experiment, tmp_path))
    written = json.loads((tmp_path / "environment.json").read_text())
    assert written["packages"]["torch"] == torch.__version__
    assert {"python", "system", "processor", "cores", "threads", "gpus", "git"} <= set(written)
