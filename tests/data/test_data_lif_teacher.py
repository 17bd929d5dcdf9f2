"""The teacher against its equation, written down step by step."""

import numpy as np
import pytest

from spikescan.data import lif_teacher
from spikescan.errors import DataError


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("levels", [None, 4])
def test_targets_are_the_spikes_of_a_lif(reset, levels):
    dataset = lif_teacher(tau=5.0, reset=reset, levels=levels, time_steps=40, samples=6, mean=0.7, seed=1)
    assert (dataset.values, dataset.has_step_targets, dataset.channels) == (1, True, 1)
    agree = total = 0
    for split in (dataset.train, dataset.validation, dataset.test):
        x, spikes = split.inputs[..., 0].double().numpy(), split.targets[..., 0].numpy()
        membrane = np.zeros(6)
        for t in range(40):
            charge = membrane * (1 - 1 / 5.0) + x[:, t]
            fired = (charge >= 1.0) * 1.0 if levels is None else np.clip(np.round(charge), 0, levels)
            membrane = charge - fired if reset == "soft" else np.where(fired > 0, 0.0, charge)
            agree += (fired == spikes[:, t]).sum()
            total += 6
    assert agree == total
    assert 0.1 < float(dataset.train.targets.mean()) < 0.9


def test_the_seed_decides_and_splits_differ():
    first, again, other = (lif_teacher(seed=seed, samples=4) for seed in (0, 0, 1))
    assert (first.train.inputs == again.train.inputs).all()
    assert (first.train.inputs != other.train.inputs).any()
    assert (first.train.inputs != first.test.inputs).any()
    with pytest.raises(DataError, match="0 samples"):
        lif_teacher(samples=0)
