"""The real files, where the environment variable SPIKESCAN_DATA names a folder that holds them."""

import os

import pytest
import torch

from spikescan.data import data_loader, list_data
from spikescan.data.baselines import repeat_last, ridge
from spikescan.errors import DataError

WHERE = os.environ.get("SPIKESCAN_DATA")


def load(name, **options):
    if not WHERE:
        pytest.skip("SPIKESCAN_DATA names no folder of real files")
    try:
        return data_loader(name)(**options)
    except DataError as error:
        if "Put it there" not in str(error):
            raise
        pytest.skip(f"SPIKESCAN_DATA lacks the files of {name}: {error}")


# name, options, samples of each split, steps, shape of a step, classes
LOADED = [
    ("cifar10", {"columns": True}, None, 32, (3, 32), 10),
    ("dvs_characters", {}, (36, 4, 36), 10, (2, 32, 32), 36),
    ("dvs_gesture", {"downsample": 4}, None, 16, (2, 32, 32), 11),
    ("dvs_gesture_demo", {}, (90, 30, 20), 10, (2, 32, 32), 10),
    ("ecg_qtdb", {}, (557, 61, 141), 1301, (4,), 6),
    ("ett", {"series": "ETTh2", "horizon": 720}, (7585, 2161, 2161), 336, (7,), None),
    ("exchange_rate", {}, (4880, 665, 1422), 336, (8,), None),
    ("fashion_mnist", {"columns": True}, None, 28, (28,), 10),
    ("fsdd", {}, (2400, 300, 300), 1000, (8,), 10),
    ("mnist", {"columns": True}, (55000, 5000, 10000), 28, (28,), 10),
    ("movie_reviews", {}, (1600, 200, 200), 4000, (128,), 2),
    ("nmnist", {"downsample": 2}, None, 10, (2, 17, 17), 10),
    ("tiny_shakespeare", {}, (3530, 393, 436), 256, (65,), 65),
    ("wikitext2", {"vocabulary": 1000, "without_train": True}, None, 64, (1000,), 1000),
]


@pytest.mark.parametrize(
    ("name", "options", "sizes", "steps", "shape", "classes"), LOADED, ids=[row[0] for row in LOADED]
)
def test_real_files_are_read(name, options, sizes, steps, shape, classes):
    data = load(name, **options)
    splits = (data.train, data.validation, data.test)
    if sizes is not None:
        assert tuple(len(split) for split in splits) == sizes
    for split in splits:
        batch = split.batch(torch.tensor([0, len(split) - 1]))
        assert batch.inputs.shape == (steps, 2, *shape)
        assert batch.inputs.dtype == torch.float32
        assert batch.inputs.isfinite().all()
        assert batch.inputs.abs().sum() > 0
    assert data.classes == classes


def test_every_dataset_is_read_here_or_needs_no_files():
    assert sorted(row[0] for row in LOADED) == sorted(set(list_data()) - {"lif_teacher", "mnist_small", "sequence"})


@pytest.mark.parametrize(("name", "options", "mse", "linear"), [("ett", {"series": "ETTh1"}, 1.294, 0.370)])
def test_baselines_reach_the_published_figures(name, options, mse, linear):
    data = load(name, **options)
    assert repeat_last(data.test).mse == pytest.approx(mse, abs=5e-4)
    assert ridge(data.train, data.test).mse == pytest.approx(linear, abs=5e-4)


def test_repeating_is_the_published_figure_on_exchange_rates():
    assert repeat_last(load("exchange_rate").test).mse == pytest.approx(0.0811, abs=5e-4)


def test_the_events_are_those_counted_when_they_were_published():
    data = load("nmnist")
    if len(data.train) > 800:
        pytest.skip("the whole of N-MNIST, not the archive of 1,100 recordings")
    splits = (data.train, data.validation, data.test)
    assert sum(int(split.inputs.sum(dtype=torch.int64)) for split in splits) == 4_518_827
    characters = load("dvs_characters")
    splits = (characters.train, characters.validation, characters.test)
    assert sum(int(split.inputs.sum(dtype=torch.int64)) for split in splits) == 1_079_079


def test_an_unlabelled_step_is_as_frequent_as_published():
    data = load("ecg_qtdb")
    assert (data.test.targets == -100).float().mean().item() == pytest.approx(0.104, abs=5e-4)
