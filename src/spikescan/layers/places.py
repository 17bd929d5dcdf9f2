"""Modules without space, run at each place; and values made relative to their own past."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from spikescan import ops
from spikescan.errors import InputError
from spikescan.layers.sequential import describe, lift
from spikescan.neurons.base import State, Temporal, at_rest, check_carried, map_state
from spikescan.neurons.padding import at_last_valid, zero_padding

__all__ = ["EachPlace", "Relative", "Standardised", "StandardisedState", "rows_from", "rows_of"]


def rows_of(x: Tensor) -> Tensor:
    """Each place as a sample of its own: ``[T, B, C, *]`` to ``[T, B * places, C]``."""
    return x.movedim(2, -1).reshape(len(x), math.prod((x.shape[1], *x.shape[3:])), x.shape[2])


def rows_from(y: Tensor, shape: torch.Size) -> Tensor:
    """Undoes `rows_of` to y ``[T, B * places, K]``, for an x of this shape: ``[T, B, K, *]``."""
    return y.reshape(len(y), shape[1], *shape[3:], y.shape[2]).movedim(-1, 2)


class EachPlace(Temporal):
    """Runs a module on each place by itself, with the same weights.

    ``[T, B, C, *]`` to ``[T, B, K, *]`` for a module ``[T, B, C]`` to ``[T, B, K]``. Places are pixels, sensors, variables.

    Args:
        module: takes no space; temporal, or lifted as in `Sequential`.

    Raises:
        InputError: the state is of another batch size or other places.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = lift(module)
        describe(self, [self.module])

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """See `Temporal.forward`."""
        batch, space = x.shape[1], x.shape[3:]
        rows = [batch, *space]
        count = math.prod(rows)

        def together(tensor: Tensor) -> Tensor:
            if list(tensor.shape[: len(rows)]) != rows:
                raise InputError(
                    f"EachPlace: a tensor of the state is {list(tensor.shape)}, expected {[*rows, '*']} for x {list(x.shape)}. "
                    f"Pass the state that an earlier call returned, or None."
                )
            return tensor.reshape(count, *tensor.shape[len(rows) :])

        before = None if state is None else map_state(together, state)
        each = None if lengths is None else lengths.repeat_interleave(space.numel())
        y, after = self.module(rows_of(x), before, each)
        return rows_from(y, x.shape), map_state(lambda tensor: tensor.reshape(*rows, *tensor.shape[1:]), after)

    def initial_state(self, x_t: Tensor) -> State:
        """That of the module, at each place."""
        batch, _, *space = x_t.shape
        rest = self.module.initial_state(x_t.movedim(1, -1).flatten(0, -2))
        return map_state(lambda tensor: tensor.reshape(batch, *space, *tensor.shape[1:]), rest)


class StandardisedState(NamedTuple):
    """What has been seen, and the state of the module."""

    steps: Tensor
    """int64 ``[B]``"""
    total: Tensor
    """The sum of the inputs: ``[B, 1, *]``."""
    squares: Tensor
    """The sum of the squares of their differences from the mean so far: ``[B, 1, *]``."""
    module: State


class Relative(NamedTuple):
    """A series, and what it was made relative to."""

    values: Tensor
    """(x - mean) / deviation: ``[T, B, C, *]``."""
    mean: Tensor
    """``[T, B, 1, *]``"""
    deviation: Tensor
    """``[T, B, 1, *]``"""
    total: Tensor
    """The sum of the inputs up to each step: ``[T, B, 1, *]``."""
    squares: Tensor
    """The sum of the squares of their differences from the mean: ``[T, B, 1, *]``."""


class Standardised(Temporal):
    r"""Shows a module its input relative to the mean and deviation of the past, at each place, and undoes that to the output.

    .. math::
        y_{t,k} = \mu_t + \sigma_t \, \text{module}\Big(\frac{x - \mu}{\sigma}\Big)_{t,k}, \quad
        \mu_t = \frac{1}{n} \sum_{s \le t, c} x_{s,c}, \quad
        \sigma_t^2 = \frac{1}{n + 1} \Big(1 + \sum_{s \le t, c} (x_{s,c} - \mu_t)^2\Big), \quad n = C t

    ``[T, B, C, *]`` to ``[T, B, K, *]``, as the module returns: a series that drifts away from where it was in training looks
    the same. RevIN (Kim et al., ICLR 2022) takes both from the whole window; here they run, so that each step has its answer.
    The 1 is a value of variance 1 before the first, so that a constant input has a deviation.

    Args:
        module: such as `EachPlace`; temporal, or lifted as in `Sequential`.
        from_mean: whether the mean is added to the output; without it the output is a difference, such as of two inputs.
    """

    def __init__(self, module: nn.Module, *, from_mean: bool = True) -> None:
        super().__init__()
        self.module = lift(module)
        self.from_mean = from_mean
        describe(self, [self.module])

    def forward(
        self, x: Tensor, state: StandardisedState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, StandardisedState]:
        """See `Temporal.forward`."""
        steps, total, squares, before = self._started(x, state)
        seen = self._relative(x, steps, total, squares, lengths)
        y, after = self.module(seen.values, before, lengths)
        taken = len(x) if lengths is None else lengths
        last = at_last_valid(seen.total, total, lengths), at_last_valid(seen.squares, squares, lengths)
        return self.undo(seen, y, lengths), StandardisedState(steps + taken, *last, after)

    def relative(self, x: Tensor, lengths: Tensor | None = None) -> Relative:
        """What the module is shown of an input from its first step on, and what it is relative to."""
        return self._relative(x, *self._started(x, None)[:3], lengths)

    def undo(self, seen: Relative, y: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The output, of the output y of the module."""
        scaled = seen.deviation * y
        return zero_padding(seen.mean + scaled if self.from_mean else scaled, lengths)

    @staticmethod
    def _relative(x: Tensor, steps: Tensor, total: Tensor, squares: Tensor, lengths: Tensor | None) -> Relative:
        dtype, x = x.dtype, zero_padding(x, lengths).to(total.dtype)
        one, channels = x.new_ones(()), x.shape[2]
        step_total = x.sum(2, keepdim=True)
        totals, _ = ops.linear_recurrence(one, step_total, total)
        seen = steps + torch.arange(len(x) + 1, device=x.device).unsqueeze(1)
        counts = (seen * channels).to(x.dtype).view(*seen.shape, *[1] * (x.ndim - 2))
        means = torch.cat([total.unsqueeze(0), totals]) / counts.clamp(min=1.0)
        before, count, mean = counts[:-1], counts[1:], means[1:]
        # What a step adds to them (Chan et al., 1979): sums of squares of the inputs themselves lose all digits of a series
        # far from zero.
        step_mean = step_total / channels
        of_step = (x - step_mean).square().sum(2, keepdim=True)
        of_move = (step_mean - means[:-1]).square() * (before * channels / count)
        all_squares, _ = ops.linear_recurrence(one, of_step + of_move, squares)
        deviation = ((1.0 + all_squares) / (count + 1.0)).sqrt()
        return Relative(((x - mean) / deviation).to(dtype), mean, deviation, totals, all_squares)

    def _started(self, x: Tensor, state: StandardisedState | None) -> tuple[Tensor, Tensor, Tensor, State | None]:
        """The state to go on from; the module starts by itself."""
        rest = _sum_at_rest(x.new_empty(x.shape[1:]))
        if state is None:
            return torch.zeros(len(rest), dtype=torch.int64, device=x.device), rest, rest, None
        steps, total, squares, module = self.unpack(state, StandardisedState)
        check_carried("Standardised", "steps", steps, rest.shape[:1], torch.int64, x.device)
        check_carried("Standardised", "total", total, rest.shape, rest.dtype, x.device)
        check_carried("Standardised", "squares", squares, rest.shape, rest.dtype, x.device)
        return steps, total, squares, module

    def initial_state(self, x_t: Tensor) -> StandardisedState:
        """Nothing seen."""
        rest = _sum_at_rest(x_t)
        steps = torch.zeros(len(rest), dtype=torch.int64, device=x_t.device)
        return StandardisedState(steps, rest, rest.clone(), self.module.initial_state(at_rest(x_t)))

    def extra_repr(self) -> str:
        """The arguments, for ``print(module)``."""
        return "" if self.from_mean else "from_mean=False"


def _sum_at_rest(x_t: Tensor) -> Tensor:
    return at_rest(x_t.new_empty(x_t.shape[0], 1, *x_t.shape[2:]))
