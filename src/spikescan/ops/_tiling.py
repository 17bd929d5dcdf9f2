"""How a sweep is cut: blocks of neurons, tiles of time; and where it writes."""

from torch import Tensor

__all__ = ["is_past_cache", "tiling"]


_PAGE = 4096
# Larger than what stays in a cache until the next layer reads it.
_PAST_CACHE = 1 << 24


def tiling(neurons: int, itemsize: int) -> tuple[int, int]:
    """(neurons of a block, steps of a tile) for a step of `neurons`.

    A block is a page wide, so that a page is read whole before the walk goes on to another. The longer a tile, the longer the
    state stays in registers; but where a step is larger than a few pages, two tiles (the one that is computed and the one
    that is asked for meanwhile) have to fit the cache of a core.
    """
    page = _PAGE // itemsize
    return (page, 16) if neurons >= 4 * page else (page, 64)


def is_past_cache(neurons: int, *written: Tensor) -> bool:
    """Whether a sweep writes so much that it should write past the cache, and lies so that it can.

    A store into the cache first reads the line that it overwrites; one past the cache does not, but needs whole lines.
    """
    first = written[0]
    if first.nbytes < _PAST_CACHE or neurons * first.itemsize % 64:
        return False
    return all(tensor.data_ptr() % 64 == 0 for tensor in written if tensor.numel())
