"""Dropout as a Triton kernel."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from spikescan.ops._triton import Launch
from spikescan.ops.dropout import reference

BLOCK = 1024

STRIDE = tl.constexpr(reference.STRIDE)
SHIFT_1, FACTOR_1 = (tl.constexpr(number) for number in reference.ROUNDS[0])
SHIFT_2, FACTOR_2 = (tl.constexpr(number) for number in reference.ROUNDS[1])
LAST_SHIFT = tl.constexpr(reference.LAST_SHIFT)


@triton.jit
def _forward(
    x: tl.tensor,
    y: tl.tensor,
    seed: tl.tensor,
    count: tl.int64,
    dropped: tl.int32,
    factor: tl.float64,
    BLOCK: tl.constexpr,
) -> None:
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = place < count
    bits = tl.load(seed).to(tl.uint64) + (place // 4 + 1).to(tl.uint64) * STRIDE
    bits = (bits ^ (bits >> SHIFT_1)) * FACTOR_1
    bits = (bits ^ (bits >> SHIFT_2)) * FACTOR_2
    bits = bits ^ (bits >> LAST_SHIFT)
    draw = ((bits >> (place % 4 * 16).to(tl.uint64)) & 0xFFFF).to(tl.int32)
    values = tl.load(x + place, mask=mask)
    factor = tl.full((), factor, values.dtype)
    tl.store(y + place, tl.where(draw >= dropped, values * factor, 0.0), mask=mask)


def forward(x: Tensor, dropped: int, seed: Tensor) -> Tensor:
    """As `reference.forward`, of a contiguous float32 or float64 tensor."""
    y = torch.empty_like(x)
    count = x.numel()
    arguments = {
        "x": x,
        "y": y,
        "seed": seed,
        "count": count,
        "dropped": dropped,
        "factor": reference.scale(dropped),
        "BLOCK": BLOCK,
    }
    Launch(_forward, (triton.cdiv(count, BLOCK),), 4, arguments).run()
    return y
