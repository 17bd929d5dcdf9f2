"""From integer spikes to binary sub-steps: the network that hardware without multipliers runs, with the same outputs.

A count c of at most N spikes is N binary sub-steps in thermometer code: sub-step d fires where d < c. A linear map W takes the
sub-steps one by one, W c = sum_d W s_d; its bias is added once, to the sum. What is not linear (norms, neurons, readouts) runs
once a logical step, on the sum. Sources: SpikeYOLO (I-LIF, ECCV 2024); Spike-driven Transformer V3 (arXiv 2411.16061).
"""

import copy
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from spikescan.errors import InputError
from spikescan.firing import Binary, Integer, from_thermometer, to_thermometer
from spikescan.layers import LastReadout, LeakyReadout, MaxReadout, PerStep, RateReadout, Residual, Sequential, Window
from spikescan.layers.plain import AVERAGES, KEEPING, MAXIMA, NORMS, WEIGHTED, fan_out
from spikescan.neurons.base import Neuron, State, Temporal, check_stateless
from spikescan.neurons.padding import zero_padding

__all__ = ["Traffic", "Unrolled", "unroll"]

# max_i c_i is above d where some c_i is: of `MAXIMA`, the code of the largest count is the largest of the codes.
_ONCE = (*NORMS, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh)
_READOUTS = (RateReadout, MaxReadout, LeakyReadout, LastReadout)


class Traffic(NamedTuple):
    """What one synaptic layer of an unrolled model had to do."""

    sub_steps: int
    """Sub-steps a logical step."""
    events: int
    """Values other than 0 that arrived: binary spikes, or where an average pool lies before, their averages."""
    accumulates: int
    """Weights that were added up: each event with all its fan-out."""


def unroll(model: Temporal) -> "Unrolled":
    """The network with binary sub-steps that does what a network with integer spikes does.

    Each neuron with ``Integer(N)`` sends N binary sub-steps a logical step (`to_thermometer`), with `Binary` one. Each synaptic
    layer after a neuron (``nn.Linear``, convolutions, average pools) takes the sub-steps one by one and without its bias, sums
    what came of them and adds the bias once. Norms, neurons and readouts run once a logical step. In exact arithmetic every
    spike and output equals the integer model's; in floating point the sums are rounded in another order.

    * An average pool is linear: it is applied to each sub-step, and makes one synaptic map with the layer that follows it.
    * A max pool is applied to each sub-step: the largest thermometer code is the code of the largest count.
    * `Residual` of counts up to N and M has N + M sub-steps: first those of its input, then those of its module.
    * Before the first neuron everything runs as it is, on real numbers.

    Args:
        model: in evaluation mode, built of `Sequential`, `Residual`, `PerStep`, neurons and readouts, as those of
            `create_model` are. It is copied, not changed.

    Returns:
        A `Temporal` with the same signature and the same state, so that one may go on where the other stopped.

    Raises:
        InputError: the model is in training mode; or a part cannot be unrolled. The message begins with its name: a
            layer that would see real numbers (a norm, a readout or another layer lies between it and the spikes), or a
            module of an unknown kind after a neuron.
    """
    if not isinstance(model, Temporal):
        raise InputError(
            f"unroll: {type(model).__name__} is not a temporal module; wrap it, as in spikescan.Sequential(model)."
        )
    training = next((name for name, part in model.named_modules() if part.training), None)
    if training is not None:
        raise InputError(
            f"unroll: {training or type(model).__name__} is in training mode, where norms and dropout depend on the "
            f"batch and on chance; call model.eval()."
        )
    return Unrolled(model)


class Unrolled(Temporal):
    """An integer network as binary sub-steps; made by `unroll`. For running: train the integer network."""

    def __init__(self, model: Temporal) -> None:
        super().__init__()
        self.model, signal = _unroll(copy.deepcopy(model), "", _Signal())
        self.ends_in_sub_steps = signal.slots > 0
        self.causal = model.causal
        self.streamable = model.streamable
        self.stochastic = model.stochastic
        self.length_bound = model.length_bound
        self.eval()

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        """As the integer model's; see `Temporal.forward`."""
        y, state = self.model(x, state, lengths)
        return from_thermometer(y) if self.ends_in_sub_steps else y, state

    def initial_state(self, x_t: Tensor) -> State:
        """The integer model's."""
        return self.model.initial_state(x_t)

    def train(self, mode: bool = True) -> "Unrolled":
        """Refused but for ``train(False)``, which changes nothing.

        Raises:
            InputError: `mode` is True.
        """
        if mode:
            raise InputError("An unrolled model has no training mode: train the integer model and unroll it again.")
        return super().train(False)

    @torch.no_grad()
    def traffic(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> dict[str, Traffic]:
        """What each synaptic layer after a neuron has to do for the input x ``[T, B, C, *]``, by the layer's name."""
        found: dict[str, Traffic] = {}

        def count(part: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            if isinstance(part, _Synapses):
                found[part.path] = part.traffic(arguments[0])

        hooks = [part.register_forward_pre_hook(count) for part in self.modules() if isinstance(part, _Synapses)]
        try:
            self(x, state, lengths)
        finally:
            for hook in hooks:
                hook.remove()
        return found


@dataclass(frozen=True)
class _Signal:
    """What runs between two parts of an unrolled model."""

    slots: int = 0
    """Sub-steps a logical step, ``[T, slots, B, C, *]``; 0 for real numbers ``[T, B, C, *]``."""
    binary: bool = False
    """Whether sub-steps are 0 or 1."""
    ordered: bool = False
    """Whether binary sub-steps are one thermometer code."""
    after: str = ""
    """The part after the first neuron that made real numbers."""


def _unroll(part: Temporal, path: str, signal: _Signal) -> tuple[Temporal, _Signal]:
    """What stands for `part`, and the signal it sends when it is given `signal`."""
    if type(part) is Sequential:
        parts: dict[str, nn.Module] = {}
        for name, inner in part.parts.items():
            parts[name], signal = _unroll(inner, _join(path, name), signal)
        return Sequential(parts), signal
    if type(part) is Residual:
        module, sent = _unroll(part.module, _join(path, "module"), signal)
        if part.shortcut is None:
            return _Residual(module, None, signal, sent), _added(path, signal, sent)
        shortcut, kept = _unroll(part.shortcut, _join(path, "shortcut"), signal)
        return _Residual(module, shortcut, kept, sent), _added(path, kept, sent)
    if type(part) is PerStep:
        return _unroll_plain(part.module, path, signal)
    if isinstance(part, Neuron):
        if not isinstance(part.firing, Binary | Integer):
            raise _refused(
                path, part, f"it fires {part.firing}, and there is a code for Binary and Integer spikes only"
            )
        levels = part.firing.levels if isinstance(part.firing, Integer) else 1
        return _Fire(_collected(part, signal), levels), _Signal(levels, binary=True, ordered=True)
    if type(part) in _READOUTS:
        return _collected(part, signal), _real(path, part, signal)
    if type(part) is Window and signal == _Signal():  # before the first neuron: it moves the same numbers
        return part, signal
    raise _refused(path, part, "nothing is known about what it does to sub-steps")


def _unroll_plain(module: nn.Module, path: str, signal: _Signal) -> tuple[Temporal, _Signal]:
    """What stands for a module without time."""
    kind = type(module)
    if kind is nn.Sequential:
        parts = []
        for name, inner in module.named_children():
            part, signal = _unroll_plain(inner, _join(path, name), signal)
            parts.append(part)
        return _Plain(parts), signal
    if signal == _Signal():  # before the first neuron: the same numbers go in
        return PerStep(module), signal
    if kind in WEIGHTED:
        if not signal.slots:
            raise _refused(
                path,
                module,
                f"{signal.after} lies between the spikes and it, so it would see real numbers; put a neuron before it, or "
                f"fold the two into one layer (a mean over time may as well come after a linear layer)",
            )
        return _Synapses(path, module, signal.slots), _Signal(after=_named(path, module))
    if kind in KEEPING and signal.slots:
        return _EachSubStep(module), signal
    if kind in AVERAGES and signal.slots:
        return _EachSubStep(module), _Signal(signal.slots)
    if kind in MAXIMA and signal.binary:
        return _EachSubStep(module, recode=not signal.ordered), _Signal(signal.slots, binary=True, ordered=True)
    if kind in (*KEEPING, *AVERAGES, *MAXIMA, *_ONCE):
        return _collected(PerStep(module), signal), _real(path, module, signal)
    raise _refused(path, module, "nothing is known about what it does to sub-steps")


def _collected(part: Temporal, signal: _Signal) -> Temporal:
    """`part`, on the sum of the sub-steps."""
    return _Collect(part) if signal.slots else part


def _real(path: str, part: nn.Module, signal: _Signal) -> _Signal:
    """Real numbers, once they have been spikes; before the first neuron they are the input still."""
    return _Signal(after=_named(path, part)) if signal.slots else signal


def _added(path: str, x: _Signal, branch: _Signal) -> _Signal:
    if x.slots and branch.slots:
        return _Signal(x.slots + branch.slots, binary=x.binary and branch.binary)
    if x.slots or branch.slots:
        return _Signal(after=f"{path or 'the model'} (Residual)")
    return branch if branch.after else x


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _named(path: str, part: nn.Module) -> str:
    return f"{path} ({type(part).__name__})" if path else type(part).__name__


def _refused(path: str, part: nn.Module, reason: str) -> InputError:
    return InputError(f"unroll: {_named(path, part)} cannot be unrolled: {reason}.")


class _Collect(Temporal):
    """Sums the sub-steps ``[T, N, B, C, *]`` and runs a part on the sum."""

    def __init__(self, part: Temporal) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        return cast("tuple[Tensor, State]", self.part(from_thermometer(x), state, lengths))

    def initial_state(self, x_t: Tensor) -> State:
        return self.part.initial_state(x_t.sum(0))


class _Fire(Temporal):
    """A neuron whose counts leave as sub-steps ``[T, N, B, C, *]``."""

    def __init__(self, neuron: Temporal, levels: int) -> None:
        super().__init__()
        self.neuron = neuron
        self.levels = levels

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        counts, state = self.neuron(x, state, lengths)
        return to_thermometer(counts, self.levels), state

    def initial_state(self, x_t: Tensor) -> State:
        return self.neuron.initial_state(x_t)


class _Stateless(Temporal):
    def initial_state(self, x_t: Tensor) -> State:
        return ()


class _Plain(_Stateless):
    """Parts of one module without time, one after the other."""

    def __init__(self, parts: list[Temporal]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        check_stateless("PerStep", state)
        for part in self.parts:
            x, _ = part(x, None, lengths)
        return x, ()


class _EachSubStep(_Stateless):
    """Applies a module to each sub-step by itself: ``[T, N, B, C, *]`` to ``[T, N, B, C', *]``.

    With `recode`, the sub-steps are first put in the order of one thermometer code.
    """

    def __init__(self, module: nn.Module, *, recode: bool = False) -> None:
        super().__init__()
        self.module = module
        self.recode = recode

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        check_stateless("PerStep", state)
        if self.recode:
            x = to_thermometer(from_thermometer(x), x.shape[1])
        return _rows(self.module, x), ()


class _Synapses(_Stateless):
    """A layer with weights on sub-steps: ``sum_d W s_d + b``, ``[T, N, B, C, *]`` to ``[T, B, C', *]``."""

    def __init__(self, path: str, layer: nn.Module, slots: int) -> None:
        super().__init__()
        self.path = path
        self.slots = slots
        self.layer = copy.deepcopy(layer)  # it may stand elsewhere in the model too
        bias, weight = cast("nn.Parameter | None", layer.bias), cast(nn.Parameter, layer.weight)
        # Over the axes after the channels; a linear layer has its channels last.
        self.bias = None if bias is None else nn.Parameter(bias.detach().view(-1, *[1] * (weight.dim() - 2)).clone())
        self.layer.register_parameter("bias", None)

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        check_stateless("PerStep", state)
        current = from_thermometer(_rows(self.layer, x))
        return (current if self.bias is None else zero_padding(current + self.bias, lengths)), ()

    def traffic(self, sub_steps: Tensor) -> Traffic:
        """Of the sub-steps ``[T, N, B, C, *]`` that arrived."""
        events = (sub_steps != 0).sum((0, 1, 2), dtype=torch.float64)
        return Traffic(self.slots, int(events.sum()), int((events * fan_out(self.layer, events.shape)).sum()))


class _Residual(Temporal):
    """shortcut(x) + module(x), where each is a sum of sub-steps or of real numbers; sub-steps are added by counting on."""

    def __init__(self, module: Temporal, shortcut: Temporal | None, kept: _Signal, branch: _Signal) -> None:
        super().__init__()
        self.module = module
        self.shortcut = shortcut
        self.keeps_sub_steps = bool(kept.slots and branch.slots)
        self.collects = (kept.slots > 0, branch.slots > 0)

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        if self.shortcut is None:
            branch, state = self.module(x, state, lengths)
        else:
            of_module, of_shortcut = (None, None) if state is None else state
            branch, of_module = self.module(x, of_module, lengths)
            x, of_shortcut = self.shortcut(x, of_shortcut, lengths)
            state = (of_module, of_shortcut)
        if self.keeps_sub_steps:
            return torch.cat([x, branch], dim=1), state
        x, branch = (from_thermometer(y) if slots else y for y, slots in zip((x, branch), self.collects, strict=True))
        return zero_padding(x, lengths) + branch, state

    def initial_state(self, x_t: Tensor) -> State:
        at_rest = self.module.initial_state(x_t)
        return at_rest if self.shortcut is None else (at_rest, self.shortcut.initial_state(x_t))


def _rows(module: nn.Module, x: Tensor) -> Tensor:
    """`module` on every sub-step of every sample as one batch; 0 stays 0 in all that comes here."""
    y = module(x.flatten(0, 2))
    return cast(Tensor, y.reshape(*x.shape[:3], *y.shape[1:]))
