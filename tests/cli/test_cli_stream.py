"""spikescan stream reads what the data's own files hold, and makes of it what training made."""

import io
import shutil
import sys

import numpy as np
import pytest
import torch

from spikescan.cli import main
from spikescan.streaming import stream
from spikescan.training import load_run

SMALL = ["--epochs", "1", "--batch_size", "8", "--accelerator", "cpu"]


def trained(tmp_path, recipe: str):
    (tmp_path / "recipe.yaml").write_text(recipe)
    assert main(["train", str(tmp_path / "recipe.yaml"), "--run", str(tmp_path / "run"), *SMALL]) == 0
    return tmp_path / "run"


def outputs(capsys) -> np.ndarray:
    return np.loadtxt(io.StringIO(capsys.readouterr().out), ndmin=2)


def test_columns_of_a_colour_image(tmp_path, capsys, monkeypatch):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    labels = (np.arange(40) % 10).astype(np.uint8)
    np.savez(tmp_path / "cifar10.npz", x_train=images, y_train=labels, x_test=images[:4], y_test=labels[:4])
    model = "{name: sequential_cnn, width: 4, hidden: 8, convolutions: [1]}"
    data = f"{{name: cifar10, path: {tmp_path / 'cifar10.npz'}, columns: true, validation: 10}}"
    folder = trained(tmp_path, f"data: {data}\nmodel: {model}\nneuron: {{name: dsn}}\n")
    run = load_run(folder)
    batch = run.dataset.test.batch(slice(0, 1))
    live = stream(run.model)
    expected = [live.push(x_t[0]).numpy() for x_t in batch.inputs[:5]]
    pixels = run.dataset.test.inputs[0, :5].numpy()
    assert pixels.shape == (5, 3, 32)
    assert pixels.max() > 1
    capsys.readouterr()
    np.save(tmp_path / "x.npy", pixels)
    assert main(["stream", str(folder), "--input", str(tmp_path / "x.npy")]) == 0
    np.testing.assert_allclose(outputs(capsys), np.stack(expected), rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(" ".join(map(str, x_t.ravel())) for x_t in pixels)))
    assert main(["stream", str(folder)]) == 0
    np.testing.assert_allclose(outputs(capsys), np.stack(expected), rtol=1e-4, atol=1e-5)
    np.save(tmp_path / "x.npy", pixels[:, :2])
    assert main(["stream", str(folder), "--input", str(tmp_path / "x.npy")]) == 2
    assert "[5, 2, 32], expected [T, 3, 32]" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", io.StringIO("1 2 3\n"))
    assert main(["stream", str(folder)]) == 2
    assert "has 3 numbers, expected 96" in capsys.readouterr().err


def test_symbols_are_numbers(tmp_path, capsys, monkeypatch):
    (tmp_path / "input.txt").write_text("to be or not to be, that is the question. " * 30)
    data = f"{{name: tiny_shakespeare, path: {tmp_path / 'input.txt'}, steps: 16, checksum: false}}"
    folder = trained(
        tmp_path,
        f"data: {data}\ntask: {{name: step_classification}}\nmodel: {{name: mlp, width: 4, depth: 1}}\nneuron: {{name: dsn}}\n",
    )
    run = load_run(folder)
    symbols = run.dataset.test.inputs[0, :4, 0]
    live = stream(run.model)
    expected = [live.push(torch.eye(run.dataset.classes)[symbol]).numpy() for symbol in symbols.long()]
    capsys.readouterr()
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(map(str, symbols.tolist()))))
    assert main(["stream", str(folder)]) == 0
    np.testing.assert_allclose(outputs(capsys), np.stack(expected), rtol=1e-4, atol=1e-5)
    for wrong in ("1000", "-1", "0.5"):
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{wrong}\n"))
        assert main(["stream", str(folder)]) == 2
        assert f"{wrong} is no symbol" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "inputs.json is damaged"),
        ('{"shape": [28], "encoding": {"kind": null}}', "encoded by code of its own"),
        ('{"shape": [28], "encoding": {"kind": "as_float", "divider": 2}}', "inputs.json is damaged"),
        ('{"shape": [28], "encoding": {"kind": "one_hot", "symbols": "a"}}', "inputs.json is damaged"),
        ('{"shape": [28], "encoding": {"kind": "one_hot", "symbols": -1}}', "inputs.json is damaged"),
        ('{"shape": [2.5], "encoding": null}', "inputs.json is damaged"),
    ],
)
def test_what_cannot_be_read_is_named(finished, tmp_path, capsys, monkeypatch, text, message):
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "inputs.json").write_text(text)
    monkeypatch.setattr(sys, "stdin", io.StringIO("0 " * 28 + "\n"))
    assert main(["stream", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err


def test_a_run_that_does_not_say_takes_what_the_model_takes(finished, tmp_path, capsys, monkeypatch):
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "inputs.json").unlink()
    monkeypatch.setattr(sys, "stdin", io.StringIO("0.5 " * 28 + "\n"))
    assert main(["stream", str(tmp_path / "run")]) == 0
    expected = stream(load_run(finished).model).push(torch.full((28,), 0.5))
    np.testing.assert_allclose(outputs(capsys)[0], expected.numpy(), rtol=1e-4, atol=1e-5)


def test_bytes_that_are_no_text_are_named(finished, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe\n"), encoding="utf-8", errors="strict"))
    assert main(["stream", str(finished)]) == 2
    assert "after line 0 is no text: 'utf-8' codec can't decode byte 0xff" in capsys.readouterr().err


def test_a_closed_input_is_named(finished, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["stream", str(finished)]) == 2
    assert "Standard input is closed" in capsys.readouterr().err
