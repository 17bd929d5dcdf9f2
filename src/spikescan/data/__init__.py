"""Datasets as tensors, and batches that carry lengths."""

from spikescan.data.dataset import NOT_SCORED, Batch, Dataset, Scaling, Split, check_finite
from spikescan.data.lif_teacher import lif_teacher
from spikescan.data.mnist import mnist, mnist_small
from spikescan.data.registry import data_loader, list_data
from spikescan.data.sequence import sequence

__all__ = [
    "NOT_SCORED",
    "Batch",
    "Dataset",
    "Scaling",
    "Split",
    "check_finite",
    "data_loader",
    "lif_teacher",
    "list_data",
    "mnist",
    "mnist_small",
    "sequence",
]
