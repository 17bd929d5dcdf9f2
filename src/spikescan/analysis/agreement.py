"""Whether a model gives the same spikes in parallel, in chunks and step by step: measured, not assumed."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor

from spikescan.analysis._batches import batches
from spikescan.analysis._neurons import thresholds
from spikescan.analysis.recording import Recording, record, record_chunks, record_compiled, record_steps
from spikescan.data import Split
from spikescan.errors import InputError
from spikescan.layers import final_step
from spikescan.neurons.base import Temporal
from spikescan.streaming.compiled import NotCompiledError

__all__ = ["Agreement", "Count", "WayAgreement", "measure_agreement", "measure_split_agreement"]

_STREAM = "as a compiled stream"


@dataclass(frozen=True)
class Count:
    """How many of how many differ."""

    differing: int
    total: int

    def __add__(self, other: "Count") -> "Count":
        return Count(self.differing + other.differing, self.total + other.total)

    def __str__(self) -> str:
        return f"{self.differing:,} of {self.total:,}"


@dataclass(frozen=True)
class WayAgreement:
    """One way to run the model, held against the parallel run of the same samples."""

    name: str
    """The way in words."""
    predictions: Count
    """Largest channel of the output after the last valid step."""
    layers: Mapping[str, Count]
    """Spikes of each layer, over valid steps only."""
    largest_output_difference: float
    """Over all valid steps, in the unit of the output."""
    largest_margin: float | None
    """How far from a threshold the membrane was where a sample's first difference arose: the worst case over samples.

    Rounding explains margins near 1e-6; anything larger is a fault. None: nothing differs, or no membrane to look at.
    """

    @property
    def spikes(self) -> Count:
        """All layers together."""
        return sum(self.layers.values(), Count(0, 0))


@dataclass(frozen=True)
class Agreement:
    """The same samples, run in several ways."""

    samples: int
    steps: int
    """Time steps of the longest sample."""
    dtype: str
    """Of the input, such as ``"float32"``."""
    device: str
    ways: Sequence[WayAgreement]
    not_compiled: str | None = None
    """Why streams are not among the ways: they step this model part by part, as `step` does."""

    @property
    def holds(self) -> bool:
        """No prediction differs, and at most 1e-5 of the spikes (in float64: none), whichever way the model is run."""
        share = 0.0 if self.dtype == "float64" else 1e-5
        return all(
            way.predictions.differing == 0 and way.spikes.differing <= share * way.spikes.total for way in self.ways
        )

    def summary(self) -> str:
        """The result in plain words, one line for each way and for each layer that differs."""
        lines = [f"{self.samples:,} samples of {self.steps:,} steps, {self.dtype} on {self.device}; against parallel:"]
        for way in self.ways:
            lines.append(
                f"  {way.name}: {way.predictions} predictions differ, {way.spikes} spikes differ, "
                f"outputs by at most {way.largest_output_difference:.1e}"
            )
            lines += [f"    {name}: {count} spikes differ" for name, count in way.layers.items() if count.differing]
            if way.largest_margin is not None:
                lines.append(f"    first differences: membrane within {way.largest_margin:.1e} of a threshold")
        if self.not_compiled is not None:
            lines.append(f"  a stream steps this model part by part: {self.not_compiled}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; `from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What `to_dict` wrote."""
        ways = [
            WayAgreement(
                **{
                    **way,
                    "predictions": Count(**way["predictions"]),
                    "layers": {name: Count(**count) for name, count in way["layers"].items()},
                }
            )
            for way in values["ways"]
        ]
        return cls(**{**values, "ways": ways})


def measure_agreement(
    model: Temporal,
    x: Tensor,
    *,
    chunk_sizes: Sequence[int] = (16, 100),
    lengths: Tensor | None = None,
    batch_size: int = 100,
) -> Agreement:
    """Run the same samples in parallel, in chunks with carried state, step by step and as a stream; count what differs.

    The model runs in evaluation mode and without gradients, and is left as it was found; but in parallel
    it runs on one thread.

    Args:
        model: a `Temporal` whose every part has `step`.
        x: ``[T, B, C, *]``.
        chunk_sizes: steps in a chunk, one further way for each.
        lengths: int64 ``[B]``, valid steps of each sample; None means all of them.
        batch_size: samples run at once; the spikes of so many are in memory twice.
    """
    if x.ndim < 3 or x.shape[1] == 0 or batch_size < 1:
        raise InputError(
            f"x has shape {list(x.shape)} and batch_size is {batch_size}, expected [T, B, C, *] with at least one "
            "sample, and a batch_size of at least 1."
        )
    cuts = (slice(start, start + batch_size) for start in range(0, x.shape[1], batch_size))
    return _measure(model, ((x[:, cut], None if lengths is None else lengths[cut]) for cut in cuts), chunk_sizes)


def measure_split_agreement(
    model: Temporal, split: Split, *, samples: int = 500, chunk_sizes: Sequence[int] = (16, 100)
) -> Agreement:
    """`measure_agreement` on the first samples of a split, which are encoded batch by batch.

    Args:
        model: as in `measure_agreement`.
        split: at least one sample.
        samples: how many of them.
        chunk_sizes: as in `measure_agreement`.
    """
    if len(split) == 0 or samples < 1:
        raise InputError(
            f"The split has {len(split)} samples and {samples} are asked for, expected at least 1 of each."
        )
    parts = batches(model, split, torch.arange(min(samples, len(split))))
    return _measure(model, ((part.inputs, part.lengths) for part in parts), chunk_sizes)


def _measure(model: Temporal, parts: Iterable[tuple[Tensor, Tensor | None]], chunk_sizes: Sequence[int]) -> Agreement:
    """Over batches of inputs and lengths, at least one."""
    _check_streamable(model)
    ways: dict[str, Callable[[Tensor, Tensor | None], Recording]] = {
        f"in chunks of {size:,}": functools.partial(_in_chunks, model, size) for size in chunk_sizes
    }
    ways["step by step"] = lambda x, lengths: record_steps(model, x, lengths=lengths)
    ways[_STREAM] = lambda x, lengths: record_compiled(model, x, lengths)
    found: dict[str, list[WayAgreement]] = {name: [] for name in ways}
    samples = steps = 0
    not_compiled = None
    for x, lengths in parts:
        samples, steps = samples + x.shape[1], max(steps, len(x))
        parallel = record(model, x, lengths=lengths, traces=False)
        for name, way in ways.items():
            try:
                with _one_thread():
                    other = way(x, lengths)
            except NotCompiledError as reason:
                not_compiled = str(reason)
            else:
                found[name].append(_compare(model, parallel, other, name))
    return Agreement(
        samples=samples,
        steps=steps,
        dtype=str(x.dtype).removeprefix("torch."),
        device=str(x.device),
        ways=[_total(each) for each in found.values() if each],
        not_compiled=not_compiled,
    )


def _in_chunks(model: Temporal, size: int, x: Tensor, lengths: Tensor | None) -> Recording:
    return record_chunks(model, x, size, lengths=lengths)


@contextmanager
def _one_thread() -> Iterator[None]:
    """In a few time steps threads wait for each other longer than they work, most of all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _check_streamable(model: Temporal) -> None:
    blocking = [
        (name, part) for name, part in model.named_modules() if isinstance(part, Temporal) and not part.streamable
    ]
    if blocking:
        # The last one holds no other, so it is the cause and not a composition around it.
        name, part = blocking[-1]
        raise InputError(
            f"{name or 'the model'} is a {type(part).__name__}, which has no step: it needs the whole sequence at "
            "once, so there is nothing to compare with. Choose a streamable neuron (spikescan list neurons shows them)."
        )


def _compare(model: Temporal, parallel: Recording, other: Recording, name: str) -> WayAgreement:
    if parallel.layers.keys() != other.layers.keys():
        raise InputError(
            f"run in parallel the model used the neurons {list(parallel.layers)}, but {list(other.layers)} when run in "
            "pieces: its forward and its step must call the same ones, as spikescan.Sequential does."
        )
    differing = {name: layer.spikes != other.layers[name].spikes for name, layer in parallel.layers.items()}
    steps = int(parallel.lengths.sum())
    prediction, other_prediction = (final_step(run.output, run.lengths).argmax(1) for run in (parallel, other))
    return WayAgreement(
        name=name,
        predictions=Count(int((prediction != other_prediction).sum()), prediction.numel()),
        layers={name: Count(int(at.sum()), steps * at[0, 0].numel()) for name, at in differing.items()},
        largest_output_difference=float((parallel.output - other.output).abs().max()),
        largest_margin=_largest_margin(model, parallel, differing),
    )


def _largest_margin(model: Temporal, parallel: Recording, differing: Mapping[str, Tensor]) -> float | None:
    """See `WayAgreement.largest_margin`. Only a sample's first difference counts: it causes the later ones."""
    if not any(at.any() for at in differing.values()):
        return None
    traced = record(model, parallel.x, lengths=parallel.lengths)
    names = list(differing)
    # [B, T * layers], time before layer: within one step a layer can only be led astray by those before it.
    order = torch.stack([at.flatten(2).any(2) for at in differing.values()], dim=-1).transpose(0, 1).flatten(1)
    margins = []
    for sample in order.any(1).nonzero().flatten().tolist():
        t, index = divmod(int(order[sample].int().argmax()), len(names))
        layer = traced.layers[names[index]]
        levels = thresholds(layer.neuron, len(parallel.x))[t]
        if "membrane" in layer.traces and len(levels):
            membrane = layer.traces["membrane"][t, sample][differing[names[index]][t, sample]].cpu()
            margins.append((membrane.unsqueeze(-1) - levels).abs().amin(-1).max())
    return float(torch.stack(margins).max()) if margins else None


def _total(parts: Sequence[WayAgreement]) -> WayAgreement:
    """Several batches of one way as one."""
    margins = [part.largest_margin for part in parts if part.largest_margin is not None]
    return WayAgreement(
        name=parts[0].name,
        predictions=sum((part.predictions for part in parts), Count(0, 0)),
        layers={name: sum((part.layers[name] for part in parts), Count(0, 0)) for name in parts[0].layers},
        # Unlike the built-in, torch's max does not lose a NaN.
        largest_output_difference=float(torch.tensor([part.largest_output_difference for part in parts]).max()),
        largest_margin=max(margins) if margins else None,
    )
