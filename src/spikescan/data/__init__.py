"""Datasets as tensors, and batches that carry lengths."""

from spikescan.data.dataset import NOT_SCORED, Batch, Dataset, Split, check_finite
from spikescan.data.mnist import mnist, mnist_small
from spikescan.data.registry import data_loader, list_data

__all__ = [
    "NOT_SCORED",
    "Batch",
    "Dataset",
    "Split",
    "check_finite",
    "data_loader",
    "list_data",
    "mnist",
    "mnist_small",
]
