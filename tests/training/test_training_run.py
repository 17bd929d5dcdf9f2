"""A data file that changed after training: it is scaled as it was in training, and refused if it no longer fits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from spikescan.data import Scaling
from spikescan.data.sequence import sequence
from spikescan.errors import CheckpointError, DataError
from spikescan.training import Experiment, load_run, train
from spikescan.training.scaling import read_scaling, scaled_as


def write(path: Path, *, offset: float = 0.0, scale: float = 1.0, channels: int = 2, classes: int = 2) -> None:
    """20 samples of 5 steps."""
    random = np.random.default_rng(0)
    y = np.arange(20) % classes
    x = random.normal(size=(20, 5, channels)) + 3.0 * y[:, None, None]
    np.savez(path, x=scale * x + offset, y=y)


@pytest.fixture
def own(tmp_path) -> Experiment:
    write(tmp_path / "own.npz")
    return Experiment(
        data={"name": "sequence", "path": str(tmp_path / "own.npz"), "normalise": True},
        model={"name": "mlp", "width": 4, "depth": 1},
        epochs=1,
        batch_size=8,
        accelerator="cpu",
    )


def test_a_changed_file_is_scaled_as_the_run_was(own, tmp_path):
    folder = tmp_path / "run"
    list(train(own, folder))
    before = (folder / "scaling.json").read_bytes()
    scaling, plain = load_run(folder).scaling, load_run(folder).dataset.test.inputs
    write(tmp_path / "own.npz", offset=50.0, scale=10.0)
    list(train(replace(own, epochs=2), folder, resume=True))
    assert (folder / "scaling.json").read_bytes() == before
    dataset = load_run(folder).dataset
    assert torch.equal(dataset.scaling.mean, scaling.mean)
    raw = 10.0 * scaling.undone(plain) + 50.0
    torch.testing.assert_close(dataset.test.inputs, scaling(raw), rtol=1e-4, atol=1e-4)


def test_an_unchanged_file_keeps_its_bits(own, tmp_path):
    list(train(own, tmp_path / "run"))
    assert torch.equal(load_run(tmp_path / "run").dataset.test.inputs, sequence(**_options(own)).test.inputs)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": 3}, "has 3 input channels and asks for 2 outputs, .* trained on 2 and 2"),
        ({"classes": 3}, "has 2 input channels and asks for 3 outputs, .* trained on 2 and 2"),
        ({"classes": 1}, "asks for 1 outputs"),
        ({}, r"no longer of their kind\. .* real numbers a sample.* Let data in .*config\.yaml name what"),
    ],
)
def test_data_that_no_longer_fits_is_refused(own, tmp_path, changes, message):
    list(train(own, tmp_path / "run"))
    write(tmp_path / "own.npz", **changes)
    if not changes:
        with np.load(tmp_path / "own.npz") as held:
            np.savez(tmp_path / "own.npz", x=held["x"], y=held["y"] + 0.5)
    with pytest.raises(DataError, match=message):
        _ = load_run(tmp_path / "run").dataset
    with pytest.raises(DataError, match=message):
        list(train(replace(own, epochs=2), tmp_path / "run", resume=True))


@pytest.mark.parametrize("scaling", [None, Scaling(torch.zeros(3), torch.ones(3))])
def test_a_scaling_of_other_data_is_refused(own, scaling):
    with pytest.raises(DataError, match=r"own is scaled over \[2\], in the run folder scaling\.json over"):
        scaled_as(sequence(**_options(own)), scaling)


@pytest.mark.parametrize(
    "text",
    [
        "null",
        '{"mean": null, "deviation": [1]}',
        '{"mean": [0, null], "deviation": [1, 1]}',
        '{"mean": [0, 0], "deviation": [1, 0]}',
        '{"mean": [0, 0], "deviation": [1]}',
    ],
)
def test_a_damaged_scaling_is_refused(tmp_path, text):
    (tmp_path / "scaling.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"scaling\.json is damaged"):
        read_scaling(tmp_path)


def _options(experiment: Experiment) -> dict:
    return {name: value for name, value in experiment.data.items() if name != "name"}
