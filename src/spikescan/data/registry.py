"""Datasets by name."""

from collections.abc import Callable

from spikescan.data.cifar10 import cifar10
from spikescan.data.dataset import Dataset
from spikescan.data.dvs_characters import dvs_characters
from spikescan.data.dvs_gesture import dvs_gesture, dvs_gesture_demo
from spikescan.data.ecg_qtdb import ecg_qtdb
from spikescan.data.forecasting import ett, exchange_rate
from spikescan.data.fsdd import fsdd
from spikescan.data.lif_teacher import lif_teacher
from spikescan.data.mnist import fashion_mnist, mnist, mnist_small
from spikescan.data.nmnist import nmnist
from spikescan.data.sequence import sequence
from spikescan.data.text import movie_reviews, tiny_shakespeare, wikitext2
from spikescan.names import choose_named

__all__ = ["data_loader", "list_data"]

_LOADERS: dict[str, Callable[..., Dataset]] = {
    "cifar10": cifar10,
    "dvs_characters": dvs_characters,
    "dvs_gesture": dvs_gesture,
    "dvs_gesture_demo": dvs_gesture_demo,
    "ecg_qtdb": ecg_qtdb,
    "ett": ett,
    "exchange_rate": exchange_rate,
    "fashion_mnist": fashion_mnist,
    "fsdd": fsdd,
    "lif_teacher": lif_teacher,
    "mnist": mnist,
    "mnist_small": mnist_small,
    "movie_reviews": movie_reviews,
    "nmnist": nmnist,
    "sequence": sequence,
    "tiny_shakespeare": tiny_shakespeare,
    "wikitext2": wikitext2,
}


def list_data() -> list[str]:
    """The names that `data_loader` knows."""
    return sorted(_LOADERS)


def data_loader(name: str) -> Callable[..., Dataset]:
    """The function that loads the dataset `name`; its keyword arguments are the options of the dataset."""
    return choose_named("dataset", _LOADERS, name)
