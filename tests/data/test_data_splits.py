"""Splits, batches and the check for NaN."""

import itertools
import math

import pytest
import torch

from spikescan.data import Batch, Dataset, Split, check_finite
from spikescan.data.splits import hold_out_stretches
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
    splits = {
        name: Split(torch.zeros(4, 5, 2), torch.zeros(4, dtype=torch.int64)) for name in ("train", "validation", "test")
    }
    check_finite(Dataset("dots", 2, **splits))
    splits["validation"].inputs[2, 3, 1] = value
    with pytest.raises(DataError, match=r"dots: sample 2 of the validation split .* time step 3"):
        check_finite(Dataset("dots", 2, **splits))


CLASSES, STEP_CLASSES = torch.tensor([0, 2]), torch.tensor([[0, -100, 2], [1, 1, -100]])
VALUES, STEP_VALUES = torch.zeros(2, 4), torch.zeros(2, 3, 4)


def dataset(targets, classes=None, values=None) -> Dataset:
    split = Split(torch.zeros(2, 3, 1), targets)
    return Dataset("dots", classes, split, split, split, values=values)


@pytest.mark.parametrize(
    ("targets", "kind", "step_targets"),
    [
        (CLASSES, {"classes": 3}, False),
        (STEP_CLASSES, {"classes": 3}, True),
        (VALUES, {"values": 4}, False),
        (STEP_VALUES, {"values": 4}, True),
    ],
)
def test_four_kinds_of_targets(targets, kind, step_targets):
    assert dataset(targets, **kind).has_step_targets is step_targets


@pytest.mark.parametrize(
    ("targets", "kind", "message"),
    [
        (CLASSES, {}, "classes is None and values is None"),
        (CLASSES, {"classes": 3, "values": 4}, "give the one"),
        (CLASSES, {"classes": 2}, r"dots, train split: a target is 2, expected a class from 0 to 1\."),
        (torch.tensor([0, -100]), {"classes": 2}, "a target is -100"),
        (torch.tensor([[0, 1, -1]] * 2), {"classes": 2}, "a target is -1.*or -100"),
        (CLASSES.float(), {"classes": 3}, r"float32 \[2\], expected classes: int64 \[2\]"),
        (CLASSES, {"values": 1}, r"int64 \[2\], expected real numbers: float \[2, 1\]"),
        (VALUES, {"values": 3}, r"float32 \[2, 4\], expected real numbers: float \[2, 3\]"),
    ],
)
def test_targets_of_no_kind_are_refused(targets, kind, message):
    with pytest.raises(DataError, match=message):
        dataset(targets, **kind)


def test_a_target_that_is_no_number_is_found():
    broken = torch.zeros(2, 3, 4)
    broken[1, 2, 0] = math.nan
    with pytest.raises(DataError, match="target of sample 1 of the train split is NaN"):
        check_finite(dataset(broken, values=4))


def test_a_batch_is_trimmed_to_its_longest_sample():
    split = Split(torch.arange(24.0).view(2, 4, 3), torch.arange(8).view(2, 4), torch.tensor([1, 3]))
    for indices, steps in ((torch.tensor([0]), 1), (slice(None), 3)):
        batch = split.batch(indices, trim=True)
        assert batch.inputs.shape[0] == batch.targets.shape[1] == steps
        assert torch.equal(batch.inputs, split.batch(indices).inputs[:steps])
    whole = Split(split.inputs, torch.zeros(2, 4), split.lengths).batch(torch.tensor([0]), trim=True)
    assert whole.targets.shape == (1, 4), "a row of real numbers has no time"


def test_stretches_hold_out_what_was_asked_for_and_never_meet():
    for samples in range(2, 30):
        for count in range(1, samples):
            for stretches in range(1, count + 1):
                try:
                    held = hold_out_stretches(samples, count, stretches)
                except DataError:
                    assert stretches > count // 2, "two a stretch are enough"
                    continue
                assert len(held) == stretches
                assert all(start < end for start, end in held)
                assert sum(end - start for start, end in held) == count
                assert all(before[1] <= after[0] for before, after in itertools.pairwise(held))
                assert held[-1][1] == samples
    assert hold_out_stretches(20, 5, 2) == [(8, 10), (17, 20)]
    with pytest.raises(DataError, match="stretches is 3, too many to hold out 3 of 10 in"):
        hold_out_stretches(10, 3, 3)
