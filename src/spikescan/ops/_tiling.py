"""How a sweep is cut: blocks of neurons, tiles of time; and where it writes."""

from torch import Tensor

__all__ = ["is_past_cache", "tiling"]


_PAGE = 4096
# Larger than what stays in the cache of a core until the next layer reads it.
_PAST_CACHE = 1 << 22


def tiling(neurons: int, k: int, itemsize: int) -> tuple[int, int]:
    """(neurons of a block, steps of a tile, a multiple of 8) for a sweep that asks for its next tile in the order of memory.

    k is the number of inputs that a step sees: 1 for a recurrence, that of the taps for a filter.

    Where a step is large, wide and short, so that memory is read in long runs; but each tile reads the k - 1 inputs before it
    again. Where a step is small, as many steps as make a tile of that size. Two tiles fit the second cache of a core.
    """
    page = _PAGE // itemsize
    least = 8 if k <= 8 else 16 if k <= 16 else 32
    tile = max(least, min(64, 16 * page // max(neurons, 1) // 8 * 8))
    return (2 * page if tile == 8 else page), tile


def is_past_cache(neurons: int, *written: Tensor) -> bool:
    """Whether a sweep writes so much that it should write past the cache, and lies so that it can.

    A store into the cache first reads the line that it overwrites; one past the cache does not, but needs whole lines.
    """
    first = written[0]
    if first.nbytes < _PAST_CACHE or neurons * first.itemsize % 64:
        return False
    return all(tensor.data_ptr() % 64 == 0 for tensor in written if tensor.numel())
