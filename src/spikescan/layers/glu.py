"""The gated linear unit."""

from torch import Tensor, nn

from spikescan import ops
from spikescan.errors import InputError

__all__ = ["GLU"]


class GLU(nn.GLU):
    """y = a * sigmoid(b), a and b the halves of x along an axis: as ``torch.nn.GLU``, for streams (`ops.sigmoid`).

    Its bits depend on the numbers alone, where torch's sigmoid depends on where in the tensor they stand.

    Args:
        dim: the axis.

    Raises:
        InputError: the axis of the input has no two halves.
    """

    def forward(self, x: Tensor) -> Tensor:
        """``[*, 2 C, *]`` to ``[*, C, *]``."""
        if x.shape[self.dim] % 2:
            raise InputError(f"GLU: x is {list(x.shape)}, expected an even number on axis {self.dim}.")
        values, gate = x.chunk(2, self.dim)
        return values * ops.sigmoid(gate)
