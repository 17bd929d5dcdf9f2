"""A linear map of values relative to the last of them."""

from torch import Tensor, nn

__all__ = ["FromLast"]


class FromLast(nn.Module):
    r"""y_k = x_n + sum_i W_ki (x_i - x_n) + b_k: a linear forecast that knows no level (NLinear, arXiv 2205.13504).

    ``[*, n]`` to ``[*, K]``, the newest value last, as `Window` has them. It begins as the last value repeated: W and b are 0.

    Args:
        inputs: n.
        outputs: K.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """``[*, n]`` to ``[*, K]``."""
        last = x[..., -1:]
        forecast: Tensor = last + self.linear(x - last)
        return forecast
