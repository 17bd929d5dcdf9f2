"""Batch norm is evaluated with statistics of the weights and samples at hand."""

import torch
from torch import nn

import spikescan
from spikescan.data import Split
from spikescan.training.statistics import refresh_statistics


def _split(augment=None):
    inputs = torch.randn(64, 5, 3, generator=torch.Generator().manual_seed(0)) * 2 + 1
    return Split(inputs, torch.zeros(64, dtype=torch.int64), augment=augment)


def test_running_statistics_are_those_of_the_plain_samples():
    norm = nn.BatchNorm1d(3)
    model = spikescan.Sequential(norm)
    split = _split(augment=lambda x: x * 100)
    refresh_statistics(model, split, batch_size=64, seed=0, device=torch.device("cpu"))
    flat = split.inputs.reshape(-1, 3)
    torch.testing.assert_close(norm.running_mean, flat.mean(0))
    torch.testing.assert_close(norm.running_var, flat.var(0))
    assert norm.momentum == 0.1
    assert model.training


def test_a_model_without_batch_norm_is_left_alone():
    model = spikescan.Sequential(nn.Dropout(0.5), nn.LayerNorm(3)).eval()
    refresh_statistics(model, _split(), batch_size=8, seed=0, device=torch.device("cpu"))
    assert not model.training


def test_the_same_samples_give_the_same_bits():
    first, second = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    for norm in (first, second):
        refresh_statistics(spikescan.Sequential(norm), _split(), batch_size=16, seed=3, device=torch.device("cpu"))
    assert torch.equal(first.running_var, second.running_var)
