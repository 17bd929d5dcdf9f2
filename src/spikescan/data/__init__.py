"""Datasets as tensors, and batches that carry lengths."""

from spikescan.data.baselines import Forecast, forecast_baselines
from spikescan.data.cifar10 import cifar10
from spikescan.data.dataset import NOT_SCORED, Batch, Dataset, Scaling, Split, check_finite
from spikescan.data.dvs_characters import dvs_characters
from spikescan.data.dvs_gesture import dvs_gesture, dvs_gesture_demo
from spikescan.data.ecg_qtdb import ecg_qtdb
from spikescan.data.forecasting import ett, exchange_rate
from spikescan.data.fsdd import fsdd
from spikescan.data.lif_teacher import lif_teacher
from spikescan.data.mnist import fashion_mnist, mnist, mnist_small
from spikescan.data.nmnist import nmnist
from spikescan.data.registry import data_loader, list_data
from spikescan.data.sequence import sequence
from spikescan.data.shuffled import shuffle_time
from spikescan.data.text import movie_reviews, tiny_shakespeare, wikitext2

__all__ = [
    "NOT_SCORED",
    "Batch",
    "Dataset",
    "Forecast",
    "Scaling",
    "Split",
    "check_finite",
    "cifar10",
    "data_loader",
    "dvs_characters",
    "dvs_gesture",
    "dvs_gesture_demo",
    "ecg_qtdb",
    "ett",
    "exchange_rate",
    "fashion_mnist",
    "forecast_baselines",
    "fsdd",
    "lif_teacher",
    "list_data",
    "mnist",
    "mnist_small",
    "movie_reviews",
    "nmnist",
    "sequence",
    "shuffle_time",
    "tiny_shakespeare",
    "wikitext2",
]
