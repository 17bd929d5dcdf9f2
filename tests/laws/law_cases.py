"""What the laws are tested on: every registered neuron, every layer, every registered model; and their inputs."""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from spikescan.firing import Binary
from spikescan.layers import (
    HYPR,
    S4D,
    DecayingSum,
    EachPlace,
    LastReadout,
    LeakyReadout,
    MaxReadout,
    PerStep,
    RateReadout,
    Recurrent,
    Residual,
    Sequential,
    SpikeAttention,
    Standardised,
    Window,
)
from spikescan.models import create_model, list_models
from spikescan.neurons.base import State, Temporal
from spikescan.neurons.dsn import DSN
from spikescan.neurons.registry import create_neuron, list_neurons, neuron_class

OUTPUTS = 3  # channels of every model's output


def normal(shape: tuple[int, ...], seed: int, dtype: torch.dtype) -> Tensor:
    """Normal numbers, wide enough that neurons fire; the same ones in float32 and float64."""
    generator = torch.Generator().manual_seed(seed)
    return (2.0 * torch.randn(shape, generator=generator)).to(dtype)


def laid_out(x: Tensor, layout: str) -> Tensor:
    """The same values in another order in memory."""
    match layout:
        case "batch first":
            return x.transpose(0, 1).contiguous().transpose(0, 1)
        case "strided":
            return x.unsqueeze(-1).repeat_interleave(2, dim=-1)[..., 0]
        case _:
            return x


class Input(NamedTuple):
    """An input in few words, for hypothesis to print."""

    shape: tuple[int, ...]
    seed: int
    layout: str

    def tensor(self, dtype: torch.dtype) -> Tensor:
        return laid_out(normal(self.shape, self.seed, dtype), self.layout)


class Case(NamedTuple):
    """A temporal module under test.

    `build` takes channels and time steps. `exact`: float32 results are the same bits however time and batch are cut (no
    matrix product, whose sums BLAS orders by shape); the others are compared in float64. `space`: the sizes after the
    channels; `takes_space`: any others do as well. `truncates`: a gradient stops at the state it is given, which so has none,
    and it is not compiled.
    """

    name: str
    build: Callable[[int, int], Temporal]
    exact: bool
    takes_space: bool = False
    space: tuple[int, ...] = ()
    truncates: bool = False

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32 if self.exact else torch.float64

    def input(self, time_steps: int = 6, batch: int = 2, dtype: torch.dtype | None = None) -> Tensor:
        """A small input that the module takes."""
        return normal((time_steps, batch, 3, *self.space), 0, dtype or self.dtype)

    def module(self, x: Tensor, *, seed: int = 0) -> Temporal:
        """One for input like x, in evaluation mode, its parameters moved away from their symmetric first values."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = self.build(x.shape[2], max(len(x), 1)).to(x.dtype).eval()
            with torch.no_grad():
                for parameter in module.parameters():
                    parameter += 0.3 * torch.randn_like(parameter)
        return module


def neuron(name: str, *, exact: bool | None = None, **options: object) -> Case:
    label = "-".join([name, *map(str, options.values())])
    if exact is None:
        exact = not neuron_class(name).mixes_channels
    return Case(label, lambda channels, time_steps: create_neuron(name, channels, time_steps, options), exact, True)


def dsn(channels: int) -> Temporal:
    return create_neuron("dsn", channels, 1)


def eager(channels: int) -> Temporal:
    """A neuron that fires at rest and has a gradient everywhere: attention is silent unless query, key and value fire."""
    return DSN(channels, firing=Binary(-0.3))


# The small arguments with which each registered model is built; a new model needs an entry here.
MODEL_ARGUMENTS: dict[str, dict[str, object]] = {
    "single": {},
    "causal_transformer": {"neuron": eager, "width": 4, "depth": 1, "heads": 2, "ratio": 1},
    "forecaster": {"variables": 3, "width": 4, "depth": 1, "window": 3},
    "mlp": {"width": 5, "depth": 2},
    "residual_mlp": {"width": 5, "hidden": 7, "depth": 1},
    "sd_tcm": {"width": 5, "depth": 1},
    "sequential_cnn": {"height": 4, "width": 4, "hidden": 5, "convolutions": (1, 1)},
    "sew_resnet": {"width": 3, "blocks": (1, 1), "stem": "cifar"},
    "spike_driven_transformer": {"neuron": eager, "width": 8, "depth": 1, "ratio": 1},
    "spiking_ssm": {"width": 4, "depth": 1, "states": 4},
    "vgg": {"size": 4, "stages": ((3,), (4,))},
}
# The sizes after the channels that it then takes; without an entry, none.
MODEL_SPACE: dict[str, tuple[int, ...]] = {
    "forecaster": (3,),
    "sequential_cnn": (4,),
    "sew_resnet": (4, 4),
    "spike_driven_transformer": (4, 4),
    "vgg": (4, 4),
}


def model(name: str, variant: str = "", **more: object) -> Case:
    arguments = {"neuron": dsn} | MODEL_ARGUMENTS[name] | more
    return Case(
        f"{name}{variant}",
        lambda channels, _: create_model(name, inputs=channels, outputs=OUTPUTS, **arguments),
        exact=False,
        space=MODEL_SPACE.get(name, ()),
    )


NEURONS = [neuron(name) for name in list_neurons()] + [
    # How the spikes are found. These two start anew from the membrane at each call, equal to rounding.
    neuron("parametric_lif", exact=False, method="decoupled"),
    neuron("parametric_lif", exact=False, method="fixed_point"),
    neuron("parametric_lif", method="speculative"),
    neuron("lif", method="speculative", reset="hard"),
]
LAYERS = [
    Case("PerStep(Linear)", lambda channels, _: PerStep(nn.Linear(channels, 4)), False),
    Case("PerStep(Conv1d)", lambda channels, _: PerStep(nn.Conv1d(channels, 4, 1)), False, space=(2,)),
    Case("PerStep(BatchNorm1d)", lambda channels, _: PerStep(nn.BatchNorm1d(channels)), False),
    Case("Sequential", lambda channels, _: Sequential(nn.Linear(channels, 5), dsn(5), MaxReadout()), False),
    Case("Sequential(space)", lambda channels, _: Sequential(dsn(channels), nn.ReLU(), dsn(channels)), True, True),
    Case("Recurrent", lambda channels, _: Recurrent(channels, 4, create_neuron("lif", 4)), False),
    Case("Recurrent(feed-forward)", lambda channels, _: Recurrent(channels, 4, dsn(4), lateral=False), False),
    Case("HYPR", lambda c, _: HYPR(Recurrent(c, 4, create_neuron("parametric_lif", 4))), False, truncates=True),
    Case("Residual", lambda channels, _: Residual(dsn(channels)), True, True),
    Case("SpikeAttention", lambda channels, _: SpikeAttention(*(dsn(channels) for _ in range(4))), True, True),
    Case("DecayingSum", lambda channels, _: DecayingSum(channels), True, True),
    Case("S4D", lambda channels, _: S4D(channels, 12), True),
    Case("EachPlace", lambda channels, _: EachPlace(Sequential(nn.Linear(channels, 2), dsn(2))), False, True),
    Case("Standardised", lambda channels, _: Standardised(LeakyReadout(channels)), False, True),
    Case("Window", lambda channels, _: Window(channels, 3), True, True),
    Case("RateReadout", lambda channels, _: RateReadout(), True, True),
    Case("MaxReadout", lambda channels, _: MaxReadout(), True, True),
    Case("LeakyReadout", lambda channels, _: LeakyReadout(channels), True, True),
    Case("LastReadout", lambda channels, _: LastReadout(), True, True),
]
MODELS = [model(name) for name in list_models()] + [
    model("mlp", "-residual-rms-leaky", residual=True, norm="rms", readout="leaky"),
    model("forecaster", "-linear", linear=2),
    model("mlp", "-batch-max", norm="batch", readout="max"),
    model("mlp", "-membrane", residual="membrane", window=3, dropout=0.1),
]
CASES = [*NEURONS, *LAYERS, *MODELS]


def flagged(flag: str, value: bool) -> list[Case]:
    """The cases whose module has this value of an attribute such as `streamable`."""
    return [case for case in CASES if getattr(case.module(case.input()), flag) is value]


STREAMABLE = flagged("streamable", True)
WITH_GRADIENT = [case for case in STREAMABLE if not case.truncates]
"""Of the streamable ones, those whose carried state has a gradient."""


@st.composite
def inputs(draw: st.DrawFn, case: Case) -> Input:
    """``[T, B, C, *]`` of awkward sizes, often laid out in memory in another order than it is read."""
    time_steps = draw(st.sampled_from([0, 1, 2, 3, 63, 127]))
    batch = draw(st.sampled_from([0, 1, 3]))
    channels = draw(st.sampled_from([1, 3, 17]))
    space = draw(st.sampled_from([(), (5,), (2, 3)])) if case.takes_space else case.space
    layout = draw(st.sampled_from(["dense", "batch first", "strided"]))
    return Input((time_steps, batch, channels, *space), draw(st.integers(0, 2**16)), layout)


@st.composite
def lengths_for(draw: st.DrawFn, x: Tensor) -> Tensor:
    """Valid steps ``[B]``; none and all are likely."""
    time_steps, batch = x.shape[:2]
    one = st.sampled_from([0, time_steps]) | st.integers(0, time_steps)
    return torch.tensor(draw(st.lists(one, min_size=batch, max_size=batch)), dtype=torch.int64)


@st.composite
def cuts_for(draw: st.DrawFn, x: Tensor) -> list[tuple[int, int, bool]]:
    """A partition of time into (begin, end, whether to walk it by `step`)."""
    points = sorted(draw(st.lists(st.integers(0, len(x)), max_size=4)))
    edges = [0, *points, len(x)]
    return [(begin, end, draw(st.booleans())) for begin, end in itertools.pairwise(edges)]


def run_in_pieces(module: Temporal, x: Tensor, cuts: list[tuple[int, int, bool]]) -> tuple[Tensor, State]:
    """Forward on some pieces of time, `step` through others, the state carried from each to the next."""
    state = None
    pieces = []
    for begin, end, by_step in cuts:
        if by_step and end > begin:
            for x_t in x[begin:end].unbind(0):
                y_t, state = module.step(x_t, state)
                pieces.append(y_t.unsqueeze(0))
        else:
            y, state = module(x[begin:end], state)
            pieces.append(y)
    return torch.cat(pieces), state


def gradients(module: Temporal, x: Tensor, cuts: list[tuple[int, int, bool]] | None = None) -> dict[str, Tensor]:
    """Of a random projection of output and final state, with respect to the input and each parameter, by name."""
    leaf = x.clone().requires_grad_()
    y, state = run_in_pieces(module, leaf, cuts or [(0, len(x), False)])
    results = [tensor for tensor in [y, *tensors(state)] if tensor.requires_grad]
    loss = sum((normal(tuple(one.shape), seed, one.dtype) * one).sum() for seed, one in enumerate(results))
    named = {"x": leaf} | dict(module.named_parameters())
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(named, found, strict=True))


def tensors(state: State) -> list[Tensor]:
    """All tensors of a state."""
    return [state] if isinstance(state, Tensor) else [tensor for part in state for tensor in tensors(part)]


def assert_same(got: Tensor, expected: Tensor, *, exact: bool, what: str) -> None:
    """The same bits if `exact`, else equal but for the order of sums in float64."""
    assert got.dtype == expected.dtype, f"{what}: {got.dtype} is not {expected.dtype}"
    tolerance = 0.0 if exact else 1e-9
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance, msg=lambda text: f"{what}: {text}")


def assert_same_state(got: State, expected: State, *, exact: bool) -> None:
    """`assert_same` for each tensor of two states, and the same structure."""
    assert type(got) is type(expected)
    for index, (one, other) in enumerate(zip(tensors(got), tensors(expected), strict=True)):
        assert_same(one, other, exact=exact, what=f"state tensor {index}")
