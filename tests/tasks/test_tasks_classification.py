"""Classification reads each sample's last valid step."""

import pytest
import torch
from torch.nn import functional as F

from spikescan.data import Batch, Dataset, Split
from spikescan.errors import InputError
from spikescan.tasks import Classification, list_tasks, task_type


def test_the_last_valid_step_decides():
    torch.manual_seed(0)
    outputs = torch.randn(5, 3, 4, requires_grad=True)
    batch = Batch(torch.zeros(5, 3, 1), torch.tensor([0, 3, 1]), torch.tensor([5, 1, 3]))
    last = torch.stack([outputs[4, 0], outputs[0, 1], outputs[2, 2]])
    task = Classification()
    assert torch.allclose(task.losses(outputs, batch), F.cross_entropy(last, batch.targets, reduction="none"))
    assert torch.equal(task.scores(outputs, batch), (last.argmax(1) == batch.targets).float())
    task.losses(outputs, batch).sum().backward()
    read = outputs.grad.abs().sum(-1) > 0
    assert read.nonzero().tolist() == [[0, 1], [2, 2], [4, 0]]


def test_label_smoothing():
    outputs = torch.tensor([[[2.0, 0.0]]])
    batch = Batch(torch.zeros(1, 1, 1), torch.tensor([0]))
    log_probabilities = outputs[0, 0].log_softmax(0)
    expected = -(0.9 * log_probabilities[0] + 0.1 * log_probabilities[1])
    assert torch.allclose(Classification(label_smoothing=0.2).losses(outputs, batch), expected)
    with pytest.raises(InputError, match=r"label_smoothing is 1\.0"):
        Classification(label_smoothing=1.0)


def test_the_model_gives_out_one_channel_a_class():
    split = Split(torch.zeros(1, 2, 1), torch.zeros(1, dtype=torch.int64))
    assert Classification().outputs(Dataset("dots", 7, split, split, split)) == 7


def test_tasks_by_name():
    assert list_tasks() == sorted(
        ["classification", "imitation", "language", "regression", "step_classification", "step_regression"]
    )
    assert task_type("classification") is Classification
    with pytest.raises(InputError, match="Did you mean 'classification'"):
        task_type("clasification")
