"""Gradients of a matrix over time as matrix products: their bits need not be the same for every batch, so BLAS does them."""

import torch
from torch import Tensor

__all__ = ["backward"]

# Rows of a banded matrix whose gradients are one matrix product: fewer would be too small for BLAS.
_BLOCK = 64


def backward(charge: Tensor, x: Tensor, weight: Tensor, order: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Those of x, weight and bias, from that of the charge."""
    inputs = x.to(weight.dtype)
    if order is None:
        return (weight.t() @ charge).to(x.dtype), charge @ inputs.t(), charge.sum(1)
    of_x, of_weight = _banded(charge, inputs, weight, order)
    return of_x.to(x.dtype), of_weight, charge.sum(1)


def _banded(charge: Tensor, x: Tensor, weight: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """Those of x and of the weight, block by block of rows along the band; outside of it that of the weight is zero."""
    rows_out, rows_in = weight.shape
    newest, size = rows_in - rows_out, max(order, _BLOCK)
    of_x, of_weight = torch.zeros_like(x), torch.zeros_like(weight)
    for low in range(0, rows_out, size):
        high = min(low + size, rows_out)
        first, last = max(low + newest - order + 1, 0), max(high + newest, 0)
        diagonal = low + newest - first
        block = weight[low:high, first:last].tril(diagonal).triu(diagonal - order + 1)
        of_x[first:last] += block.t() @ charge[low:high]
        products = charge[low:high] @ x[first:last].t()
        of_weight[low:high, first:last] = products.tril(diagonal).triu(diagonal - order + 1)
    return of_x, of_weight
