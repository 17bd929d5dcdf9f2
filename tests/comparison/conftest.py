"""Sequences small enough to train many networks on in seconds."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from spikescan.comparison import settled
from spikescan.training import Experiment

# Fabric's own: it suggests Slurm, data loader workers and the like.
warnings.filterwarnings("ignore", module="lightning_fabric")


@pytest.fixture(scope="session")
def sequences(tmp_path_factory) -> Path:
    """24 sequences of 6 steps, whose class is the sign of the first step."""
    random = np.random.default_rng(0)
    y = np.arange(24) % 2
    x = random.normal(size=(24, 6, 2)).astype(np.float32)
    x[:, 0] += 3.0 * (2.0 * y[:, None] - 1.0)
    path = tmp_path_factory.mktemp("own") / "own.npz"
    np.savez(path, x=x, y=y)
    return path


@pytest.fixture(scope="session")
def recipe(sequences) -> tuple[Experiment, int]:
    """An experiment on them, settled, and its time steps."""
    experiment = Experiment(
        data={"name": "sequence", "path": str(sequences), "normalise": True},
        task={"name": "auto"},
        model={"name": "mlp", "width": 4, "depth": 1},
        neuron={"name": "dsn", "initial_decay": [0.5, 0.9]},
        optimiser={"name": "adamw", "lr": 0.02},
        epochs=2,
        batch_size=8,
        accelerator="cpu",
    )
    return settled(experiment)
