"""A model's `step` as one call into machine code: the same kernels, without Python between them.

What Python and torch take to call a part is ten times what a layer of a hundred neurons takes. A stream calls the same parts
with the same weights at every step, so what they do is recorded once (`spikescan.ops.stepping`), on memory that stays where
it is. Neurons, `Linear` and `LayerNorm` keep the bits of `step`; torch's own layers may be rounded otherwise.
"""

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from spikescan.layers import (
    GLU,
    S4D,
    DecayingSum,
    Dropout,
    LastReadout,
    LayerNorm,
    LeakyReadout,
    Linear,
    MaxReadout,
    PerStep,
    RateReadout,
    Residual,
    Scale,
    Sequential,
    SpikeAttention,
    Window,
)
from spikescan.layers.attention import DecayingSumState, SpikeAttentionState
from spikescan.layers.readouts import LeakyState, MaxState, RateState
from spikescan.layers.state_space import MODES, S4DState
from spikescan.layers.window import WindowState
from spikescan.neurons.base import Neuron, State, Temporal, map_state
from spikescan.neurons.dsn import DSN, DSNState
from spikescan.neurons.mulfree import MulFreePSN, MulFreePSNState
from spikescan.neurons.pmsn import PMSN, PMSNState
from spikescan.neurons.psn import SlidingPSN, SlidingPSNState, fire_at_zero
from spikescan.neurons.swept import SweptNeuron
from spikescan.ops import IDENTITY, Reset
from spikescan.ops._dispatch import requested
from spikescan.ops.leaky_integration import leaky_cell
from spikescan.ops.stepping import StepRecorder

__all__ = ["MOST_STREAMS", "CompiledStep", "NotCompiledError", "compile_step"]

# Above it, threads and a matrix product for all streams at once are worth more than the calls cost.
MOST_STREAMS = 16

_VERSION = operator.attrgetter("_version")

_BACKENDS = ("auto", "cpu")
"""That may be asked for."""

# v = decay v + gain x, and nothing fires.
_LEAK = leaky_cell(Reset.NONE, True, IDENTITY)


class NotCompiledError(Exception):
    """Why a model cannot be compiled for this input.

    Args:
        reason: what `Streams.not_compiled` says.
        passing: whether that may be otherwise at the next push, with the same model and the same kind of input.
    """

    def __init__(self, reason: str, *, passing: bool = False) -> None:
        super().__init__(reason)
        self.passing = passing


class _Weights:
    """The weights of a model, watched: `changed` says whether one was written, moved or replaced since."""

    def __init__(self, model: Temporal) -> None:
        places = [
            (owner, name)
            for module in model.modules()
            for owner in (module._parameters, module._buffers)
            for name, tensor in owner.items()
            if tensor is not None and tensor.is_floating_point()
        ]
        self._owners = [owner for owner, _ in places]
        self._names = [name for _, name in places]
        # Held, so that no other weight can come to lie where one of them lay.
        self._held = [owner[name].detach() for owner, name in places]  # type: ignore[union-attr]
        self._seen = self._versions()

    def changed(self) -> bool:
        try:
            return self._seen != self._versions()
        except (KeyError, TypeError, RuntimeError):  # a weight is gone, or None, or one that counts no versions
            return True

    def _versions(self) -> list[int]:
        """What changes when a weight is written, moved or replaced."""
        now = [*map(operator.getitem, self._owners, self._names)]
        return [*map(Tensor.data_ptr, now), *map(_VERSION, now)]  # type: ignore[arg-type]


class CompiledStep:
    """One time step of a model for a fixed number of streams, which carries its state itself; made by `compile_step`."""

    def __init__(self, model: Temporal, x_t: Tensor) -> None:
        self._x = torch.empty_like(x_t)
        self._weights = _Weights(model)
        recorded = _Recording()
        self._y, self.state = recorded.part(model, self._x, model.initial_state(x_t), ())
        self.spikes = recorded.spikes
        """What the neurons fired in the last step, by module name; the second use of a neuron is ``name (2)``."""
        self._at_rest = map_state(torch.clone, self.state)
        self._first = self._y[0]
        self._run = recorded.steps.link(self._x, self._y)

    def __call__(self, x_t: Tensor) -> Tensor:
        """The output of this step; the state moves on. One stream may come and go without its batch axis."""
        y_t = torch.empty_like(self._y if x_t.dim() == self._x.dim() else self._first)
        if not x_t.is_contiguous() or x_t.is_neg():
            x_t = x_t.detach().resolve_neg().contiguous()
        self._run(x_t, y_t)
        return y_t

    def is_current(self, x_t: Tensor) -> bool:
        """Whether the step still does what `step` would: x_t is on the CPU as the input was, and nothing has changed."""
        return x_t.is_cpu and requested() in _BACKENDS and not _casts() and not self._weights.changed()

    def go_on_from(self, state: State | None) -> bool:
        """Carry the values of another state on, None being rest; False, with nothing changed, if it is of other streams."""
        given = self._at_rest if state is None else state
        fits = _alike(given, self.state)
        if fits:
            _copy(given, self.state)
        return fits


def compile_step(model: Temporal, x_t: Tensor) -> CompiledStep:
    """The step of `model` for streams like x_t ``[B, C, *]``, at rest.

    Raises:
        NotCompiledError: with the reason; the model can be stepped all the same.
        InputError, RuntimeError: the model does not take such input.
    """
    if requested() not in _BACKENDS:
        raise NotCompiledError(f"the backend {requested()!r} is asked for", passing=True)
    if _casts():
        raise NotCompiledError("autocast chooses other types", passing=True)
    if not x_t.is_cpu or x_t.dtype not in (torch.float32, torch.float64):
        raise NotCompiledError(f"the input is {x_t.dtype} on {x_t.device}, not float32 or float64 on the CPU")
    if not 0 < len(x_t) <= MOST_STREAMS or x_t.numel() == 0:
        raise NotCompiledError(f"there are {len(x_t)} streams, not 1 to {MOST_STREAMS}")
    for name, module in model.named_modules():
        if module.training:
            raise NotCompiledError(f"{name} is in training mode", passing=True)
        if module._forward_hooks or module._forward_pre_hooks:
            raise NotCompiledError(f"{name or 'the model'} has hooks", passing=True)
        if not vars(module).keys().isdisjoint(("forward", "step")):
            raise NotCompiledError(f"{name or 'the model'} has been given a method of its own", passing=True)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.is_floating_point() and (tensor.dtype is not x_t.dtype or not tensor.is_cpu):
            reason = f"{name} is {tensor.dtype} on {tensor.device}, and the input {x_t.dtype}"
            raise NotCompiledError(reason, passing=True)
        if not tensor.is_contiguous():
            raise NotCompiledError(f"{name} is not contiguous", passing=True)
        if tensor.is_inference():
            reason = f"{name} was made in torch.inference_mode(), where nothing counts its changes; make the model outside it"
            raise NotCompiledError(reason)
    # Memory made in inference mode could not be written outside it.
    with torch.inference_mode(False), torch.no_grad():
        # Kernels check nothing: the model itself says whether it takes such input. What it draws, it draws aside.
        with torch.random.fork_rng(devices=()):
            model.step(x_t.detach())
        return CompiledStep(model, x_t.detach().contiguous())


def _casts() -> bool:
    """Whether autocast would run a part in another type than its input's."""
    return torch.is_autocast_enabled("cpu")


class _Recording:
    """Goes through a model, and records what each part does."""

    def __init__(self) -> None:
        self.steps = StepRecorder()
        self.spikes: dict[str, Tensor] = {}
        self._names: dict[Neuron, str] = {}

    def part(self, part: Temporal, x: Tensor, rest: State, path: tuple[str, ...]) -> tuple[Tensor, State]:
        """The output of a part and the state that it carries, which starts as `rest`."""
        kind = type(part)
        record = _PARTS.get(kind)
        if record is None and isinstance(part, SweptNeuron) and kind.step is SweptNeuron.step:
            record = _swept
        if record is None:
            raise NotCompiledError(f"{'.'.join(path) or 'the model'} is a {kind.__name__}")
        y, state = record(self, part, x, rest, path)
        if isinstance(part, Neuron):
            name = self._names.setdefault(part, ".".join(path) or kind.__name__)
            uses = sum(used.startswith(f"{name} (") for used in self.spikes) + (name in self.spikes)
            self.spikes[f"{name} ({uses + 1})" if uses else name] = y
        return y, state

    def module(self, module: nn.Module, x: Tensor, path: tuple[str, ...]) -> Tensor:
        """The output of a module without time."""
        record = _MODULES.get(type(module))
        if record is None:
            raise NotCompiledError(f"{'.'.join(path)} is a {type(module).__name__}")
        return record(self, module, x, path)


# --- temporal parts --------------------------------------------------------------------------------------------------


def _sequential(to: _Recording, part: Any, x: Tensor, rest: State, path: tuple[str, ...]) -> tuple[Tensor, State]:
    carried = []
    for (name, each), state in zip(part.parts.items(), rest, strict=True):
        x, state = to.part(each, x, state, (*path, name))
        carried.append(state)
    return x, tuple(carried)


def _residual(to: _Recording, part: Any, x: Tensor, rest: State, path: tuple[str, ...]) -> tuple[Tensor, State]:
    if part.shortcut is None:
        branch, state = to.part(part.module, x, rest, (*path, "module"))
        return to.steps.add(x, branch), state
    branch, of_module = to.part(part.module, x, rest[0], (*path, "module"))
    kept, of_shortcut = to.part(part.shortcut, x, rest[1], (*path, "shortcut"))
    return to.steps.add(kept, branch), (of_module, of_shortcut)


def _per_step(to: _Recording, part: Any, x: Tensor, rest: State, path: tuple[str, ...]) -> tuple[Tensor, State]:
    return to.module(part.module, x, (*path, "module")), ()


def _dsn(to: _Recording, part: Any, x: Tensor, rest: DSNState, path: tuple[str, ...]) -> tuple[Tensor, State]:
    state = DSNState(rest.membrane.contiguous(), _time_first(rest.window))
    spikes = to.steps.dynamic_decay(
        x, part.weight, part.bias, tau=part.tau, firing=part.firing.spec, membrane=state.membrane, window=state.window
    )
    return spikes, state


def _sliding_psn(to: _Recording, part: Any, x: Tensor, rest: SlidingPSNState, path: tuple[str, ...]) -> Any:
    window, channels = _time_first(rest.window), x.shape[1]
    taps, bias = part.weight.expand(channels, -1).contiguous(), part.bias.expand(channels).contiguous()
    return to.steps.causal_conv(x, taps, bias, firing=fire_at_zero(part.firing), window=window), SlidingPSNState(window)


def _mulfree_psn(to: _Recording, part: Any, x: Tensor, rest: MulFreePSNState, path: tuple[str, ...]) -> Any:
    if part.dilation > 1:
        raise NotCompiledError(f"{'.'.join(path) or 'the model'} is a MulFreePSN of dilation {part.dilation}")
    window, firing = _time_first(rest.window), fire_at_zero(part.firing)
    return to.steps.causal_conv(x, *part.fused(), firing=firing, window=window), MulFreePSNState(window)


def _pmsn(to: _Recording, part: Any, x: Tensor, rest: PMSNState, path: tuple[str, ...]) -> tuple[Tensor, State]:
    n = part.compartments
    states = torch.stack([*rest.real.unbind(1), *rest.imaginary.unbind(1), rest.charge])
    spikes = to.steps.sweep(part.cell(), x, part.coefficients(x.device), firing=part.firing.spec, state=states)
    return spikes, PMSNState(states[:n].transpose(0, 1), states[n : 2 * n].transpose(0, 1), states[-1])


def _swept(to: _Recording, part: Any, x: Tensor, rest: State, path: tuple[str, ...]) -> tuple[Tensor, State]:
    states = torch.stack(rest)
    spikes = to.steps.sweep(part.cell(), x, part.coefficients(x.device), firing=part.firing.spec, state=states)
    return spikes, part.state_type(*states.unbind(0))


def _rate(to: _Recording, part: Any, x: Tensor, rest: RateState, path: tuple[str, ...]) -> tuple[Tensor, State]:
    return to.steps.rate(x, rest.total, rest.steps), rest


def _max(to: _Recording, part: Any, x: Tensor, rest: MaxState, path: tuple[str, ...]) -> tuple[Tensor, State]:
    return to.steps.maximum(x, rest.maximum), rest


def _leaky(to: _Recording, part: Any, x: Tensor, rest: LeakyState, path: tuple[str, ...]) -> tuple[Tensor, State]:
    logit, states = part.decay_logit, torch.stack(rest)
    parameters = logit.sigmoid(), logit.neg().sigmoid()
    return to.steps.sweep(_LEAK, x, parameters, firing=IDENTITY, state=states), LeakyState(*states.unbind(0))


def _attention(to: _Recording, part: Any, x: Tensor, rest: SpikeAttentionState, path: tuple[str, ...]) -> Any:
    q, query = to.part(part.query, x, rest.query, (*path, "query"))
    k, key = to.part(part.key, x, rest.key, (*path, "key"))
    v, value = to.part(part.value, x, rest.value, (*path, "value"))
    attended, mix = to.part(part.mix, _product(to, k, v, path), rest.mix, (*path, "mix"))
    return _product(to, q, attended, path), SpikeAttentionState(query, key, value, mix)


def _product(to: _Recording, a: Tensor, b: Tensor, path: tuple[str, ...]) -> Tensor:
    """Of one shape: the kernel would read past the end of the smaller one."""
    if a.shape != b.shape:
        raise NotCompiledError(f"{'.'.join(path) or 'the model'} multiplies {list(a.shape)} by {list(b.shape)}")
    return to.steps.multiply(a, b)


def _decaying_sum(to: _Recording, part: Any, x: Tensor, rest: DecayingSumState, path: tuple[str, ...]) -> Any:
    total = rest.total.contiguous()
    return to.steps.linear_recurrence(part.decays(x.dtype), x, state=total), DecayingSumState(total)


def _s4d(to: _Recording, part: Any, x: Tensor, rest: Any, path: tuple[str, ...]) -> tuple[Tensor, State]:
    sweeps, modes = part.parameters_of_sweeps(x.dtype), rest.modes.shape[2]
    states = x.new_zeros(len(sweeps), len(MODES.states), *x.shape)
    carried = states.flatten(0, 1)[: 2 * modes].movedim(0, 2).view(*x.shape, modes, 2)
    carried.copy_(rest.modes)
    y = to.steps.scale(x, part.skip, torch.zeros_like(part.skip))
    for parameters, own in zip(sweeps, states, strict=True):
        y = to.steps.add(y, to.steps.sweep(MODES, x, parameters.unbind(0), firing=IDENTITY, state=own))
    return y, S4DState(carried)


def _last(to: _Recording, part: Any, x: Tensor, rest: State, path: tuple[str, ...]) -> tuple[Tensor, State]:
    return x, ()


def _window(to: _Recording, part: Any, x: Tensor, rest: WindowState, path: tuple[str, ...]) -> tuple[Tensor, State]:
    past = rest.past.contiguous()
    return to.steps.window(x, past), WindowState(past)


# By exact class: a subclass may do something else.
_PARTS: dict[type, Callable[..., tuple[Tensor, State]]] = {
    Sequential: _sequential,
    Residual: _residual,
    PerStep: _per_step,
    DSN: _dsn,
    SlidingPSN: _sliding_psn,
    MulFreePSN: _mulfree_psn,
    PMSN: _pmsn,
    RateReadout: _rate,
    MaxReadout: _max,
    LeakyReadout: _leaky,
    LastReadout: _last,
    Window: _window,
    SpikeAttention: _attention,
    DecayingSum: _decaying_sum,
    S4D: _s4d,
}


# --- modules without time --------------------------------------------------------------------------------------------


def _flat(module: nn.Module, x: Tensor, path: tuple[str, ...]) -> None:
    if x.ndim != 2:
        raise NotCompiledError(f"{'.'.join(path)} is a {type(module).__name__} over {list(x.shape)}, not over [B, C]")


def _linear(to: _Recording, module: Any, x: Tensor, path: tuple[str, ...]) -> Tensor:
    _flat(module, x, path)
    return to.steps.linear(x, module.weight, module.bias)


def _batch_norm(to: _Recording, module: Any, x: Tensor, path: tuple[str, ...]) -> Tensor:
    if module.running_mean is None:
        raise NotCompiledError(f"{'.'.join(path)} has no running statistics")
    gain = torch.rsqrt(module.running_var + module.eps)
    gain = gain if module.weight is None else gain * module.weight
    bias = torch.zeros_like(gain) if module.bias is None else module.bias
    # Rounded once, as torch does it.
    offset = bias.double() - module.running_mean.double() * gain.double()
    return to.steps.scale(x, gain, offset.to(x.dtype))


def _layer_norm(to: _Recording, module: Any, x: Tensor, path: tuple[str, ...]) -> Tensor:
    _flat(module, x, path)
    gain, offset = _affine(module, x)
    return to.steps.layer_norm(x, gain, offset, module.eps)


def _rms_norm(to: _Recording, module: Any, x: Tensor, path: tuple[str, ...]) -> Tensor:
    _flat(module, x, path)
    gain, offset = _affine(module, x)
    epsilon = torch.finfo(x.dtype).eps if module.eps is None else module.eps
    return to.steps.layer_norm(x, gain, offset, epsilon, centred=False)


def _affine(module: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Gain and offset of a norm, where it has them."""
    channels, bias = x.shape[1], getattr(module, "bias", None)
    gain = x.new_ones(channels) if module.weight is None else module.weight
    return gain, x.new_zeros(channels) if bias is None else bias


def _scale(to: _Recording, module: Scale, x: Tensor, path: tuple[str, ...]) -> Tensor:
    _flat(module, x, path)
    gain = module.log_scale.exp().expand(x.shape[1]).contiguous()
    return to.steps.scale(x, gain, torch.zeros_like(gain))


def _gated(to: _Recording, module: nn.GLU, x: Tensor, path: tuple[str, ...]) -> Tensor:
    _flat(module, x, path)
    if module.dim not in (1, -1):
        raise NotCompiledError(f"{'.'.join(path)} is a GLU of axis {module.dim}")
    return to.steps.gated(x)


def _same(to: _Recording, module: nn.Module, x: Tensor, path: tuple[str, ...]) -> Tensor:
    return x


def _flatten(to: _Recording, module: Any, x: Tensor, path: tuple[str, ...]) -> Tensor:
    return x.flatten(module.start_dim, module.end_dim)


def _modules(to: _Recording, module: Any, x: Tensor, path: tuple[str, ...]) -> Tensor:
    # Not `named_children`, which leaves out a module that stands there twice.
    for name, each in module._modules.items():
        x = to.module(each, x, (*path, name))
    return x


_MODULES: dict[type, Callable[..., Tensor]] = {
    Linear: _linear,
    nn.Linear: _linear,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.BatchNorm3d: _batch_norm,
    LayerNorm: _layer_norm,
    nn.LayerNorm: _layer_norm,
    nn.RMSNorm: _rms_norm,
    nn.Identity: _same,
    Dropout: _same,
    nn.Dropout: _same,
    nn.Dropout1d: _same,
    nn.Dropout2d: _same,
    nn.Dropout3d: _same,
    nn.Flatten: _flatten,
    nn.Sequential: _modules,
    Scale: _scale,
    GLU: _gated,
    nn.GLU: _gated,
}


# --- states ----------------------------------------------------------------------------------------------------------


def _time_first(window: Tensor) -> Tensor:
    """The same window ``[B, k - 1, C, *]``, stored as the kernels take it."""
    return window.transpose(0, 1).contiguous().transpose(0, 1)


def _alike(given: State, own: State) -> bool:
    """Whether two states have one structure, shapes and types."""
    if isinstance(own, Tensor):
        return isinstance(given, Tensor) and given.shape == own.shape and given.dtype is own.dtype
    return type(given) is type(own) and len(given) == len(own) and all(map(_alike, given, own))


def _copy(given: State, own: State) -> None:
    """Write the values of one state over those of another."""
    if isinstance(own, Tensor):
        own.copy_(given)
        return
    for one, other in zip(given, own, strict=True):
        _copy(one, other)
