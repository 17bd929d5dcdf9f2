"""Class weights that make rare classes count as much as common ones."""

import torch

from spikescan.data.dataset import NOT_SCORED, Dataset
from spikescan.errors import InputError

__all__ = ["balanced_class_weights"]


def balanced_class_weights(dataset: Dataset) -> list[float]:
    """N / (C n_c) for each class c: of n targets in the training split, n_c are of class c; C classes occur.

    Over the training split the weights average 1. A class that does not occur gets 1. Steps beyond a sample's length and
    steps that are not scored do not count.

    Raises:
        InputError: the targets are real numbers.
    """
    if dataset.classes is None:
        raise InputError(f"class_weights: balanced needs classes, but the targets of {dataset.name} are real numbers.")
    split = dataset.train
    targets = split.targets
    if split.has_step_targets:
        scored = targets != NOT_SCORED
        if split.lengths is not None:
            scored &= torch.arange(targets.shape[1]) < split.lengths.unsqueeze(1)
        targets = targets[scored]
    counts = targets.flatten().bincount(minlength=dataset.classes).double()
    weights = len(targets) / (int((counts > 0).sum()) * counts)
    return torch.where(counts > 0, weights, 1.0).tolist()
