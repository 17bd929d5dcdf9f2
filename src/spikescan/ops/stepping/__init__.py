"""One time step of a whole network on the CPU, recorded once and then run by a single call."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from spikescan.ops._dispatch import load
from spikescan.ops._firing import FiringSpec

if TYPE_CHECKING:
    from spikescan.ops.stepping.link import Call
    from spikescan.ops.sweep import Cell

__all__ = ["StepRecorder"]


class StepRecorder:
    """Records what a time step does, op by op, and links it to one function.

    Each method stands for an op on tensors that stay where they are: it returns the tensor that a run will write, and what a
    step carries on is overwritten by each run. The neurons run the kernels of `step`, so with its bits. Nothing is
    differentiated, and nothing is checked: tensors are contiguous, on the CPU, of one type, float32 or float64, unless
    stated otherwise.
    """

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._tensors: list[Tensor] = []

    def link(self, x: Tensor, y: Tensor) -> "LinkedStep":
        """What was recorded, ready to run from the input x to the output y, which are among the tensors of the methods."""
        self._keep(x, y)
        return LinkedStep(self._calls, self._tensors, x, y)

    def dynamic_decay(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        *,
        tau: float,
        firing: FiringSpec,
        membrane: Tensor,
        window: Tensor,
    ) -> Tensor:
        """`ops.dynamic_decay_step`; membrane and window are carried, the window stored time first. Taps are as now."""
        spikes = torch.empty_like(x)
        kernels = load("dynamic_decay", "cpu")
        table, state = kernels.table_of_step(weight, bias, x), (membrane, window)
        self._keep(x, table, *state, spikes)
        self._calls.append(
            kernels.call_of_step(
                x, table, weight.shape[1], state, (spikes, *state), 1.0 / tau, int(firing.kind), firing.numbers
            )
        )
        return spikes

    def causal_conv(self, x: Tensor, weight: Tensor, bias: Tensor, *, firing: FiringSpec, window: Tensor) -> Tensor:
        """`ops.causal_conv_step`; taps ``[C, k]`` and bias ``[C]`` are as now, the window is carried, stored time first."""
        y = torch.empty_like(x)
        kernels = load("causal_conv", "cpu")
        table = kernels.table_of_step(weight, bias, x)
        self._keep(x, table, window, y)
        self._calls.append(
            kernels.call_of_step(x, table, weight.shape, window, (y, window), int(firing.kind), firing.numbers)
        )
        return y

    def sweep(
        self, cell: "Cell", x: Tensor, parameters: tuple[Tensor | float, ...], *, firing: FiringSpec, state: Tensor
    ) -> Tensor:
        """`ops.sweep_step`; the states are carried, one behind the other ``[S, B, C, *]``. Parameters are as now."""
        kernels = load("sweep", "cpu")
        spikes, table = torch.empty_like(x), kernels.table_of_step(parameters, x.shape[1], x.dtype)
        self._keep(x, table, state, spikes)
        self._calls.append(
            kernels.call_of_step(
                x, table, state, (spikes, state), cell.key, len(state), int(firing.kind), firing.numbers
            )
        )
        return spikes

    def linear_recurrence(self, decay: Tensor, drive: Tensor, *, state: Tensor) -> Tensor:
        """`ops.linear_recurrence` of real numbers ``[B, C, *]``; the state is carried, the decay ``[C]`` as now."""
        y = torch.empty_like(drive)
        decays = decay.view(-1, *[1] * (drive.ndim - 2)).expand_as(drive).contiguous()
        self._keep(drive, decays, state, y)
        self._calls.append(load("linear_recurrence", "cpu").call_of_step(decays, drive, state, y))
        return y

    def linear(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """As ``nn.Linear``, ``[B, I]`` to ``[B, O]``, with the weight ``[O, I]`` as it is now."""
        y = x.new_empty(len(x), len(weight))
        self._between("linear_call", x, weight.t().contiguous(), bias, y)
        return y

    def scale(self, x: Tensor, gain: Tensor, offset: Tensor) -> Tensor:
        """``gain x + offset``, rounded once: x ``[B, C, *]``, gain and offset ``[C]`` as they are now."""
        y = torch.empty_like(x)
        columns = (-1, *[1] * (x.ndim - 2))
        gains, offsets = (each.view(columns).expand_as(x).contiguous() for each in (gain, offset))
        self._between("scale_call", x, gains, offsets, y)
        return y

    def layer_norm(self, x: Tensor, gain: Tensor, offset: Tensor, epsilon: float, *, centred: bool = True) -> Tensor:
        """Layer norm over the channels of ``[B, C]``; RMS norm where not `centred`."""
        y = torch.empty_like(x)
        self._between("layer_norm_call", x, gain, offset, y, epsilon, centred)
        return y

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        """The sum of two tensors of one shape."""
        y = torch.empty_like(a)
        self._between("add_call", a, b, y)
        return y

    def multiply(self, a: Tensor, b: Tensor) -> Tensor:
        """The product of two tensors of one shape."""
        y = torch.empty_like(a)
        self._between("multiply_call", a, b, y)
        return y

    def gated(self, x: Tensor) -> Tensor:
        """As ``nn.GLU``, ``[B, 2 C]`` to ``[B, C]``: the first half of the channels times the sigmoid of the other."""
        y = x.new_empty(len(x), x.shape[1] // 2)
        self._between("gated_call", x, y)
        return y

    def rate(self, x: Tensor, total: Tensor, steps: Tensor) -> Tensor:
        """The mean over all steps; the total ``[B, C, *]`` and the steps, int64 ``[B]``, are carried."""
        y = torch.empty_like(x)
        self._between("rate_call", x, total, steps, y)
        return y

    def maximum(self, x: Tensor, maximum: Tensor) -> Tensor:
        """The largest value so far, which is carried."""
        self._between("max_call", x, maximum)
        return maximum

    def window(self, x: Tensor, past: Tensor) -> Tensor:
        """The last W inputs side by side ``[B, W C, *]``; the past ``[B, W - 1, C, *]`` is carried."""
        batch, channels, *space = x.shape
        y = x.new_empty(batch, (past.shape[1] + 1) * channels, *space)
        self._between("window_call", x, past, y)
        return y

    def _between(self, name: str, *arguments: Tensor | float | None) -> None:
        self._keep(*(each for each in arguments if isinstance(each, Tensor)))
        self._calls.append(getattr(load("stepping", "cpu"), name)(*arguments))

    def _keep(self, *tensors: Tensor) -> None:
        """Kernels are given addresses: whoever runs them holds what lies there."""
        self._tensors += (tensor.detach() for tensor in tensors)


class LinkedStep:
    """A recorded time step; calling it runs it. Not from two threads at once: they would write to the same memory."""

    def __init__(self, calls: "list[Call]", tensors: list[Tensor], x: Tensor, y: Tensor) -> None:
        self._tensors = tensors
        ends = ((each.data_ptr(), each.numel() * each.itemsize) for each in (x, y))
        self._program = load("stepping", "link").Program(calls, *ends)  # its machine code goes when it does
        self._run = self._program.run

    def __call__(self, x: Tensor, y: Tensor) -> None:
        """Run the step on the values of x, and write what comes out to y: contiguous tensors, as those given to `link`."""
        if self._run(x.data_ptr(), y.data_ptr()):
            raise RuntimeError("A kernel of a compiled step failed; is the memory full?")
