"""What a network has to compute, counted while it runs on real samples: layer by layer, beside the network without spikes.

The model is walked part by part, and what runs between two parts is known to be spikes or real numbers. Of a spike a layer with
weights adds up the weights that it meets: accumulates (AC). A real number it multiplies with them: multiply-accumulates (MAC).
docs/energy.md says what is counted and what is not.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from spikescan.analysis._costs import ACTIVATIONS, STEADY, averaged, normalising, per_step_of
from spikescan.analysis._watch import evaluating
from spikescan.analysis.operations import LayerCount, Operations, Role
from spikescan.control.actors import GRUActor
from spikescan.control.normaliser import RunningNorm
from spikescan.control.population import PopulationActor
from spikescan.data import Batch
from spikescan.errors import InputError
from spikescan.firing import Binary, Integer
from spikescan.layers import (
    HYPR,
    DecayingSum,
    EachPlace,
    FromLast,
    PerStep,
    Recurrent,
    Residual,
    Scale,
    Sequential,
    SpikeAttention,
    Standardised,
    TokenSum,
    Window,
)
from spikescan.layers.places import rows_from, rows_of
from spikescan.layers.plain import AVERAGES, KEEPING, MAXIMA, NORMS, WEIGHTED, fan_out
from spikescan.models.single import Single
from spikescan.neurons.base import Neuron, Temporal
from spikescan.neurons.padding import zero_padding

__all__ = ["count_operations", "counts_as_spikes"]


def count_operations(model: Temporal, batches: Callable[[], Iterable[Batch]]) -> list[LayerCount]:
    """Sums over all samples of `batches`, by layer, in the order in which the network runs them.

    The model runs in evaluation mode and without gradients, on the device of the batches; it is left as it was found.

    Args:
        model: built of the layers and neurons of this library and of torch's, as those of `create_model` are.
        batches: gives the samples anew each time it is called. They are gone through twice: whether the input is spikes must be
            known before the first is counted.

    Raises:
        InputError: it is not known what a part of the model computes; the message names it.
    """
    spikes = counts_as_spikes(batches())
    walk = _Walk()
    with evaluating(model), torch.no_grad():
        for batch in batches():
            walk.through_model(model, batch, spikes)
    return list(walk.layers.values())


def walk_through(model: Temporal, batch: Batch, *, spikes: bool = False) -> tuple[Tensor, list[LayerCount]]:
    """The output of a model that is gone through part by part, and what was counted; `spikes`: whether the input is some.

    For tests: the output is the model's own.
    """
    walk = _Walk()
    return walk.through_model(model, batch, spikes), list(walk.layers.values())


def counts_as_spikes(batches: Iterable[Batch]) -> bool:
    """Whether an input is spikes: whole numbers from 0 up, at most one a value in the mean.

    Events of a camera and one-hot symbols are; pixels and measurements are not. Whole numbers that are large on average would
    be more accumulates than there are multiplications.
    """
    total = values = 0.0
    for batch in batches:
        x = zero_padding(batch.inputs, batch.lengths)
        if not bool(((x >= 0) & (x == x.round())).all()):
            return False
        total += float(x.sum(dtype=torch.float64))
        values += _steps(batch) * x.shape[2:].numel()
    return total <= values


def _steps(batch: Batch) -> int:
    """Valid steps of all samples."""
    time_steps, samples = batch.inputs.shape[:2]
    return time_steps * samples if batch.lengths is None else int(batch.lengths.sum())


@dataclass
class _Signal:
    """What runs between two parts."""

    values: Tensor
    """``[T, B, C, *]``"""
    spikes: Tensor | None = None
    """How many spikes each value stands for, of the same shape; None for real numbers.

    They are the values themselves, but where a pool or a scale lies between: its factor goes into the weights behind.
    """
    owed: list[tuple[LayerCount, Operations, Operations]] = field(default_factory=list)
    """What those parts cost, here and in the network without spikes, should something else than weights follow."""
    weighted: bool = False
    """Comes from a layer with weights, which can hold the factors and offsets of a norm."""

    @property
    def plain(self) -> bool:
        """The values are numbers of spikes."""
        return self.spikes is not None and self.spikes is self.values


def _moved(signal: _Signal, move: Callable[[Tensor], Tensor]) -> _Signal:
    """The values in other places, and the spikes with them; weights before hold what they held only where channels stay."""
    values = move(signal.values)
    spikes = signal.spikes
    if spikes is not None:
        spikes = values if signal.plain else move(spikes)
    return _Signal(values, spikes, signal.owed)


class _Walk:
    """Goes through a model part by part, as the model does itself, and adds to the counts of each layer."""

    def __init__(self) -> None:
        self.layers: dict[str, LayerCount] = {}
        self.fan_outs: dict[str, Tensor] = {}
        self.lengths: Tensor | None = None
        self.steps = 0
        self.places = 1

    def through_model(self, model: Temporal, batch: Batch, spikes: bool) -> Tensor:
        """Counts one batch; returns the model's output."""
        self.lengths, self.steps = batch.lengths, _steps(batch)
        x = zero_padding(batch.inputs, batch.lengths)
        return self.through("", model, _Signal(x, x if spikes else None)).values

    # Compositions

    def through(self, path: str, part: nn.Module, signal: _Signal) -> _Signal:
        """What `part` makes of `signal`."""
        if isinstance(part, Neuron):
            return self._neuron(path, part, signal)
        if type(part) not in _HANDLERS:
            raise _refused(path, part)
        return _HANDLERS[type(part)](self, path, part, signal)

    def _sequential(self, path: str, part: nn.Module, signal: _Signal) -> _Signal:
        for name, inner in part._modules.items():  # named_children leaves out the second use of a module
            signal = self.through(_join(path, name), cast(nn.Module, inner), signal)
        return signal

    def _per_step(self, path: str, part: PerStep, signal: _Signal) -> _Signal:
        return self.through(path, part.module, signal)

    def _residual(self, path: str, part: Residual, signal: _Signal) -> _Signal:
        branch = self.through(_join(path, "module"), part.module, signal)
        kept = signal
        if part.shortcut is not None:
            kept = self.through(_join(path, "shortcut"), part.shortcut, signal)
        y = kept.values + branch.values
        every_value = Operations(additions=self._number(y))
        layer = self._layer(path, part, "other")
        layer.dense += every_value
        if kept.plain and branch.plain:
            return _Signal(y, y)  # the spikes of both, one after the other
        self._pay(kept, branch)
        layer.operations += every_value
        return _Signal(y)

    def _each_place(self, path: str, part: EachPlace, signal: _Signal) -> _Signal:
        """The module on every place, each a sample of its own."""
        shape = signal.values.shape
        outside = self.lengths, self.steps, self.places
        places = shape[3:].numel()
        if self.lengths is not None:
            self.lengths = self.lengths.repeat_interleave(places)
        self.steps, self.places = self.steps * places, self.places * places
        signal = self.through(_join(path, "module"), part.module, _moved(signal, rows_of))
        self.lengths, self.steps, self.places = outside
        return _moved(signal, lambda values: rows_from(values, shape))

    def _standardised(self, path: str, part: Standardised, signal: _Signal) -> _Signal:
        """Sums of the past, mean and deviation a place; x relative to them, and y back.

        How many values were seen is the same for all, and so are its reciprocals: they are not counted.
        """
        self._pay(signal)
        x = signal.values
        seen = part.relative(x, self.lengths)
        inner = self.through(_join(path, "module"), part.module, _Signal(seen.values))
        self._pay(inner)
        y = part.undo(seen, inner.values, self.lengths)
        channels, outputs, places = x.shape[2], y.shape[2], self.steps * x.shape[3:].numel()
        layer = self._layer(path, part, "other")
        each = Operations(  # products: two means, how far the mean has moved two, variance and deviation one each
            multiplications=2 * channels + outputs + 6,
            additions=4 * channels + part.from_mean * outputs + 3,
            transcendentals=1,
        )
        self._both(layer, each * places)
        layer.state_bytes += 2 * 4 * 2 * places
        return _Signal(y)

    def _attention(self, path: str, part: SpikeAttention, signal: _Signal) -> _Signal:
        """Of q * mix(k * v). A product of spikes is where both are: a mask, as many spikes as the product of the numbers."""
        q, k, v = (self.through(_join(path, name), getattr(part, name), signal) for name in ("query", "key", "value"))
        layer = self._layer(path, part, "synapses")
        together = self._product(layer, k, v)
        mixed = self.through(_join(path, "mix"), part.mix, together)
        return self._product(layer, q, mixed)

    def _product(self, layer: LayerCount, a: _Signal, b: _Signal) -> _Signal:
        y = a.values * b.values.to(a.values.dtype)
        layer.dense += Operations(multiplications=self._number(y))
        if a.plain and b.plain:
            return _Signal(y, y)
        for spikes, real in ((a, b), (b, a)):
            if spikes.plain and spikes.spikes is not None:  # a real number, added up as often as there are spikes
                self._pay(real)
                layer.operations += Operations(accumulates=_total(spikes.spikes.expand_as(y)))
                return _Signal(y)
        self._pay(a, b)
        layer.operations += Operations(multiplications=self._number(y))
        return _Signal(y)

    def _recurrent(self, path: str, part: Recurrent, signal: _Signal) -> _Signal:
        self._weights(_join(path, "linear"), part.linear, signal)
        y, _ = part(signal.values, None, self.lengths)
        if part.lateral is not None:
            before = torch.cat([torch.zeros_like(y[:1]), y[:-1]]) if len(y) else y
            before = zero_padding(before, self.lengths)
            spiking = isinstance(part.neuron.firing, Binary | Integer)
            self._weights(_join(path, "lateral"), part.lateral, _Signal(before, before if spiking else None))
        return self._fired(_join(path, "neuron"), part.neuron, y)

    def _hypr(self, path: str, part: HYPR, signal: _Signal) -> _Signal:
        return self._recurrent(_join(path, "layer"), part.layer, signal)

    def _single(self, path: str, part: Single, signal: _Signal) -> _Signal:
        neurons = list(part.neurons)
        each = torch.full(signal.values.shape[2:], len(neurons), dtype=torch.float64, device=signal.values.device)
        self._weighted(self._layer(path, part, "synapses"), each, signal)
        outputs = []
        for index, neuron in enumerate(neurons):
            charge = part.charge(signal.values, index)
            outputs.append(self.through(_join(path, f"neurons.{index}"), neuron, _Signal(charge)))
        y = torch.cat([output.values for output in outputs], dim=2)
        return _Signal(y, y if all(output.plain for output in outputs) else None)

    # Actors

    def _population(self, path: str, part: PopulationActor, signal: _Signal) -> _Signal:
        """Valid observations alone, each shown for its micro-steps; weights of the decoder hold the 1/n of a rate."""
        self._pay(signal)
        stimulation = self._run(part.encoder, signal.values)
        encoder = self._layer(_join(path, "encoder"), part.encoder, "other")
        # (x - mu)^2 times a constant, and its exponential.
        self._both(encoder, Operations(multiplications=2, additions=1, transcendentals=1) * self._number(stimulation))
        outside = self.lengths, self.steps
        drive, valid = part.shown(stimulation, self.lengths)
        self.lengths, self.steps = valid, self.steps * part.micro_steps
        sent = self.through(_join(path, "network"), part.network, _Signal(drive))
        self.lengths, self.steps = outside
        rates = part.rates(sent.values, signal.values)
        decoder = self._layer(_join(path, "decoder"), part.decoder, "synapses")
        sums = Operations(additions=(part.micro_steps - 1) * self._number(rates))
        decoder.dense += sums
        if sent.spikes is None:
            self._pay(sent)
            decoder.operations += sums
        spikes = None if sent.spikes is None else part.micro_steps * part.rates(sent.spikes, signal.values)
        one_each = torch.ones(rates.shape[2:], dtype=torch.float64, device=rates.device)
        self._weighted(decoder, one_each, _Signal(rates, spikes))
        actions = self._run(part.decoder, rates)
        self._both(decoder, Operations(transcendentals=self._number(actions)))
        return _Signal(actions)

    def _gru(self, path: str, part: GRUActor, signal: _Signal) -> _Signal:
        """Three gates, each of the input and of what is carried; then the head."""
        self._pay(signal)
        gru, carried = part.gru, self.steps * part.gru.hidden_size
        layer = self._layer(_join(path, "gru"), gru, "synapses")
        products = Operations(multiply_accumulates=3 * carried * (gru.input_size + gru.hidden_size))
        # n = tanh(W x + r * (U h)) and h' = n + z * (h - n); of r and z, input and carried share an accumulator.
        gates = Operations(multiplications=2 * carried, additions=3 * carried, transcendentals=3 * carried)
        self._both(layer, products + gates)
        layer.state_bytes += 2 * 4 * carried
        layer.takes_spikes = False
        head = self._layer(_join(path, "head"), part.head, "synapses")
        y, _ = part(signal.values, None, self.lengths)
        head.takes_spikes = False
        actions = self._number(y)
        self._both(head, Operations(multiply_accumulates=actions * gru.hidden_size, transcendentals=actions))
        return _Signal(y)

    # Neurons, and what else has time in it

    def _neuron(self, path: str, part: Neuron, signal: _Signal) -> _Signal:
        self._pay(signal)
        y, _ = part(signal.values, None, self.lengths)
        return self._fired(path, part, y)

    def _fired(self, path: str, part: Neuron, y: Tensor) -> _Signal:
        """Counts neurons that sent y."""
        layer = self._layer(path, part, "neurons")
        cost, steps = part.cost(), self._number(y)
        layer.operations += per_step_of(cost) * steps
        layer.state_bytes += 2 * cost.state_bytes * steps
        layer.neurons = y.shape[2:].numel() * self.places
        layer.values += steps
        if not isinstance(part.firing, Binary | Integer):
            return _Signal(y)
        if not bool((y == y.round()).all()):
            raise _refused(path, part, f"its spikes with {part.firing} are no whole numbers")
        layer.levels = part.firing.levels if isinstance(part.firing, Integer) else 1
        layer.spikes += _total(y)
        layer.active += float((y != 0).sum())
        return _Signal(y, y)

    def _decaying_sum(self, path: str, part: DecayingSum, signal: _Signal) -> _Signal:
        layer = self._layer(path, part, "other")
        number = self._number(signal.values)
        self._pay(signal)
        both = Operations(multiplications=number, additions=number)
        layer.dense += both
        layer.state_bytes += 2 * 4 * number
        spikes = signal.spikes if signal.plain else None
        layer.operations += both if spikes is None else Operations(multiplications=number, accumulates=_total(spikes))
        y, _ = part(signal.values, None, self.lengths)
        return _Signal(y)

    def _steady(self, path: str, part: Temporal, signal: _Signal) -> _Signal:
        """A part that does the same for each value, spikes or not."""
        self._pay(signal)
        cost = STEADY[type(part)](part)
        y, _ = part(signal.values, None, self.lengths)
        layer = self._layer(path, part, "other")
        self._both(layer, per_step_of(cost) * self._number(y))
        layer.state_bytes += 2 * cost.state_bytes * self._number(y)
        return _Signal(y)

    def _window(self, path: str, part: Window, signal: _Signal) -> _Signal:
        """Moves values, spikes too."""
        layer = self._layer(path, part, "other")
        layer.state_bytes += 2 * 4 * (part.size - 1) * self._number(signal.values)
        return _moved(signal, lambda values: part(values, None, self.lengths)[0])

    # Modules without time

    def _linear(self, path: str, module: nn.Module, signal: _Signal) -> _Signal:
        self._weights(path, module, signal)
        return _Signal(self._run(module, signal.values), weighted=True)

    def _weights(self, path: str, module: nn.Module, signal: _Signal) -> None:
        if path not in self.fan_outs:
            self.fan_outs[path] = fan_out(module, signal.values.shape[2:])
        self._weighted(self._layer(path, module, "synapses"), self.fan_outs[path], signal)

    def _weighted(self, layer: LayerCount, weights: Tensor, signal: _Signal) -> None:
        """Counts a signal whose values meet so many `weights` each."""
        products = Operations(multiply_accumulates=float(weights.sum()) * self.steps)
        layer.dense += products
        layer.values += self._number(signal.values)
        layer.active += float((signal.values != 0).sum())
        layer.takes_spikes = signal.spikes is not None
        if signal.spikes is None:
            layer.operations += products
            return
        arrived = signal.spikes.sum((0, 1), dtype=torch.float64)
        layer.spikes += float(arrived.sum())
        layer.operations += Operations(accumulates=float((arrived * weights).sum()))

    def _keeping(self, path: str, module: nn.Module, signal: _Signal) -> _Signal:
        same = isinstance(module, nn.Identity | nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d)
        moved = _moved(signal, lambda values: self._run(module, values))
        return replace(moved, weighted=signal.weighted and same)

    def _maximum(self, path: str, module: nn.Module, signal: _Signal) -> _Signal:
        y = self._run(module, signal.values)
        if signal.plain:
            return _Signal(y, y)
        self._pay(signal)
        return _Signal(y)

    def _activation(self, path: str, module: nn.Module, signal: _Signal) -> _Signal:
        self._pay(signal)
        y = self._run(module, signal.values)
        self._both(self._layer(path, module, "other"), ACTIVATIONS[type(module)] * self._number(y))
        return _Signal(y)

    def _average(self, path: str, module: nn.Module, signal: _Signal) -> _Signal:
        """Where each average is of as many values, it is the sum of their spikes times a factor that weights can hold."""
        y = self._run(module, signal.values)
        window, summed = averaged(module, signal.values.shape[2:], y.shape[2:])
        layer = self._layer(path, module, "other")
        additions = Operations(additions=float(summed * self.steps))
        layer.dense += additions
        if signal.spikes is not None and window is not None:
            spikes = (self._run(module, signal.spikes) * window).round()
            return _Signal(y, spikes, [*signal.owed, (layer, Operations(accumulates=_total(spikes)), Operations())])
        self._pay(signal)
        layer.operations += additions
        return _Signal(y)

    def _token_sum(self, path: str, module: TokenSum, signal: _Signal) -> _Signal:
        y = self._run(module, signal.values)
        layer = self._layer(path, module, "other")
        additions = Operations(additions=self._number(signal.values))
        layer.dense += additions
        if signal.spikes is not None:
            spikes = (
                signal.spikes.sum(tuple(range(3, signal.spikes.ndim)), keepdim=True) if y.ndim > 3 else signal.spikes
            )
            return _Signal(y, spikes, [*signal.owed, (layer, Operations(accumulates=_total(spikes)), Operations())])
        self._pay(signal)
        layer.operations += additions
        return _Signal(y)

    def _scale(self, path: str, module: nn.Module, signal: _Signal) -> _Signal:
        y = self._run(module, signal.values)
        layer = self._layer(path, module, "other")
        products = Operations(multiplications=self._number(y))
        if signal.spikes is not None:
            return _Signal(y, signal.spikes, [*signal.owed, (layer, products, products)])
        self._both(layer, products)
        return _Signal(y)

    def _from_last(self, path: str, module: nn.Module, signal: _Signal) -> _Signal:
        """A linear map of differences, and the last value added again."""
        self._pay(signal)
        values = signal.values
        assert isinstance(module, FromLast)
        layer = self._layer(path, module, "other")
        self._both(layer, Operations(additions=self._number(values)))
        y = self.through(_join(path, "linear"), module.linear, _Signal(values - values[..., -1:]))
        self._pay(y)
        self._both(layer, Operations(additions=self._number(y.values)))
        return _Signal(values[..., -1:] + y.values)

    def _norm(self, path: str, module: nn.Module, signal: _Signal) -> _Signal:
        self._pay(signal)
        y = self._run(module, signal.values)
        if getattr(module, "track_running_stats", False):
            if not signal.weighted:
                each = Operations(multiplications=1, additions=1)
                self._both(self._layer(path, module, "other"), each * self._number(y))
            return _Signal(
                y, weighted=signal.weighted
            )  # a factor and an offset a channel: the weights before hold them
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm):
            raise _refused(path, module, "without running statistics it depends on the batch")
        self._both(self._layer(path, module, "other"), normalising(module, y.shape[2:]) * self.steps)
        return _Signal(y)

    def _running_norm(self, path: str, module: RunningNorm, signal: _Signal) -> _Signal:
        """A fixed mean and deviation a channel; no weights stand before it, and those behind cannot hold its clip."""
        self._pay(signal)
        y = self._run(module, signal.values)
        self._both(self._layer(path, module, "other"), Operations(multiplications=1, additions=1) * self._number(y))
        return _Signal(y)

    # What all of these use

    def _layer(self, path: str, part: nn.Module, role: Role) -> LayerCount:
        name = path or type(part).__name__
        return self.layers.setdefault(name, LayerCount(name, type(part).__name__, role))

    def _run(self, module: nn.Module, values: Tensor) -> Tensor:
        y, _ = PerStep(module)(values, None, self.lengths)
        return cast(Tensor, y)

    def _number(self, values: Tensor) -> float:
        """Values over all valid steps."""
        return float(self.steps * values.shape[2:].numel())

    def _both(self, layer: LayerCount, operations: Operations) -> None:
        layer.operations += operations
        layer.dense += operations

    def _pay(self, *signals: _Signal) -> None:
        """The values are needed as such, not as weights of spikes."""
        for signal in signals:
            for layer, operations, dense in signal.owed:
                layer.operations += operations
                layer.dense += dense
            signal.owed.clear()


# Exact classes: a subclass may compute something else.
_HANDLERS: dict[type, Callable[[_Walk, str, Any, _Signal], _Signal]] = {
    Sequential: _Walk._sequential,
    nn.Sequential: _Walk._sequential,
    Residual: _Walk._residual,
    EachPlace: _Walk._each_place,
    Standardised: _Walk._standardised,
    Window: _Walk._window,
    PerStep: _Walk._per_step,
    Recurrent: _Walk._recurrent,
    HYPR: _Walk._hypr,
    Single: _Walk._single,
    SpikeAttention: _Walk._attention,
    DecayingSum: _Walk._decaying_sum,
    TokenSum: _Walk._token_sum,
    FromLast: _Walk._from_last,
    Scale: _Walk._scale,
    RunningNorm: _Walk._running_norm,
    PopulationActor: _Walk._population,
    GRUActor: _Walk._gru,
    **dict.fromkeys(STEADY, _Walk._steady),
    **dict.fromkeys(WEIGHTED, _Walk._linear),
    **dict.fromkeys(KEEPING, _Walk._keeping),
    **dict.fromkeys(MAXIMA, _Walk._maximum),
    **dict.fromkeys(AVERAGES, _Walk._average),
    **dict.fromkeys(NORMS, _Walk._norm),
    **dict.fromkeys(ACTIVATIONS, _Walk._activation),
}


def _total(values: Tensor) -> float:
    return float(values.sum(dtype=torch.float64))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _refused(path: str, part: nn.Module, reason: str = "nothing is known about what it computes") -> InputError:
    name = f"{path} ({type(part).__name__})" if path else type(part).__name__
    return InputError(f"energy: {name} cannot be counted: {reason}.")
