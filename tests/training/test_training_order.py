"""The order of samples: a draw, and batches of similar lengths."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from spikescan.data import Split
from spikescan.layers import LastReadout, Sequential
from spikescan.recipes import find_recipe
from spikescan.tasks import StepClassification
from spikescan.training import EpochEnd, Experiment, experiment_from, launch_fabric, load_run, train
from spikescan.training.config import merge, read_yaml
from spikescan.training.epoch import Learner, _update
from spikescan.training.evaluation import evaluate, means, shares
from spikescan.training.order import by_length, shuffled
from spikescan.training.run import read_experiment


def split_of(lengths) -> Split:
    lengths = torch.as_tensor(lengths)
    return Split(
        torch.zeros(len(lengths), int(lengths.max()), 1), torch.zeros(len(lengths), dtype=torch.int64), lengths
    )


def draw(split: Split, size: int, seed: int = 0, bucket: bool = True) -> torch.Tensor:
    return shuffled(split, size, torch.Generator().manual_seed(seed), bucket=bucket)


@pytest.mark.parametrize("count", [1, 7, 16, 1000])
@pytest.mark.parametrize("size", [1, 8])
def test_every_sample_comes_once(count, size):
    split = split_of(torch.randint(1, 100, (count,)))
    assert sorted(draw(split, size).tolist()) == list(range(count))
    assert torch.equal(draw(split, size), draw(split, size))
    assert sorted(by_length(split).tolist()) == list(range(count))


def test_batches_hold_similar_lengths_and_change_with_the_draw():
    torch.manual_seed(0)
    split = split_of(torch.randint(1, 100, (1005,)))

    def padded(order: torch.Tensor) -> int:
        return sum(int(split.lengths[batch].max()) * len(batch) for batch in order.split(8))

    valid = int(split.lengths.sum())
    assert padded(draw(split, 8, bucket=False)) > 1.7 * valid
    assert padded(draw(split, 8)) < 1.1 * valid
    first, second = ({frozenset(batch.tolist()) for batch in draw(split, 8, seed).split(8)} for seed in (0, 1))
    assert not first & second
    # Batches do not come by length.
    means = torch.stack([split.lengths[batch].float().mean() for batch in draw(split, 8).split(8)])
    assert abs(torch.corrcoef(torch.stack([means, torch.arange(len(means)).float()]))[0, 1]) < 0.3


def test_without_lengths_the_order_is_a_plain_draw():
    split = Split(torch.zeros(9, 4, 1), torch.zeros(9))
    expected = torch.randperm(9, generator=torch.Generator().manual_seed(3))
    assert torch.equal(draw(split, 4, seed=3), expected)
    assert torch.equal(draw(split_of([4, 1, 2] * 3), 4, seed=3, bucket=False), expected)
    assert torch.equal(by_length(split), torch.arange(9))


@pytest.fixture
def ragged(tmp_path) -> Experiment:
    """60 recordings of 2 to 20 steps with two classes, which the first channel tells at every step."""
    random = np.random.default_rng(0)
    lengths = random.integers(2, 21, size=60)
    y = np.arange(60) % 2
    x = np.concatenate([random.normal(size=(n, 3)) + 2 * label for n, label in zip(lengths, y, strict=True)])
    steps = np.repeat(y, lengths)
    steps[::5] = -100
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    for name, target in (("sample", y), ("step", steps), ("real", y * 1.0), ("real_step", np.repeat(y, lengths) * 1.0)):
        np.savez(tmp_path / f"{name}.npz", x=x, y=target, offsets=offsets)
    return Experiment(
        data={"name": "sequence", "path": str(tmp_path / "sample.npz"), "normalise": True},
        task={"name": "auto"},
        model={"name": "mlp", "width": 8, "depth": 1, "readout": "leaky"},
        neuron={"name": "dsn", "initial_decay": [0.5, 0.9]},
        optimiser={"name": "adamw", "lr": 0.02},
        epochs=2,
        batch_size=8,
        accelerator="cpu",
    )


def kinds(experiment: Experiment, name: str, **changes) -> Experiment:
    path = experiment.data["path"].replace("sample", name)
    return replace(experiment, data={**experiment.data, "path": path}, **changes)


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("sample", "classification"),
        ("step", "step_classification"),
        ("real", "regression"),
        ("real_step", "step_regression"),
    ],
)
def test_the_task_follows_from_the_targets_and_is_written_down(ragged, tmp_path, name, task):
    folder = tmp_path / "run"
    events = list(train(kinds(ragged, name), folder))
    assert isinstance(events[-1], EpochEnd)
    assert read_experiment(folder).task == {"name": task}
    run = load_run(folder)
    rows = [row["validation_loss"] for row in run.metrics]
    assert rows[-1] < rows[0]
    torch.testing.assert_close(run.scaling.mean, run.dataset.scaling.mean)


def test_a_run_with_lengths_resumes_with_the_same_bits(ragged, tmp_path):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    step = kinds(ragged, "step", schedule={"name": "constant"})
    list(train(step, whole))
    list(train(replace(step, epochs=1), halves))
    list(train(step, halves, resume=True))
    one, other = (load_file(folder / "checkpoint" / "epoch-0002.safetensors") for folder in (whole, halves))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_class_weights_are_counted_on_the_training_split(ragged, tmp_path):
    balanced = replace(ragged, task={"name": "classification", "class_weights": "balanced"}, epochs=1)
    list(train(balanced, tmp_path / "run"))
    run = load_run(tmp_path / "run")
    counts = run.dataset.train.targets.bincount().double()
    expected = (counts.sum() / (2 * counts)).tolist()
    assert run.experiment.task["class_weights"] == pytest.approx(expected)


def test_the_best_epoch_has_the_lowest_score_where_less_is_better(ragged, tmp_path):
    lowest = kinds(ragged, "real", task={"name": "regression", "score_as": "mse"}, epochs=3)
    list(train(lowest, tmp_path / "run"))
    run = load_run(tmp_path / "run")
    scores = [row["validation_mse"] for row in run.metrics]
    assert run.epoch == 1 + scores.index(min(scores))


@pytest.mark.parametrize("name", ["sample", "step", "real", "real_step"])
def test_evaluation_with_lengths_does_not_depend_on_the_batches(ragged, tmp_path, name):
    list(train(kinds(ragged, name, epochs=1), tmp_path / "run"))
    run = load_run(tmp_path / "run")
    fabric = launch_fabric(run.experiment)
    model = fabric.setup_module(run.model)
    split = run.dataset.train
    found = [evaluate(fabric, model, run.task, split, size) for size in (1, 7, 60)]
    batch = split.batch(slice(None))
    with torch.no_grad():
        outputs, _ = run.model(batch.inputs, None, batch.lengths)
    weight = float(run.task.weights(batch.targets, batch.lengths).sum())
    loss = float(run.task.losses(outputs, batch).sum()) / weight
    score = run.task.score(float(run.task.scores(outputs, batch).sum()) / weight, run.task.reference(split))
    for each in found:
        assert each.loss == pytest.approx(loss, rel=1e-5)
        assert each.score == pytest.approx(score, rel=1e-5)


def test_neurons_bound_to_a_length_get_whole_batches(ragged, tmp_path):
    list(train(replace(ragged, neuron={"name": "psn"}, epochs=1), tmp_path / "run"))


@pytest.mark.parametrize("world", [1, 2])
def test_an_update_is_that_of_the_mean_over_all_scored_steps(world):
    """However long the samples are, and however many processes share them."""
    torch.manual_seed(0)
    targets = torch.randint(2, (5, 6))
    targets[targets.cumsum(1) > 3] = -100
    split = Split(torch.randn(5, 6, 3), targets, torch.tensor([6, 1, 4, 2, 6]))
    network, task = Sequential(nn.Linear(3, 2), LastReadout()), StepClassification()
    fabric = launch_fabric(Experiment(accelerator="cpu"))
    model, optimiser = fabric.setup(network, torch.optim.SGD(network.parameters(), lr=0.0))
    learner = Learner(
        fabric, model, optimiser, lambda passed: 1.0, task, split, clip_norm=None, batch_size=5, epochs=1, seed=0
    )
    found, sums = torch.zeros(2, 3), torch.zeros(3)
    for rank in range(world):
        (share,) = shares(torch.arange(5), 5, rank, world)
        sums += _update(learner, share, "the test")
        found += network[0].module.weight.grad
    batch = split.batch(slice(None))
    valid = (targets != -100) & (torch.arange(6) < split.lengths.unsqueeze(1))
    logits = network(batch.inputs)[0].transpose(0, 1)[valid]
    network.zero_grad()
    loss = nn.functional.cross_entropy(logits, targets[valid])
    loss.backward()
    torch.testing.assert_close(found, network[0].module.weight.grad)
    mean, accuracy = means(task, sums, 1.0)
    assert mean == pytest.approx(float(loss.detach()), rel=1e-5)
    assert accuracy == pytest.approx(float((logits.argmax(1) == targets[valid]).float().mean()))


def test_the_recipe_of_expressivity_imitates(tmp_path):
    """The teacher's own neuron comes nearer to the teacher than always the same answer."""
    recipe = read_yaml(find_recipe("expressivity"))
    data = {"name": "lif_teacher", "samples": 32, "time_steps": 30}
    neuron = {"name": "lif", "scale_input": False}
    changes = {"data": data, "neuron": neuron, "task": {"restarts": 2}, "epochs": 5, "accelerator": "cpu"}
    list(train(experiment_from(merge(recipe, changes)), tmp_path / "run"))
    run = load_run(tmp_path / "run")
    rate = float(run.dataset.validation.targets.mean())
    assert run.metrics[-1]["validation_agreement"] > max(rate, 1 - rate) + 0.05
