"""A data set small enough to train on in a second."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from spikescan.training import Experiment

# Fabric's own: it suggests Slurm, data loader workers and the like.
warnings.filterwarnings("ignore", module="lightning_fabric")


@pytest.fixture(scope="session")
def stripes(tmp_path_factory) -> Path:
    """A folder in the form of MNIST: 60 + 20 images, each a bright horizontal stripe whose place is its class."""
    random = np.random.default_rng(0)
    labels = (np.arange(80) % 4).astype(np.uint8)
    images = random.integers(0, 40, (80, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[7 * label : 7 * label + 7] += 200
    folder = tmp_path_factory.mktemp("stripes")
    np.savez(folder / "mnist.npz", x_train=images[:60], y_train=labels[:60], x_test=images[60:], y_test=labels[60:])
    return folder


@pytest.fixture
def experiment(stripes) -> Experiment:
    return Experiment(
        data={"name": "mnist", "path": str(stripes), "columns": True, "validation": 20},
        model={"name": "mlp", "width": 8, "depth": 2},
        neuron={"name": "dsn"},
        optimiser={"name": "adamw", "lr": 0.02},
        epochs=3,
        batch_size=16,
        accelerator="cpu",
    )
