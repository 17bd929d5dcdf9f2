"""One short run, shared by the tests of the commands that read runs."""

from pathlib import Path

import numpy as np
import pytest

from spikescan.cli import main

RECIPE = """
data: {{name: mnist, path: {folder}, columns: true, validation: 20}}
model: {{name: mlp, width: 8, depth: 2}}
neuron: {{name: dsn, initial_decay: [0.5, 0.9]}}
optimiser: {{name: adamw, lr: 0.02}}
epochs: 2
batch_size: 16
accelerator: cpu
"""


@pytest.fixture(scope="session")
def recipe(tmp_path_factory) -> Path:
    """A recipe on 60 + 20 images in the form of MNIST, each a bright stripe whose place is its class."""
    folder = tmp_path_factory.mktemp("stripes")
    random = np.random.default_rng(0)
    labels = (np.arange(80) % 4).astype(np.uint8)
    images = random.integers(0, 40, (80, 28, 28), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[7 * label : 7 * label + 7] += 200
    np.savez(folder / "mnist.npz", x_train=images[:60], y_train=labels[:60], x_test=images[60:], y_test=labels[60:])
    path = folder / "stripes.yaml"
    path.write_text(RECIPE.format(folder=folder))
    return path


@pytest.fixture(scope="session")
def finished(recipe, tmp_path_factory) -> Path:
    """A finished run of it."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    assert main(["train", str(recipe), "--run", str(folder)]) == 0
    return folder
