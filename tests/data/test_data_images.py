"""Fashion-MNIST and CIFAR-10 from tiny files in their official formats, and what is done to training images."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from spikescan.data import cifar10, fashion_mnist
from spikescan.data.images import Flip, Jitter, Layout, Shift
from spikescan.errors import DataError

BATCHES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


@pytest.fixture
def batches() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Six batches of 20 images, each class twice."""
    random = np.random.default_rng(0)
    return {
        name: (random.integers(0, 256, (20, 3072), dtype=np.uint8), np.arange(20, dtype=np.uint8) % 10)
        for name in BATCHES
    }


def write_binary(folder: Path, batches) -> Path:
    folder.mkdir(exist_ok=True)
    for name, (images, labels) in batches.items():
        (folder / f"{name}.bin").write_bytes(np.concatenate([labels[:, None], images], axis=1).tobytes())
    return folder


def write_python(folder: Path, batches) -> Path:
    """As the official files: Python 2 texts are bytes to Python 3, protocol 2."""
    folder.mkdir(exist_ok=True)
    for name, (images, labels) in batches.items():
        content = {b"batch_label": b"batch", b"labels": labels.tolist(), b"data": images, b"filenames": [b"a.png"] * 20}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    return folder


def test_binary_batches_python_batches_and_an_npz_hold_the_same(tmp_path, batches):
    train = [np.concatenate(parts) for parts in zip(*(batches[name] for name in BATCHES[:5]), strict=True)]
    test = batches["test_batch"]
    images = [part.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1) for part in (train[0], test[0])]
    np.savez(tmp_path / "cifar10.npz", x_train=images[0], y_train=train[1], x_test=images[1], y_test=test[1])
    places = [tmp_path, write_binary(tmp_path / "bin", batches), write_python(tmp_path / "py", batches)]
    loaded = [cifar10(path=str(place), columns=True) for place in places]
    assert [len(split) for split in (loaded[0].train, loaded[0].validation, loaded[0].test)] == [90, 10, 20]
    for other in loaded[1:]:
        for split in ("train", "validation", "test"):
            one, two = getattr(loaded[0], split), getattr(other, split)
            assert torch.equal(one.encoded(slice(None)), two.encoded(slice(None)))
            assert torch.equal(one.targets, two.targets)


def test_columns_and_pixels_are_those_of_the_image(tmp_path, batches):
    place = str(write_binary(tmp_path, batches))
    image = torch.tensor(batches["test_batch"][0][3]).view(3, 32, 32) / 255
    columns, pixels = cifar10(path=place, columns=True), cifar10(path=place)
    assert columns.test.batch(slice(3, 5)).inputs.shape == (32, 2, 3, 32)
    assert torch.equal(columns.test.encoded(slice(3, 4))[0, 7], image[:, :, 7])
    assert pixels.test.batch(slice(3, 5)).inputs.shape == (1024, 2, 3)
    assert torch.equal(pixels.test.encoded(slice(3, 4))[0, 5 * 32 + 9], image[:, 5, 9])
    assert (columns.channels, pixels.channels) == (3, 3)
    assert columns.name == "CIFAR-10 (100 + 20 images)"


def test_only_training_images_change(tmp_path, batches):
    data = cifar10(path=str(write_binary(tmp_path, batches)), columns=True, flip=True, shift=4, validation=10)
    assert data.train.augment is not None
    assert data.validation.augment is None
    assert data.test.augment is None
    plain, changed = data.train.encoded(slice(None)), data.train.batch(slice(None)).inputs.transpose(0, 1)
    assert changed.shape == plain.shape
    assert not torch.equal(changed, plain)


@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("permutation_seed", [None, 3])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (2, 3, 5)])
def test_a_sequence_becomes_its_image_again(columns, permutation_seed, shape):
    layout = Layout(shape, columns, permutation_seed)
    images = torch.randn(4, *shape)
    assert torch.equal(layout.images(layout.sequences(images)), images)


def test_a_flip_mirrors_some_images_whole():
    images = torch.arange(200.0).view(200, 1, 1, 1) + torch.tensor([0.0, 0.25])
    flipped = Flip()(images)[:, 0, 0]
    mirrored = flipped[:, 0] > flipped[:, 1]
    assert 60 < mirrored.sum() < 140
    assert torch.equal(flipped.sort(-1).values, images[:, 0, 0])


def test_a_shift_moves_an_image_and_fills_with_black():
    images = torch.zeros(300, 1, 7, 9)
    images[:, 0, 3, 4] = 1.0
    moved = Shift(2)(images)
    assert torch.equal(moved.sum((1, 2, 3)), torch.ones(300))
    _, _, rows, columns = moved.nonzero().T
    assert sorted(set(rows.tolist())) == [1, 2, 3, 4, 5]
    assert sorted(set(columns.tolist())) == [2, 3, 4, 5, 6]
    assert torch.equal(Shift(0)(images), images)
    corner = torch.ones(50, 2, 4, 4)
    assert set(Shift(1)(corner).flatten(1).sum(1).tolist()) <= {2 * size for size in (9.0, 12.0, 16.0)}


def test_a_jitter_of_nothing_is_none():
    images = torch.rand(3, 1, 28, 28)
    assert torch.allclose(Jitter(0)(images), images, atol=1e-5)


@pytest.mark.parametrize("name", ["data_batch_2", "test_batch"])
def test_a_missing_batch_is_named(tmp_path, batches, name):
    (write_binary(tmp_path, batches) / f"{name}.bin").unlink()
    with pytest.raises(DataError, match=rf"CIFAR-10: {tmp_path} has no {name} .*Put it there.*data_batch_1"):
        cifar10(path=str(tmp_path))


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b"", lambda content: content + b"xy"])
def test_a_damaged_binary_batch_is_refused(tmp_path, batches, damage):
    path = write_binary(tmp_path, batches) / "data_batch_3.bin"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"data_batch_3.bin has \d+ bytes.*3073.*truncated"):
        cifar10(path=str(tmp_path))


def test_a_damaged_python_batch_is_refused(tmp_path, batches):
    path = write_python(tmp_path, batches) / "data_batch_3"
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DataError, match=r"data_batch_3 is no batch of CIFAR-10 for Python"):
        cifar10(path=str(tmp_path))


class _Harmful:
    def __reduce__(self):
        return exec, ("raise SystemExit",)


def test_a_python_batch_runs_no_code(tmp_path, batches):
    path = write_python(tmp_path, batches) / "data_batch_1"
    path.write_bytes(pickle.dumps({b"data": _Harmful(), b"labels": []}))
    with pytest.raises(DataError, match=r"it asks for builtins\.exec"):
        cifar10(path=str(tmp_path))


def test_a_label_beyond_9_is_refused(tmp_path, batches):
    batches["test_batch"][1][0] = 10
    with pytest.raises(DataError, match="the test labels must be 0 to 9"):
        cifar10(path=str(write_binary(tmp_path, batches)))


@pytest.mark.parametrize(("options", "message"), [({"shift": -1}, "shift is -1"), ({"validation": 0}, "validation=0")])
def test_options_of_cifar10_are_checked(tmp_path, batches, options, message):
    with pytest.raises(DataError, match=message):
        cifar10(path=str(write_binary(tmp_path, batches)), **options)


def test_fashion_mnist_is_read_as_mnist_is(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    (tmp_path / "fashion_mnist_small").mkdir()
    np.savez(
        tmp_path / "fashion_mnist_small" / "fashion_mnist_small.npz",
        x_train=random.integers(0, 256, (60, 28, 28), dtype=np.uint8),
        y_train=np.arange(60, dtype=np.uint8) % 10,
        x_test=random.integers(0, 256, (20, 28, 28), dtype=np.uint8),
        y_test=np.arange(20, dtype=np.uint8) % 10,
    )
    monkeypatch.setenv("SPIKESCAN_DATA", str(tmp_path))
    data = fashion_mnist(columns=True, validation=10, jitter=1)
    assert data.name == "Fashion-MNIST (60 + 20 images)"
    assert data.train.batch(slice(4)).inputs.shape == (28, 4, 28)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [50, 10, 20]
    with pytest.raises(DataError, match=r"Fashion-MNIST: .* has no train-images-idx3-ubyte"):
        fashion_mnist(path=str(tmp_path))
