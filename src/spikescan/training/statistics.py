"""What batch norm believes of its inputs, measured anew before each evaluation."""

from dataclasses import replace

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from spikescan.data import Split
from spikescan.neurons import Temporal

__all__ = ["refresh_statistics"]

_SAMPLES = 512


@torch.no_grad()
def refresh_statistics(model: Temporal, split: Split, batch_size: int, seed: int, device: torch.device) -> None:
    """Set the running mean and variance of every batch norm to their averages over training samples.

    The running averages lag behind weights that change fast, and are those of augmented samples where evaluation sees plain
    ones: on sequential MNIST with jitter, measuring them anew took a network from 92.6 to 93.6 % of the validation images. The
    samples are the same in every process and in a resumed run. Nothing happens to a model without batch norm.

    Args:
        model: the network itself, not wrapped.
        split: the training split; it is read without its augmentation.
        batch_size: samples at a time.
        seed: draws the samples.
        device: where the model is.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    if not norms:
        return
    plain = replace(split, augment=None)
    order = torch.randperm(len(plain), generator=torch.Generator().manual_seed(seed))[:_SAMPLES]
    momenta = [norm.momentum for norm in norms]
    model.eval()
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain average over all batches
            norm.train()
        for indices in torch.split(order, batch_size):
            if len(indices) > 1 or len(order) == 1:
                batch = plain.batch(indices).to(device)
                model(batch.inputs, None, batch.lengths)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.train()
