"""What happened inside a model: the spikes of every neuron layer, and membrane and decay where a neuron shows them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spikescan.analysis._watch import Call, evaluating, name_calls, watch
from spikescan.errors import InputError
from spikescan.neurons.base import Neuron, State, Temporal, detach, map_state, spiking_neurons
from spikescan.neurons.padding import zero_padding
from spikescan.ops._checks import check_lengths
from spikescan.streaming.compiled import MOST_STREAMS, compile_step

__all__ = [
    "FiringRate",
    "LayerRecording",
    "Recording",
    "measure_firing",
    "record",
    "record_chunks",
    "record_compiled",
    "record_steps",
]


@dataclass(frozen=True)
class FiringRate:
    """How much the neurons of one layer fire."""

    per_neuron: Tensor
    """Mean spikes per step of each neuron, ``[C, *]``, over all valid steps of all samples."""

    @property
    def mean(self) -> float:
        """Spikes per neuron per step."""
        return float(self.per_neuron.mean())

    @property
    def silent(self) -> float:
        """The fraction of neurons that never fired, from 0 to 1."""
        return float((self.per_neuron == 0).float().mean())


@dataclass(frozen=True)
class LayerRecording:
    """One layer of spiking neurons during one run."""

    neuron: Neuron
    """The neuron module itself."""
    spikes: Tensor
    """``[T, B, C, *]``: binary or whole numbers; zero beyond a sample's length."""
    traces: Mapping[str, Tensor]
    """What the neuron offers to show, such as ``"membrane"`` and ``"decay"``, each ``[T, B, C, *]``."""


@dataclass(frozen=True)
class Recording:
    """One run of a model."""

    x: Tensor
    """The input ``[T, B, C, *]``."""
    output: Tensor
    """The output ``[T, B, C', *]``."""
    state: State
    """The state after each sample's last valid step."""
    lengths: Tensor
    """Valid steps of each sample, int64 ``[B]``."""
    layers: Mapping[str, LayerRecording]
    """The spiking neuron layers by qualified module name, in the order in which they ran."""

    def firing_rates(self) -> dict[str, FiringRate]:
        """The firing rates of every layer."""
        return _rates({name: _total(layer.spikes) for name, layer in self.layers.items()}, self.lengths)


def record(
    model: Temporal, x: Tensor, state: State | None = None, lengths: Tensor | None = None, *, traces: bool = True
) -> Recording:
    """Run a model once, in parallel over time, and keep what its spiking neurons did.

    The model runs in evaluation mode and without gradients; it is left as it was found.

    Args:
        model: any `Temporal`; a single neuron will do.
        x: ``[T, B, C, *]``, at least one step.
        state: where to start; None is at rest.
        lengths: int64 ``[B]``, valid steps of each sample; None means all of them.
        traces: keep membrane, decay and the like as well, for neurons with a `trace` method; costs a second, slower run
            of each such neuron. Beyond a sample's length a trace means nothing.
    """
    return record_chunks(model, x, max(len(x), 1), state, lengths, traces=traces)


def record_chunks(
    model: Temporal,
    x: Tensor,
    chunk_size: int,
    state: State | None = None,
    lengths: Tensor | None = None,
    *,
    traces: bool = False,
) -> Recording:
    """Like `record`, but time is cut into chunks of `chunk_size` steps, and the state carried from one to the next."""
    if chunk_size < 1:
        raise InputError(f"chunk_size is {chunk_size}, expected at least 1 time step.")
    _check(model, x, lengths)

    def run() -> Iterator[tuple[Tensor, State]]:
        after = state
        for start in range(0, len(x), chunk_size):
            chunk = x[start : start + chunk_size]
            left = None if lengths is None else (lengths - start).clamp(0, len(chunk))
            output, after = model(chunk, after, left)
            yield output, after

    return _gather(model, x, lengths, run(), traces)


def record_steps(model: Temporal, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> Recording:
    """Like `record`, but one time step after the other through `step`, as on a stream; without traces."""
    _check(model, x, lengths)
    start = model.initial_state(x[0]) if state is None and lengths is not None else state

    def run() -> Iterator[tuple[Tensor, State]]:
        before = start
        for t, x_t in enumerate(x.unbind(0)):
            output, after = model.step(x_t, before)
            # A stream that has ended keeps the state of its last valid step.
            before = after if lengths is None else _choose(t < lengths, after, before)
            yield output.unsqueeze(0), before

    return _gather(model, x, lengths, run(), traces=False)


def record_compiled(model: Temporal, x: Tensor, lengths: Tensor | None = None) -> Recording:
    """Like `record_steps` from rest, but by the compiled step that `spikescan.stream` runs.

    Raises:
        NotCompiledError: the model is not compiled for this input, and a stream runs it as `record_steps` does.
    """
    _check(model, x, lengths)
    pieces = [
        _compiled_run(model, part, None if lengths is None else lengths[start : start + MOST_STREAMS])
        for start, part in zip(range(0, x.shape[1], MOST_STREAMS), torch.split(x, MOST_STREAMS, 1), strict=True)
    ]
    outputs, spikes, states = zip(*pieces, strict=True)
    neurons = spiking_neurons(model)
    layers = {
        name: LayerRecording(
            neuron=neurons[name.split(" (")[0]],
            spikes=zero_padding(torch.cat([piece[name] for piece in spikes], 1), lengths),
            traces={},
        )
        for name in spikes[0]
    }
    output = zero_padding(torch.cat(outputs, 1), lengths)
    return Recording(x, output, _joined(states), _all_lengths(x, lengths), layers)


def _compiled_run(model: Temporal, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, dict[str, Tensor], State]:
    """Outputs, spikes ``[T, B, C, *]`` and the last valid state of so many samples as one compiled step takes."""
    outputs: list[Tensor] = []
    spikes: list[dict[str, Tensor]] = []
    with evaluating(model), torch.no_grad():
        step = compile_step(model, x[0])
        state = map_state(Tensor.clone, step.state)
        for t, x_t in enumerate(x.unbind(0)):
            outputs.append(step(x_t))
            spikes.append({name: fired.clone() for name, fired in step.spikes.items()})
            if lengths is not None and (t < lengths).any():
                state = map_state(Tensor.clone, _choose(t < lengths, step.state, state))
    fired = {name: torch.stack([each[name] for each in spikes]) for name in spikes[0]}
    return torch.stack(outputs), fired, step.state if lengths is None else state


def _joined(states: Sequence[State]) -> State:
    """The states of several groups of samples as that of all."""
    if isinstance(states[0], Tensor):
        return torch.cat(list(states))
    parts = [_joined(each) for each in zip(*states, strict=True)]
    return type(states[0])(*parts) if hasattr(states[0], "_fields") else tuple(parts)


def measure_firing(
    model: Temporal, x: Tensor, lengths: Tensor | None = None, *, batch_size: int = 100
) -> dict[str, FiringRate]:
    """The firing rates of every spiking layer over many samples, `batch_size` of them at a time.

    Args:
        model: any `Temporal`.
        x: ``[T, B, C, *]``.
        lengths: int64 ``[B]``, valid steps of each sample; None means all of them.
        batch_size: samples in memory at once.
    """
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}, expected at least 1 sample.")
    _check(model, x, lengths)
    totals: dict[str, Tensor] = {}
    for start in range(0, x.shape[1], batch_size):
        samples = slice(start, start + batch_size)
        part = None if lengths is None else lengths[samples]
        for name, layer in record(model, x[:, samples], lengths=part, traces=False).layers.items():
            spikes = _total(layer.spikes)
            totals[name] = totals[name] + spikes if name in totals else spikes
    return _rates(totals, _all_lengths(x, lengths))


def _total(spikes: Tensor) -> Tensor:
    """Spikes of each neuron; in float64, which counts beyond 2^24."""
    return spikes.sum((0, 1), dtype=torch.float64)


def _rates(totals: Mapping[str, Tensor], lengths: Tensor) -> dict[str, FiringRate]:
    steps = max(int(lengths.sum()), 1)
    return {name: FiringRate(spikes / steps) for name, spikes in totals.items()}


def _all_lengths(x: Tensor, lengths: Tensor | None) -> Tensor:
    return torch.full((x.shape[1],), len(x), device=x.device) if lengths is None else lengths


def _check(model: Temporal, x: Tensor, lengths: Tensor | None) -> None:
    if not isinstance(model, Temporal):
        raise InputError(
            f"model is a {type(model).__name__}, expected a Temporal: something called as model(x, state, lengths) "
            "that has a step. spikescan.Sequential makes one of plain modules."
        )
    if x.ndim < 3 or len(x) == 0:
        raise InputError(f"x has shape {list(x.shape)}, expected [T, B, C, *] with at least one time step.")
    check_lengths("record", lengths, len(x), x.shape[1], x)


def _gather(
    model: Temporal,
    x: Tensor,
    lengths: Tensor | None,
    run: Iterator[tuple[Tensor, State]],
    traces: bool,
) -> Recording:
    """Go through `run`, which gives output and state piece by piece, and join over time what each piece gave."""
    outputs: list[Tensor] = []
    spikes: list[dict[str, Tensor]] = []
    shown: list[dict[str, Mapping[str, Tensor]]] = []
    neurons: dict[str, Neuron] = {}
    state: State = ()

    def joined(pieces: list[Tensor]) -> Tensor:
        return _of_samples(torch.cat(pieces), x.shape[1])

    with evaluating(model), torch.no_grad(), watch(model) as calls:
        for output, after in run:
            piece = name_calls(calls)
            neurons = {name: call.neuron for name, call in piece.items()}
            outputs.append(output)
            spikes.append({name: call.spikes for name, call in piece.items()})
            shown.append({name: _trace(call) if traces else {} for name, call in piece.items()})
            state = after
            calls.clear()

    layers = {
        name: LayerRecording(
            neuron=neuron,
            spikes=zero_padding(joined([piece[name] for piece in spikes]), lengths),
            traces={key: joined([piece[name][key] for piece in shown]) for key in shown[0][name]},
        )
        for name, neuron in neurons.items()
    }
    return Recording(x, zero_padding(torch.cat(outputs), lengths), detach(state), _all_lengths(x, lengths), layers)


def _of_samples(values: Tensor, samples: int) -> Tensor:
    """``[T, B * places, C]``, of a neuron to which each place is a sample (`EachPlace`), as ``[T, B, C, places]``."""
    steps, rows, *rest = values.shape
    return values if rows == samples else values.reshape(steps, samples, rows // samples, *rest).movedim(2, -1)


def _trace(call: Call) -> Mapping[str, Tensor]:
    return call.neuron.trace(call.x, call.state)


def _choose(running: Tensor, after: State, before: State) -> State:
    """The state `after` of the samples that are running, and `before` of the others."""
    if isinstance(after, Tensor):
        return torch.where(running.view(-1, *[1] * (after.ndim - 1)), after, before)
    parts = [_choose(running, new, old) for new, old in zip(after, before, strict=True)]
    return type(after)(*parts) if hasattr(after, "_fields") else tuple(parts)
