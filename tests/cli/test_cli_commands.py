"""What each command does and prints."""

import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from spikescan.cli import main
from spikescan.cli.text import amount, duration
from spikescan.control import is_control
from spikescan.data import mnist
from spikescan.recipes import find_recipe, list_recipes
from spikescan.streaming import stream
from spikescan.training import experiment_from, load_run
from spikescan.training.build import build_model, build_optimiser, build_schedule, build_task
from spikescan.training.checkpoint import ModelShape
from spikescan.training.config import read_yaml


def test_train_shows_epochs_and_fields_can_be_changed(recipe, tmp_path, capsys):
    folder = tmp_path / "run"
    arguments = [
        "--epochs",
        "1",
        "--neuron.recompute",
        "true",
        "--model.width=4",
        "--optimiser.lr",
        "1e-3",
        "--seed",
        "3",
    ]
    assert main(["train", str(recipe), "--run", str(folder), *arguments]) == 0
    output = capsys.readouterr().out
    assert "epoch 1/1" in output
    assert "validation accuracy" in output
    assert "neuron-steps/s" in output
    assert f"Run folder: {folder}" in output
    experiment = load_run(folder).experiment
    assert experiment.neuron == {"name": "dsn", "initial_decay": [0.5, 0.9], "recompute": True}
    assert experiment.model == {"name": "mlp", "width": 4, "depth": 2}
    assert (experiment.epochs, experiment.seed, experiment.optimiser["lr"]) == (1, 3, 1e-3)


def test_another_neuron_drops_the_options_of_the_recipe(recipe, tmp_path):
    folder = tmp_path / "run"
    arguments = ["--epochs", "1", "--neuron.name", "lif", "--neuron.firing", "{kind: binary, threshold: 0.5}"]
    assert main(["train", str(recipe), "--run", str(folder), *arguments]) == 0
    assert load_run(folder).experiment.neuron == {"name": "lif", "firing": {"kind": "binary", "threshold": 0.5}}


def test_resume_goes_on(finished, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    assert main(["train", "--resume", str(folder), "--epochs", "3"]) == 0
    output = capsys.readouterr().out
    assert "epoch 3/3" in output
    assert "epoch 2/3" not in output


def test_ctrl_c_says_how_to_go_on(recipe, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    import spikescan.training.epoch as epoch

    calls = iter(range(100))
    original = epoch._update

    def interrupted(*arguments):
        if next(calls) == 4:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(epoch, "_update", interrupted)
    assert main(["train", str(recipe), "--run", str(folder)]) == 130
    output = capsys.readouterr()
    assert f"spikescan train --resume {folder}" in output.out
    assert "Traceback" not in output.err
    monkeypatch.undo()
    assert load_run(folder).epoch == 1
    assert main(["train", "--resume", str(folder)]) == 0
    assert [row["epoch"] for row in load_run(folder).metrics] == [1, 2]


def test_eval_reads_the_test_split(finished, recipe, capsys):
    assert main(["eval", str(finished)]) == 0
    output = capsys.readouterr().out
    loaded = load_run(finished)
    batch = mnist(path=str(recipe.parent), columns=True, validation=20).test.batch(slice(None))
    scores = loaded.task.scores(loaded.model(batch.inputs)[0], batch)
    assert f"accuracy {float(scores.mean()):.4f}" in output
    assert "20 samples of the test split" in output
    assert "firing rate of block0.neuron" in output
    kept = json.loads((finished / "evaluation-test.json").read_text())
    assert kept["samples"] == 20
    assert kept["score"] == pytest.approx(float(scores.mean()))
    assert main(["eval", str(finished), "--split", "validation", "--last", "true"]) == 0
    assert "validation split" in capsys.readouterr().out


def test_check_compares_all_ways_of_running(finished, capsys):
    assert main(["check", str(finished), "--chunk_sizes", "[5]", "--samples", "7"]) == 0
    output = capsys.readouterr().out
    assert "7 samples of 28 steps" in output
    assert "step by step: 0 of 7 predictions differ" in output
    assert "in chunks of 5: 0 of 7 predictions differ" in output


def test_check_fails_if_a_prediction_differs(finished, monkeypatch):
    from spikescan.neurons import DSN

    honest = DSN.step

    def wrong(self, x_t, state=None):
        spikes, state = honest(self, x_t, state)
        return spikes.flip(1), state

    monkeypatch.setattr(DSN, "step", wrong, raising=False)
    assert main(["check", str(finished)]) == 1


def test_stream_answers_each_step(finished, tmp_path, capsys, monkeypatch):
    x = np.random.default_rng(0).integers(0, 256, (6, 28))  # pixels, as the images are stored
    live = stream(load_run(finished).model)
    expected = np.stack([live.push(torch.from_numpy(x_t).float() / 255).numpy() for x_t in x])
    np.save(tmp_path / "x.npy", x)
    assert main(["stream", str(finished), "--input", str(tmp_path / "x.npy")]) == 0
    from_file = capsys.readouterr().out
    np.testing.assert_allclose(np.loadtxt(io.StringIO(from_file)), expected, rtol=1e-4, atol=1e-5)
    lines = "\n".join(" ".join(map(str, x_t)) for x_t in x)
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    assert main(["stream", str(finished)]) == 0
    assert capsys.readouterr().out == from_file


def test_stream_answers_before_the_next_step_comes_and_stops_with_its_reader(finished):
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; from spikescan.cli import main; sys.exit(main())", "stream", str(finished)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = " ".join(["0.5"] * 28) + "\n"
    for _ in range(2):
        process.stdin.write(line)
        process.stdin.flush()
        assert len(process.stdout.readline().split()) == 10
    process.stdout.close()
    process.stdin.write(line * 10)
    process.stdin.close()
    assert process.wait(timeout=100) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


@pytest.mark.parametrize(
    ("lines", "message"),
    [("1 2 3\n", "Line 1 has 3 numbers, expected 28"), ("0 " * 28 + "\nx\n", "Line 2 is 'x', expected 28 numbers")],
)
def test_stream_refuses_lines_that_do_not_fit(finished, monkeypatch, capsys, lines, message):
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    assert main(["stream", str(finished)]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((6, 3)), "holds [6, 3], expected [T, 28]"),
        (np.zeros(6), "holds [6], expected [T, 28]"),
        (np.array(["a"]), "holds <U1, expected one array of real numbers"),
        (np.array([None]), "is no .npy file"),
        (np.zeros((6, 28), complex), "holds complex128, expected one array of real numbers"),
    ],
)
def test_stream_refuses_files_that_do_not_fit(finished, tmp_path, capsys, array, message):
    np.save(tmp_path / "x.npy", array)
    assert main(["stream", str(finished), "--input", str(tmp_path / "x.npy")]) == 2
    assert f"x.npy {message}" in capsys.readouterr().err


def test_stream_takes_booleans_for_0_and_1(finished, tmp_path, capsys):
    x = np.random.default_rng(0).random((4, 28)) < 0.5
    printed = []
    for array in (x, x.astype(np.int64)):
        np.save(tmp_path / "x.npy", array)
        assert main(["stream", str(finished), "--input", str(tmp_path / "x.npy")]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1] != ""


def test_report_writes_a_page(finished, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    assert main(["report", str(folder)]) == 0
    assert "report.html" in capsys.readouterr().out
    assert (folder / "report.html").stat().st_size > 1000


def test_demo_trains_checks_and_reports(recipe, tmp_path, monkeypatch, capsys):
    from spikescan.cli import demo

    def report_run(run, *, agreement):
        """Drawn for real by the test above."""
        assert agreement.samples == 5
        return run.folder / "report.html"

    monkeypatch.setattr(demo, "report_run", report_run)
    assert main(["demo", "--recipe", str(recipe), "--run", str(tmp_path / "run"), "--samples", "5"]) == 0
    output = capsys.readouterr().out
    assert "step by step: 0 of 5 predictions differ" in output
    assert "accuracy" in output
    assert str(tmp_path / "run" / "report.html") in output


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("neurons", ["dsn", "lif", "kernel_size=4", "psn", "fixed T"]),
        ("models", ["mlp", "width=128"]),
        ("recipes", ["smnist", "psmnist", "smnist_columns", "sequence", "expressivity"]),
        ("data", ["mnist_small", "permutation_seed=None", "sequence", "normalise=False", "lif_teacher"]),
        ("tasks", ["classification", "label_smoothing=0.0", "step_regression", "score_as='r2'", "imitation"]),
        ("optimisers", ["adamw", "lr=0.005"]),
        ("schedules", ["one_cycle", "warmup=0.3"]),
    ],
)
def test_list(kind, expected, capsys):
    assert main(["list", kind]) == 0
    output = capsys.readouterr().out
    assert [word for word in expected if word not in output] == []


def test_env_names_versions_threads_and_backends(capsys):
    assert main(["env"]) == 0
    output = capsys.readouterr().out
    for word in (f"torch {torch.__version__}", "threads: ", "dynamic_decay", "why"):
        assert word in output


def test_help_and_version(capsys):
    for arguments in (["--help"], ["-h"]):
        assert main(arguments) == 0
        assert "check RUN" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert "spikescan 0." in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        main(["train", "--help"])
    assert "--clip_norm" in capsys.readouterr().out


@pytest.mark.parametrize("name", [name for name in list_recipes() if not is_control(read_yaml(find_recipe(name)))])
def test_recipes_build(name):
    experiment = experiment_from(read_yaml(find_recipe(name)), name)
    model = build_model(experiment, ModelShape(2, 70, 5))
    space = {"forecaster": (7,), "vgg": (17, 17)}.get(experiment.model["name"], ())
    assert model(torch.zeros(5, 1, 2, *space))[0].shape == (5, 1, 70)
    build_optimiser(experiment, model)
    build_schedule(experiment)
    if experiment.task["name"] != "auto":  # that is settled by the data
        build_task(experiment)
    assert find_recipe(name).read_text().startswith("# "), "the first line is what `spikescan list recipes` shows"


def test_numbers_for_people():
    assert [amount(value) for value in (0, 999, 12345, 1.26e6, 3e9)] == ["0", "999", "12.3 k", "1.3 M", "3.0 G"]
    assert [duration(value) for value in (0, 59.6, 75, 3725)] == ["0:00", "1:00", "1:15", "1:02:05"]


def test_show_describes_and_draws_a_neuron(tmp_path, capsys):
    path = tmp_path / "alif.svg"
    assert main(["show", "alif", "--options.tau", "4.0", "--time_steps", "30", "--output", str(path)]) == 0
    output = capsys.readouterr().out
    for expected in (
        "adaptive threshold",
        "causal, streams, any T",
        "3 multiplications, 5 additions, 8 B of state",
        str(path),
    ):
        assert expected in output
    assert path.read_text().startswith("<?xml")


def test_show_refuses_an_option_of_another_type(capsys):
    assert main(["show", "alif", "--options.tau", "slow"]) == 2
    assert "neuron alif" in (message := capsys.readouterr().err)
    assert '"tau"' in message


def test_show_refuses_what_is_no_neuron(capsys):
    assert main(["show", "alff"]) != 0
    assert "Did you mean 'alif'" in capsys.readouterr().err
