"""Training, stopping and resuming."""

import itertools
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from spikescan.data import Split
from spikescan.data import registry as data_registry
from spikescan.errors import CheckpointError, DataError, InputError
from spikescan.layers import RateReadout, Sequential
from spikescan.models import registry as model_registry
from spikescan.neurons.base import Temporal
from spikescan.training import EpochEnd, NonFiniteError, Notice, Step, load_run, train
from spikescan.training.checkpoint import load_training_state
from spikescan.training.epoch import _mix
from spikescan.training.metrics import read_metrics

MEASURED = ("seconds", "neuron_steps_per_second")


def run(experiment, folder: Path, resume: bool = False) -> list:
    return list(train(experiment, folder, resume=resume))


def weights(folder: Path, epoch: int) -> dict[str, torch.Tensor]:
    return load_file(folder / "checkpoint" / f"epoch-{epoch:04d}.safetensors")


def register(monkeypatch, build) -> None:
    monkeypatch.setitem(model_registry._models, "special", build)


def test_a_run_learns_and_leaves_a_folder_that_can_be_read(experiment, tmp_path):
    events = run(replace(experiment, epochs=12), tmp_path / "run")
    steps = [event for event in events if isinstance(event, Step)]
    ends = [event for event in events if isinstance(event, EpochEnd)]
    assert [event.step for event in steps] == list(range(1, 12 * 3 + 1))
    assert all(event.steps == 36 and event.neuron_steps_per_second > 0 for event in steps)
    assert steps[-1].seconds_left == 0
    assert ends[-1].metrics["validation_accuracy"] >= 0.75
    assert ends[-1].metrics["train_loss"] < ends[0].metrics["train_loss"]
    assert {p.name for p in (tmp_path / "run").iterdir()} == {
        "config.yaml",
        "metrics.csv",
        "environment.json",
        "inputs.json",
        "checkpoint",
    }
    loaded = load_run(tmp_path / "run")
    best = max(ends, key=lambda end: (end.metrics["validation_accuracy"], -end.metrics["validation_loss"]))
    assert loaded.epoch == best.epoch == max(end.epoch for end in ends if end.is_best)
    assert loaded.experiment == replace(experiment, epochs=12)
    assert loaded.metrics == read_metrics(tmp_path / "run" / "metrics.csv") == [end.metrics for end in ends]
    assert not loaded.model.training
    assert len(loaded.dataset.test) == 20


@pytest.mark.parametrize("stop_at", ["the end of an epoch", "the middle of an epoch", "the first update"])
def test_a_resumed_run_has_the_bits_of_one_never_stopped(experiment, tmp_path, stop_at):
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    run(experiment, straight)
    events = train(experiment, stopped)
    if stop_at == "the end of an epoch":
        next(event for event in events if isinstance(event, EpochEnd))
    else:
        next(itertools.islice(events, 0 if stop_at == "the first update" else 5, None))
    events.close()
    run(experiment, stopped, resume=True)

    for name, tensor in weights(straight, 3).items():
        assert torch.equal(tensor, weights(stopped, 3)[name]), name
    states = [load_training_state(folder / "checkpoint", 3)["optimiser"]["state"] for folder in (straight, stopped)]
    for index, moments in states[0].items():
        for name, tensor in moments.items():
            assert torch.equal(tensor, states[1][index][name]), name
    rows = [
        [{k: v for k, v in row.items() if k not in MEASURED} for row in read_metrics(folder / "metrics.csv")]
        for folder in (straight, stopped)
    ]
    assert rows[0] == rows[1]


def test_the_seed_decides(experiment, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(replace(experiment, epochs=1, seed=seed), tmp_path / name)
    a, b, c = (weights(tmp_path / name, 1) for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert any(not torch.equal(a[name], c[name]) for name in a)
    assert len({_mix(seed, epoch) for seed in range(20) for epoch in range(20)}) == 400


def test_what_was_measured_is_gone_with_the_next_epoch_and_not_before(experiment, tmp_path):
    run(experiment, tmp_path)
    measured = [tmp_path / name for name in ("agreement.json", "energy.json", "energy.csv", "evaluation-test.json")]
    for path in measured:
        path.write_text("{}")
    assert run(experiment, tmp_path, resume=True) == []  # no epoch is left
    events = train(replace(experiment, epochs=4), tmp_path, resume=True)
    next(events)
    events.close()  # within an epoch, which is lost
    assert all(path.exists() for path in measured)
    run(replace(experiment, epochs=4), tmp_path, resume=True)
    assert not any(path.exists() for path in measured)
    assert load_run(tmp_path).metrics


def test_a_finished_run_can_go_on_for_more_epochs_and_for_nothing_else(experiment, tmp_path):
    run(experiment, tmp_path)
    assert run(experiment, tmp_path, resume=True) == []
    assert [e.epoch for e in run(replace(experiment, epochs=4), tmp_path, resume=True) if isinstance(e, EpochEnd)] == [
        4
    ]
    with pytest.raises(InputError, match=r"batch_size is now 8, .* it is 16"):
        run(replace(experiment, batch_size=8), tmp_path, resume=True)
    with pytest.raises(InputError, match=r"holds a run already.*--resume"):
        run(experiment, tmp_path)


def test_a_run_without_an_epoch_may_be_deleted(experiment, tmp_path):
    events = train(experiment, tmp_path)
    next(events)
    events.close()
    with pytest.raises(InputError, match=r"holds a run already, of which no epoch is finished: delete it .*--resume"):
        run(experiment, tmp_path)


def test_epochs_and_steps_stay_whole_numbers(experiment, tmp_path):
    run(replace(experiment, epochs=1), tmp_path)
    first = (tmp_path / "metrics.csv").read_text().splitlines()[1]
    run(replace(experiment, epochs=2), tmp_path, resume=True)
    assert (tmp_path / "metrics.csv").read_text().splitlines()[1] == first
    assert first.startswith("1,3,")


def test_resuming_needs_a_run(experiment, tmp_path):
    with pytest.raises(CheckpointError, match=r"no run folder: it has no config\.yaml"):
        run(experiment, tmp_path / "nowhere", resume=True)


def test_early_stop_watches_the_validation_score(experiment, tmp_path):
    still = replace(experiment, epochs=9, patience=2, optimiser={"name": "sgd", "lr": 0.0, "momentum": 0.0})
    assert [event.epoch for event in run(still, tmp_path) if isinstance(event, EpochEnd)] == [1, 2, 3]
    assert load_run(tmp_path).epoch == 1
    assert run(still, tmp_path, resume=True) == []
    assert load_run(tmp_path, last=True).epoch == 3


class Sealed(Split):
    """A split of which no batch may be cut."""

    def batch(self, indices, *, trim=False):
        raise AssertionError("the test split was read")


def test_the_test_split_is_not_looked_at(experiment, tmp_path, monkeypatch):
    loader = data_registry.data_loader("mnist")

    def without_test(*, path: str) -> object:
        dataset = loader(path=path, columns=True, validation=20)
        return replace(dataset, test=Sealed(dataset.test.inputs, dataset.test.targets))

    monkeypatch.setitem(data_registry._LOADERS, "mnist", without_test)
    run(replace(experiment, data={"name": "mnist", "path": experiment.data["path"]}, epochs=1), tmp_path)


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
def test_other_precisions(experiment, tmp_path, precision):
    end = run(replace(experiment, neuron={"name": "lif"}, epochs=1, precision=precision), tmp_path)[-1]
    assert math.isfinite(end.metrics["validation_loss"])


def test_a_parameter_without_gradient_is_reported(experiment, tmp_path, monkeypatch):
    def build(inputs: int, outputs: int, *, neuron: object) -> Temporal:
        model = Sequential(nn.Linear(inputs, outputs), RateReadout())
        model.register_parameter("idle", nn.Parameter(torch.zeros(1)))
        return model

    register(monkeypatch, build)
    events = run(replace(experiment, epochs=2, model={"name": "special"}), tmp_path)
    assert [event.message for event in events if isinstance(event, Notice)] == [
        "No gradient reaches idle: the loss does not depend on them, and they stay as they are."
    ] * 2


class Breaks(Temporal):
    """Passes its input on, but at time step 5 of training batches puts in what is not finite."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x, state=None, lengths=None):
        y = x.clone()
        y[5, -1] = self.value
        return y, ()

    def step(self, x_t, state=None):
        return x_t, ()

    def initial_state(self, x_t):
        return ()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_names_layer_and_time_step(experiment, tmp_path, monkeypatch, value):
    def build(inputs: int, outputs: int, *, neuron: object) -> Temporal:
        parts = {"in": nn.Linear(inputs, 4), "broken": Breaks(value), "head": nn.Linear(4, outputs)}
        return Sequential({**parts, "readout": RateReadout()})

    register(monkeypatch, build)
    with pytest.raises(NonFiniteError, match=r"epoch 1, update 1 of 3\. The layer broken \(Breaks\).* time step 5\."):
        run(replace(experiment, model={"name": "special"}), tmp_path)


def test_a_gradient_that_is_not_finite_names_the_parameter(experiment, tmp_path, monkeypatch):
    class Root(nn.Module):
        """sqrt(0), whose derivative is infinite; its parameter is not the first of the network."""

        def __init__(self, channels: int) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(channels))

        def forward(self, x):
            return x + self.weight.abs().sqrt()

    def build(inputs: int, outputs: int, *, neuron: object) -> Temporal:
        return Sequential({"in": nn.Linear(inputs, outputs), "root": Root(outputs), "readout": RateReadout()})

    register(monkeypatch, build)
    with pytest.raises(NonFiniteError, match=r"epoch 1, update 1 of 3: that of root\.module\.weight\."):
        run(replace(experiment, model={"name": "special"}), tmp_path)


def test_parameters_that_overflowed_are_named(experiment, tmp_path):
    wild = replace(experiment, optimiser={"name": "sgd", "lr": 1e38}, schedule={"name": "constant"}, clip_norm=None)
    with pytest.raises(NonFiniteError, match=r"The parameter .* is not finite|The layer .* at time step"):
        run(wild, tmp_path)


def test_nan_in_the_data_is_named(experiment, tmp_path, monkeypatch):
    loader = data_registry.data_loader("mnist")

    def damaged(*, path: str) -> object:
        dataset = loader(path=path, columns=True, validation=20)
        split = dataset.train
        inputs = split.encoded(slice(None)).clone()
        inputs[3, 7] = math.nan
        return replace(dataset, train=replace(split, inputs=inputs, encode=None))

    monkeypatch.setitem(data_registry._LOADERS, "mnist", damaged)
    data = {"name": "mnist", "path": experiment.data["path"]}
    with pytest.raises(NonFiniteError, match="input of the batch is not finite at time step 7"):
        run(replace(experiment, data=data), tmp_path / "unchecked")
    with pytest.raises(DataError, match=r"sample 3 of the train split .* time step 7"):
        run(replace(experiment, data=data, check_inputs=True), tmp_path / "checked")
    assert not (tmp_path / "checked").exists()


@pytest.mark.parametrize(
    "changes", [{"precision": "12-true"}, {"accelerator": "abacus"}, {"devices": "none"}, {"strategy": "luck"}]
)
def test_what_fabric_does_not_take_is_said(experiment, tmp_path, changes):
    with pytest.raises(InputError, match=f"Lightning Fabric cannot start .*{next(iter(changes.values()))}"):
        run(replace(experiment, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_tensorboard_is_written_on_demand(experiment, tmp_path):
    pytest.importorskip("tensorboard")
    run(replace(experiment, epochs=1, tensorboard=True), tmp_path)
    assert list((tmp_path / "tensorboard").glob("events.out.tfevents.*"))
