"""A matrix over time, then firing: the charge of PSN."""

from torch import Tensor

from spikescan.ops.fire.reference import fire


def forward(x: Tensor, weight: Tensor, bias: Tensor, order: int | None, kind: int, numbers: list[float]) -> Tensor:
    """fire(weight x + bias), ``[T_out, N]``, from x ``[T_in, N]``, weight ``[T_out, T_in]`` and bias ``[T_out]``."""
    if order is not None:
        newest = weight.shape[1] - weight.shape[0]
        weight = weight.tril(newest).triu(newest - order + 1)
    membrane = weight @ x.to(weight.dtype) + bias.unsqueeze(-1)
    return fire(membrane, kind, numbers).to(x.dtype)
