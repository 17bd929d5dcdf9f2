"""Datasets by name."""

from collections.abc import Callable

from spikescan.data.dataset import Dataset
from spikescan.data.lif_teacher import lif_teacher
from spikescan.data.mnist import mnist, mnist_small
from spikescan.data.sequence import sequence
from spikescan.names import choose_named

__all__ = ["data_loader", "list_data"]

_LOADERS: dict[str, Callable[..., Dataset]] = {
    "lif_teacher": lif_teacher,
    "mnist": mnist,
    "mnist_small": mnist_small,
    "sequence": sequence,
}


def list_data() -> list[str]:
    """The names that `data_loader` knows."""
    return sorted(_LOADERS)


def data_loader(name: str) -> Callable[..., Dataset]:
    """The function that loads the dataset `name`; its keyword arguments are the options of the dataset."""
    return choose_named("dataset", _LOADERS, name)
