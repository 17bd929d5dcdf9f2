"""How a sweep is cut: blocks of neurons, tiles of time."""

__all__ = ["tiling"]


def tiling(neurons: int, itemsize: int) -> tuple[int, int]:
    """(neurons of a block, steps of a tile) for a step of `neurons`.

    A step that is larger than a page jumps to another page each time: a wide block then reads a page whole before it goes
    on, and a short tile keeps the number of pages in use at once below what the processor's address cache and prefetchers
    follow. A small step lies in few pages anyway: a long tile keeps the state in registers longer.
    """
    page = 4096 // itemsize
    if neurons >= 4 * page:
        return page, 4
    return page, 64
