"""Splits, batches and the check for NaN."""

import math

import pytest
import torch

from spikescan.data import Batch, Dataset, Split, check_finite
from spikescan.errors import DataError


def test_a_batch_is_time_first_and_carries_lengths():
    split = Split(torch.arange(24.0).view(4, 3, 2), torch.arange(4), torch.tensor([3, 1, 2, 3]))
    batch = split.batch(torch.tensor([2, 0]))
    assert batch.inputs.shape == (3, 2, 2)
    assert batch.inputs.is_contiguous()
    assert torch.equal(batch.inputs[1, 0], split.inputs[2, 1])
    assert batch.targets.tolist() == [2, 0]
    assert batch.lengths.tolist() == [2, 3]
    assert Split(split.inputs, split.targets).batch(slice(1)).lengths is None


def test_a_batch_moves_as_a_whole():
    moved = Batch(torch.zeros(2, 1, 1), torch.zeros(1), torch.ones(1)).to("meta")
    assert {tensor.device.type for tensor in (moved.inputs, moved.targets, moved.lengths)} == {"meta"}


@pytest.mark.parametrize(
    ("inputs", "targets", "lengths", "message"),
    [
        (torch.zeros(4, 3), torch.zeros(4), None, r"\[4, 3\], expected \[N, T, C, \*\]"),
        (torch.zeros(4, 3, 1), torch.zeros(5), None, "differs.*'inputs': 4, 'targets': 5"),
        (torch.zeros(4, 3, 1), torch.zeros(4), torch.ones(3), "'lengths': 3"),
        (torch.zeros(2, 3, 1), torch.zeros(2), torch.tensor([1, 4]), "from 1 to 4.*1 to 3"),
        (torch.zeros(2, 3, 1), torch.zeros(2), torch.tensor([0, 3]), "from 0 to 3"),
    ],
)
def test_parts_that_do_not_fit_are_refused(inputs, targets, lengths, message):
    with pytest.raises(DataError, match=message):
        Split(inputs, targets, lengths)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_nan_in_the_data_is_found(value):
    splits = {name: Split(torch.zeros(4, 5, 2), torch.zeros(4)) for name in ("train", "validation", "test")}
    check_finite(Dataset("dots", 2, **splits))
    splits["validation"].inputs[2, 3, 1] = value
    with pytest.raises(DataError, match=r"dots: sample 2 of the validation split .* time step 3"):
        check_finite(Dataset("dots", 2, **splits))
