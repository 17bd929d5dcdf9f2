"""Tasks with a target at every step, and real targets: against sums written down step by step."""

import math

import numpy as np
import pytest
import torch

from spikescan.data import Batch, Dataset, Split
from spikescan.errors import InputError
from spikescan.tasks import (
    Classification,
    Imitation,
    Language,
    Regression,
    StepClassification,
    StepRegression,
    balanced_class_weights,
    task_for,
)

T, B, K = 5, 3, 4
LENGTHS = torch.tensor([5, 2, 3])
STEP_CLASSES = torch.tensor([[0, 3, -100, 1, 2], [3, 0, 1, 1, 1], [-100, -100, -100, 2, 2]])


@pytest.fixture
def outputs():
    torch.manual_seed(0)
    return torch.randn(T, B, K)


def scored_steps():
    """(sample, step, class) of all that counts."""
    return [(b, t, int(c)) for b in range(B) for t, c in enumerate(STEP_CLASSES[b]) if t < LENGTHS[b] and c >= 0]


def steps_batch(targets):
    return Batch(torch.zeros(T, B, 1), targets, LENGTHS)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [None, [1.0, 2.0, 0.0, 0.5]])
def test_step_classification_is_a_sum_over_scored_steps(outputs, smoothing, weighted):
    task, batch = StepClassification(smoothing, weighted), steps_batch(STEP_CLASSES)
    x = outputs.double().numpy()
    log_p = x - np.log(np.exp(x).sum(-1, keepdims=True))
    factor = np.ones(K) if weighted is None else np.array(weighted)
    losses, right, counts = np.zeros(B), np.zeros(B), np.zeros(B)
    for b, t, c in scored_steps():
        losses[b] -= (1 - smoothing) * factor[c] * log_p[t, b, c] + smoothing / K * (factor * log_p[t, b]).sum()
        right[b] += x[t, b].argmax() == c
        counts[b] += 1
    assert counts.tolist() == [4, 2, 0]
    np.testing.assert_allclose(task.losses(outputs, batch).numpy(), losses, rtol=1e-5)
    assert task.scores(outputs, batch).tolist() == right.tolist()
    assert task.weights(batch.targets, LENGTHS).tolist() == counts.tolist()


@pytest.mark.parametrize(
    ("score_as", "expected"),
    [("nats", lambda nats: nats), ("bits", lambda nats: nats / math.log(2)), ("perplexity", math.exp)],
)
def test_language_scores_the_mean_of_all_tokens(outputs, score_as, expected):
    task, batch = Language(score_as), steps_batch(STEP_CLASSES)
    nats = np.mean([-float(outputs[t, b].log_softmax(0)[c]) for b, t, c in scored_steps()])
    mean = float(task.losses(outputs, batch).sum() / task.weights(batch.targets, LENGTHS).sum())
    assert mean == pytest.approx(nats, rel=1e-5)
    assert task.score(mean, 1.0) == pytest.approx(expected(nats), rel=1e-5)
    assert task.score_name == score_as
    assert not task.higher_is_better
    assert Language("perplexity").score(1000.0, 1.0) == math.inf


def sums(task, outputs, batch, split):
    """The score as evaluation makes it."""
    mean = task.scores(outputs, batch).sum() / task.weights(batch.targets, batch.lengths).sum()
    return task.score(float(mean), task.reference(split))


@pytest.mark.parametrize("score_as", ["r2", "rse", "mse"])
def test_regression_scores(outputs, score_as):
    """R2 about the grand mean, RSE about the mean of each column, as stated in SeqSNN's metrics."""
    torch.manual_seed(1)
    targets = torch.randn(B, K) + torch.tensor([0.0, 5.0, -3.0, 100.0])
    split = Split(torch.zeros(B, T, 1), targets, LENGTHS)
    task, batch = Regression(score_as), split.batch(slice(None))
    y, z = targets.double().numpy(), torch.stack([outputs[n - 1, b] for b, n in enumerate(LENGTHS)]).double().numpy()
    error = ((z - y) ** 2).sum()
    expected = {
        "r2": 1 - error / ((y - y.mean()) ** 2).sum(),
        "rse": math.sqrt(error / ((y - y.mean(0)) ** 2).sum()),
        "mse": error / y.size,
    }[score_as]
    assert sums(task, outputs, batch, split) == pytest.approx(expected, rel=1e-4)
    assert task.higher_is_better == (score_as == "r2")
    assert task.score_name == score_as


@pytest.mark.parametrize("score_as", ["r2", "rse", "mse"])
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_step_regression_scores(outputs, score_as, lengths):
    torch.manual_seed(1)
    targets = torch.randn(B, T, K) + torch.tensor([0.0, 5.0, -3.0, 10.0])
    split = Split(torch.zeros(B, T, 1), targets, lengths)
    task, batch = StepRegression(score_as), split.batch(slice(None))
    valid = [(b, t) for b in range(B) for t in range(T if lengths is None else int(lengths[b]))]
    y = np.stack([targets[b, t].double().numpy() for b, t in valid])
    z = np.stack([outputs[t, b].double().numpy() for b, t in valid])
    error = ((z - y) ** 2).sum()
    expected = {
        "r2": 1 - error / ((y - y.mean()) ** 2).sum(),
        "rse": math.sqrt(error / ((y - y.mean(0)) ** 2).sum()),
        "mse": error / y.size,
    }[score_as]
    assert sums(task, outputs, batch, split) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("task", [Regression(huber=0.5), StepRegression(huber=0.5)])
def test_huber_counts_large_errors_linearly_and_scores_squares(outputs, task, lengths):
    torch.manual_seed(1)
    at_last = isinstance(task, Regression)
    batch = Batch(torch.zeros(T, B, 1), torch.randn(B, K) if at_last else torch.randn(B, T, K), lengths)
    squares, losses = np.zeros(B), np.zeros(B)
    for b in range(B):
        end = T if lengths is None else int(lengths[b])
        for t in [end - 1] if at_last else range(end):
            target = batch.targets[b] if at_last else batch.targets[b, t]
            error = (outputs[t, b].double() - target.double()).abs().numpy()
            squares[b] += (error**2).mean()
            losses[b] += np.where(error <= 0.5, error**2, error - 0.25).mean()
    assert (losses < squares).all()
    assert task.losses(outputs, batch).tolist() == pytest.approx(losses, rel=1e-5)
    assert task.scores(outputs, batch).tolist() == pytest.approx(squares, rel=1e-5)


@pytest.mark.parametrize("huber", [0.0, -1.0, math.inf, math.nan])
def test_a_huber_that_means_nothing_is_refused(huber):
    with pytest.raises(InputError, match=r"huber is .*, expected more than 0, such as 0.5"):
        Regression(huber=huber)


def test_targets_that_are_all_alike_have_no_r2():
    task = Regression()
    assert math.isnan(task.score(1.0, task.reference(Split(torch.zeros(3, 2, 1), torch.ones(3, 1)))))


def test_imitation_compares_every_restart_with_the_teacher():
    teacher = torch.tensor([[[1.0], [0.0], [1.0]], [[0.0], [1.0], [1.0]]])
    spikes = torch.zeros(3, 2, 2)
    spikes[:, :, 1] = teacher[:, :, 0].t()
    spikes[0, 0, 1] = 3.0
    batch = Batch(torch.zeros(3, 2, 1), teacher, torch.tensor([3, 1]))
    task = Imitation(restarts=2)
    # Silent: wrong twice in sample 0, right in sample 1. The copy: wrong once, by 2.
    assert task.scores(spikes, batch).tolist() == [(1 + 2) / 2, 1.0]
    assert task.losses(spikes, batch).tolist() == [(2 + 4) / 2, 0.0]
    assert task.weights(batch.targets, batch.lengths).tolist() == [3.0, 1.0]
    split = Split(torch.zeros(2, 3, 1), teacher)
    assert task.outputs(Dataset("teacher", None, split, split, split, values=1)) == 2
    with pytest.raises(InputError, match="restarts is 0"):
        Imitation(restarts=0)


def datasets():
    inputs = torch.zeros(2, 3, 1)
    for name, targets in (
        ("classification", torch.zeros(2, dtype=torch.int64)),
        ("step_classification", torch.zeros(2, 3, dtype=torch.int64)),
        ("regression", torch.zeros(2, 4)),
        ("step_regression", torch.zeros(2, 3, 4)),
    ):
        split, real = Split(inputs, targets), targets.is_floating_point()
        yield name, Dataset("dots", None if real else 2, split, split, split, values=4 if real else None)


@pytest.mark.parametrize(("name", "dataset"), list(datasets()))
def test_a_task_and_targets_that_do_not_fit_are_refused(name, dataset):
    assert task_for(dataset) == name
    tasks = {
        "classification": Classification(),
        "step_classification": StepClassification(),
        "regression": Regression(),
        "step_regression": StepRegression(),
    }
    for other, task in tasks.items():
        if other == name:
            assert task.outputs(dataset) == (dataset.classes or dataset.values)
        else:
            with pytest.raises(InputError, match=rf"{type(task).__name__} needs .* --task.name {name}\."):
                task.outputs(dataset)


def test_balanced_weights_give_classes_equal_shares():
    inputs = torch.zeros(5, 3, 1)
    plain = Split(inputs, torch.tensor([0, 0, 0, 2, 0]))
    dataset = Dataset("dots", 4, plain, plain, plain)
    assert balanced_class_weights(dataset) == pytest.approx([5 / (2 * 4), 1.0, 5 / (2 * 1), 1.0])
    steps = torch.tensor([[0, 0, 1], [1, -100, 0]])
    split = Split(inputs[:2], steps, torch.tensor([2, 3]))  # counted: 0 0 | 1 0
    assert balanced_class_weights(Dataset("dots", 2, split, split, split)) == pytest.approx([4 / 6, 4 / 2])
    real = Split(inputs, torch.zeros(5, 1))
    with pytest.raises(InputError, match="real numbers"):
        balanced_class_weights(Dataset("dots", None, real, real, real, values=1))


def test_class_weights_that_do_not_fit_are_refused(outputs):
    with pytest.raises(InputError, match="class_weights has 2 numbers, expected one for each of 4"):
        StepClassification(class_weights=[1.0, 2.0]).losses(outputs, steps_batch(STEP_CLASSES))
    with pytest.raises(InputError, match="at least 0 for each class"):
        Classification(class_weights=[1.0, -1.0])
