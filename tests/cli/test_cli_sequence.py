"""A file of one's own through every command."""

import io
import sys

import numpy as np
import pytest
import torch

from spikescan.cli import main
from spikescan.streaming import stream
from spikescan.training import load_run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of the recipe on 40 recordings of 3 to 12 steps."""
    folder = tmp_path_factory.mktemp("own")
    random = np.random.default_rng(0)
    lengths, y = random.integers(3, 13, size=40), np.arange(40) % 2
    x = np.concatenate([50 + random.normal(size=(n, 2)) + 3 * label for n, label in zip(lengths, y, strict=True)])
    np.savez(folder / "own.npz", x=x, y=y, offsets=np.concatenate([[0], np.cumsum(lengths)]))
    arguments = ["--data.path", str(folder / "own.npz"), "--run", str(folder / "run"), "--accelerator", "cpu"]
    small = ["--model.width", "8", "--model.depth", "1", "--epochs", "4", "--batch_size", "8", "--optimiser.lr", "0.05"]
    assert main(["train", "sequence", *arguments, *small]) == 0
    return folder / "run"


def test_eval_and_check(trained, capsys):
    assert main(["eval", str(trained)]) == 0
    assert "accuracy 1.0000" in capsys.readouterr().out
    assert main(["check", str(trained), "--chunk_sizes", "[2]"]) == 0
    assert "0 of 6 predictions differ" in capsys.readouterr().out


def test_a_stream_is_scaled_as_the_data_was(trained, capsys, monkeypatch):
    run = load_run(trained)
    x = (50 + np.random.default_rng(1).normal(size=(5, 2))).astype(np.float32)
    assert main(["train", "--resume", str(trained)]) == 0
    capsys.readouterr()
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(" ".join(map(str, row)) for row in x)))
    assert main(["stream", str(trained)]) == 0
    found = np.loadtxt(io.StringIO(capsys.readouterr().out))
    live = stream(run.model)
    expected = [live.push((torch.from_numpy(row) - run.scaling.mean) / run.scaling.deviation) for row in x]
    np.testing.assert_allclose(found, np.stack([y.numpy() for y in expected]), rtol=1e-4, atol=1e-5)
    assert run.scaling.mean.tolist() == pytest.approx([51.5, 51.5], abs=0.5)


def test_report(trained, capsys):
    assert main(["report", str(trained)]) == 0
    assert (trained / "report.html").stat().st_size > 1000


def test_the_recipe_says_that_it_needs_a_file(tmp_path, capsys):
    assert main(["train", "sequence", "--run", str(tmp_path / "run")]) == 2
    assert "--data.path FILE.npz" in capsys.readouterr().err


def test_a_damaged_scaling_is_named(trained, tmp_path, capsys):
    import shutil

    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "scaling.json").write_text("{}")
    assert main(["eval", str(tmp_path / "run")]) == 2
    assert "scaling.json is damaged" in capsys.readouterr().err
