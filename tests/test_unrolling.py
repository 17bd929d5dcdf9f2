"""An unrolled network has binary spikes on every synapse and the integer network's outputs."""

import copy
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

import spikescan
from spikescan import (
    DSN,
    IF,
    LIF,
    PSN,
    Binary,
    InputError,
    Integer,
    LastReadout,
    LeakyReadout,
    MaskedPSN,
    MaxReadout,
    PerStep,
    RateReadout,
    Residual,
    Sequential,
    SlidingPSN,
    Temporal,
    final_step,
    to_thermometer,
    unroll,
)
from spikescan.analysis import record
from spikescan.layers import Dropout

T, B = 9, 3
SYNAPSES = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d)


def counting(levels: int = 4, tau: float = 2.0) -> Temporal:
    return LIF(tau, scale_input=False, firing=Integer(levels))


def trained(norm: nn.Module) -> nn.Module:
    """With statistics and weights that are not those of the start."""
    for name, tensor in (*norm.named_parameters(), *norm.named_buffers()):
        if tensor.is_floating_point():
            tensor.data.uniform_(0.5, 1.5) if "var" in name or name == "weight" else tensor.data.uniform_(-0.5, 0.5)
    return norm


def block(inputs: int, width: int, norm: Callable[[int], nn.Module] = nn.Identity, levels: int = 4) -> Sequential:
    return Sequential(
        {"linear": nn.Linear(inputs, width), "norm": trained(norm(width)), "neuron": DSN(width, firing=Integer(levels))}
    )


def mlp(**options: object) -> Temporal:
    return spikescan.create_model("mlp", inputs=6, outputs=5, width=12, depth=3, **options)


MODELS: dict[str, Callable[[], Temporal]] = {
    "sequential": lambda: Sequential(block(6, 12), block(12, 8, levels=2), nn.Linear(8, 5), LeakyReadout(5)),
    "without bias": lambda: Sequential(block(6, 12), nn.Linear(12, 8, bias=False), counting(), nn.Linear(8, 5)),
    "residual": lambda: Sequential(
        block(6, 8), Residual(block(8, 8, levels=2)), Residual(block(8, 8)), nn.Linear(8, 5), RateReadout()
    ),
    "residual of reals": lambda: Sequential(
        block(6, 8), Residual(nn.Linear(8, 8)), counting(), nn.Linear(8, 5), Residual(nn.Tanh()), counting(1)
    ),
    "residual before spikes": lambda: Sequential(Residual(nn.Linear(6, 6)), nn.GELU(), nn.Linear(6, 8), block(8, 8)),
    "batch norm": lambda: Sequential(block(6, 8, nn.BatchNorm1d), block(8, 8, nn.BatchNorm1d), nn.Linear(8, 5)),
    "norms": lambda: Sequential(block(6, 8, nn.LayerNorm), block(8, 8, nn.RMSNorm), nn.Linear(8, 5), MaxReadout()),
    "dropout": lambda: Sequential(block(6, 8), nn.Dropout(0.5), nn.Linear(8, 5), Dropout(0.5), LastReadout()),
    "binary": lambda: Sequential(nn.Linear(6, 8), LIF(firing=Binary(0.2)), nn.Linear(8, 5)),
    "plain sequential": lambda: Sequential(
        block(6, 8), nn.Sequential(nn.ReLU(), nn.Linear(8, 8), trained(nn.BatchNorm1d(8))), counting(), nn.Linear(8, 5)
    ),
    "spikes at the end": lambda: Sequential(block(6, 8), nn.Linear(8, 5), counting()),
    "neuron after neuron": lambda: Sequential(block(6, 8), counting(2), nn.Linear(8, 5)),
    "norm before the readout": lambda: Sequential(block(6, 5), nn.LayerNorm(5), RateReadout()),
    "mlp": lambda: mlp(neuron=DSN, norm="batch", residual=True),
    "mlp of sliding PSN": lambda: mlp(
        neuron=lambda n: SlidingPSN(3, firing=Integer(3)), norm="rms", readout="leaky", residual=True
    ),
    "masked PSN": lambda: Sequential(nn.Linear(6, 8), MaskedPSN(T, 3, firing=Integer(3)), nn.Linear(8, 5)),
}
CONVOLUTIONS: dict[str, Callable[[], Temporal]] = {
    "convolution": lambda: Sequential(
        nn.Conv2d(2, 4, 3, padding=1), IF(firing=Integer(3)), nn.Conv2d(4, 4, 3, stride=2, groups=2), counting(), nn.Flatten(),
        nn.Linear(4 * 9, 5), RateReadout(),
    ),
    "padded by reflection": lambda: Sequential(
        nn.Conv2d(2, 4, 3), counting(), nn.Conv2d(4, 3, 3, padding=1, padding_mode="reflect", dilation=1), counting(1)
    ),
    "batch norm": lambda: Sequential(
        nn.Conv2d(2, 4, 3), trained(nn.BatchNorm2d(4)), counting(), nn.Conv2d(4, 4, 3), trained(nn.BatchNorm2d(4)), counting()
    ),
    "average pool": lambda: Sequential(
        nn.Conv2d(2, 4, 3, padding=1), counting(), nn.AvgPool2d(2), nn.Conv2d(4, 3, 3), counting(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(3, 5),
    ),
    "average pool at the end": lambda: Sequential(nn.Conv2d(2, 5, 5), counting(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    "average pool of currents": lambda: Sequential(
        nn.Conv2d(2, 4, 3), counting(), nn.Conv2d(4, 4, 1), nn.AvgPool2d(2), counting()
    ),
    "max pool": lambda: Sequential(
        nn.Conv2d(2, 4, 3, padding=1), counting(), nn.MaxPool2d(3, 2, padding=1), nn.Conv2d(4, 3, 3), counting()
    ),
    "max pool of a residual": lambda: Sequential(
        nn.Conv2d(2, 4, 3, padding=1), counting(), Residual(Sequential(nn.Conv2d(4, 4, 3, padding=1), counting(2))),
        nn.MaxPool2d(2), nn.Conv2d(4, 3, 3), counting(),
    ),
    "max pool of averages": lambda: Sequential(
        nn.Conv2d(2, 4, 3, padding=1), counting(), nn.AvgPool2d(2), nn.MaxPool2d(2), counting()
    ),
}  # fmt: skip
OF_EACH = [pytest.param(make, (6,), id=name) for name, make in MODELS.items()] + [
    pytest.param(make, (2, 8, 8), id=f"{name} in space") for name, make in CONVOLUTIONS.items()
]
every_model = pytest.mark.parametrize(("make", "shape"), OF_EACH)


def built(make: Callable[[], Temporal]) -> Temporal:
    torch.manual_seed(0)
    return make().double().eval()


def wide(*shape: int) -> Tensor:
    """Input that lets neurons be silent, count and saturate."""
    return 4.0 * torch.randn(T, B, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 1.0


@contextmanager
def synaptic_inputs(model: nn.Module) -> Iterator[list[tuple[str, Tensor]]]:
    """What comes into every layer with weights, in order."""
    seen: list[tuple[str, Tensor]] = []
    hooks = [
        module.register_forward_pre_hook(lambda part, given, name=name: seen.append((name, given[0])))
        for name, module in model.named_modules()
        if type(module) in SYNAPSES
    ]
    yield seen
    for hook in hooks:
        hook.remove()


def spikes_of(model: Temporal, x: Tensor) -> list[Tensor]:
    return [layer.spikes for layer in record(model, x, traces=False).layers.values()]


@every_model
@torch.no_grad()
def test_outputs_states_and_spikes_are_the_integer_models(make: Callable[[], Temporal], shape: tuple[int, ...]) -> None:
    model, x = built(make), wide(*shape)
    unrolled = unroll(model)
    expected, state = model(x)
    y, after = unrolled(x)
    assert expected.count_nonzero() > 0
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(after, state, rtol=1e-12, atol=1e-12)
    ours, theirs = spikes_of(unrolled, x), spikes_of(model, x)
    assert len(ours) == len(theirs) > 0
    for found, wanted in zip(ours, theirs, strict=True):
        assert torch.equal(found, wanted)
        assert wanted.any()


@every_model
@torch.no_grad()
def test_small_whole_weights_give_the_same_bits(make: Callable[[], Temporal], shape: tuple[int, ...]) -> None:
    """Every sum is exact then, in whatever order."""
    model = built(make)
    for module in model.modules():
        if type(module) in SYNAPSES:
            for tensor in module.parameters():
                tensor.copy_(torch.randint(-4, 5, tensor.shape) / 4)
    x = wide(*shape).round()
    assert torch.equal(unroll(model)(x)[0], model(x)[0])


@pytest.mark.parametrize(("make", "shape"), [case for case in OF_EACH if "average" not in str(case.id)])
@torch.no_grad()
def test_synapses_after_spikes_see_binary_spikes_alone(make: Callable[[], Temporal], shape: tuple[int, ...]) -> None:
    unrolled = unroll(built(make))
    parts = list(unrolled.named_modules())
    first_neuron = next(i for i, (_, part) in enumerate(parts) if isinstance(part, spikescan.Neuron))
    names = {name for name, part in parts[first_neuron:] if type(part) in SYNAPSES}
    with synaptic_inputs(unrolled) as seen:
        unrolled(wide(*shape))
    after = [given for name, given in seen if name in names]
    assert len(after) == len(names)
    for given in after:
        assert set(given.unique().tolist()) <= {0.0, 1.0}


@torch.no_grad()
def test_an_average_pool_sees_binary_spikes_and_is_one_map_with_the_next_layer() -> None:
    unrolled = unroll(built(CONVOLUTIONS["average pool"]))
    seen: list[Tensor] = []
    for part in unrolled.modules():
        if isinstance(part, nn.AvgPool2d):
            part.register_forward_pre_hook(lambda part, given: seen.append(given[0]))
    unrolled(wide(2, 8, 8))
    assert len(seen) == 2
    for given in seen:
        assert set(given.unique().tolist()) == {0.0, 1.0}


@torch.no_grad()
def test_the_largest_code_is_the_code_of_the_largest() -> None:
    counts = torch.randint(0, 5, (T, B, 2, 7, 7), dtype=torch.float64)
    pool = nn.MaxPool2d(3, 2, padding=1)
    pooled = torch.stack([pool(counts_t) for counts_t in counts])
    codes = to_thermometer(counts, 4)
    of_codes = pool(codes.flatten(0, 2)).reshape(T, 4, B, 2, 4, 4)
    assert torch.equal(of_codes, to_thermometer(pooled, 4))


@every_model
@torch.no_grad()
def test_steps_chunks_and_padding(make: Callable[[], Temporal], shape: tuple[int, ...]) -> None:
    unrolled, x = unroll(built(make)), wide(*shape)
    whole, end = unrolled(x)
    state, steps = None, []
    for x_t in x:
        y_t, state = unrolled.step(x_t, state)
        steps.append(y_t)
    torch.testing.assert_close(torch.stack(steps), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state, end, rtol=1e-12, atol=1e-12)
    first, between = unrolled(x[:4], unrolled.initial_state(x[0]))
    second, _ = unrolled(x[4:], between)
    torch.testing.assert_close(torch.cat([first, second]), whole, rtol=1e-12, atol=1e-12)


@every_model
@torch.no_grad()
def test_padding_means_what_it_means_to_the_integer_model(make: Callable[[], Temporal], shape: tuple[int, ...]) -> None:
    model, x = built(make), wide(*shape)
    lengths = torch.tensor([0, 4, T])
    x[4:, 1] = torch.nan
    expected, expected_state = model(x, lengths=lengths)
    y, state = unroll(model)(x, lengths=lengths)
    torch.testing.assert_close(y, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state, expected_state, rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_one_goes_on_where_the_other_stopped() -> None:
    model, x = built(MODELS["mlp"]), wide(6)
    unrolled = unroll(model)
    _, state = model(x[:5])
    torch.testing.assert_close(unrolled(x[5:], state)[0], model(x)[0][5:], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(unrolled.initial_state(x[0]), model.initial_state(x[0]))


@torch.no_grad()
@pytest.mark.parametrize("time_steps", [0, 1, 63, 127])
def test_lengths_of_time(time_steps: int) -> None:
    model = built(MODELS["mlp"])
    x = torch.randn(time_steps, 1, 6, dtype=torch.float64)
    torch.testing.assert_close(unroll(model)(x)[0], model(x)[0], rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_psn_and_bare_neurons() -> None:
    x = wide(6)
    for model in (
        PSN(T, firing=Integer(3)),
        DSN(6),
        Sequential(nn.Linear(6, 6), PSN(T, firing=Integer(2)), nn.Linear(6, 5)),
    ):
        model = model.double().eval()
        unrolled = unroll(model)
        torch.testing.assert_close(unrolled(x)[0], model(x)[0], rtol=1e-12, atol=1e-12)
        assert (unrolled.causal, unrolled.streamable, unrolled.length_bound) == (
            model.causal,
            model.streamable,
            model.length_bound,
        )


@torch.no_grad()
def test_a_layer_that_stands_twice() -> None:
    shared, neuron = nn.Linear(6, 6), DSN(6)
    model = Sequential(shared, neuron, shared, neuron, shared).double().eval()
    x = wide(6)
    torch.testing.assert_close(unroll(model)(x)[0], model(x)[0], rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_the_integer_model_is_left_as_it_was() -> None:
    model, x = built(MODELS["mlp"]), wide(6)
    before, weights = model(x)[0], copy.deepcopy(model.state_dict())
    unrolled = unroll(model)
    for parameter in unrolled.parameters():
        parameter.zero_()
    assert torch.equal(model(x)[0], before)
    torch.testing.assert_close(dict(model.state_dict()), dict(weights), rtol=0, atol=0)


@torch.no_grad()
def test_copies_pickles_compiles_and_streams() -> None:
    model, x = built(MODELS["mlp"]).float(), wide(6).float()
    unrolled = unroll(model)
    expected = unrolled(x)[0]
    assert torch.equal(copy.deepcopy(unrolled)(x)[0], expected)
    assert torch.equal(pickle.loads(pickle.dumps(unrolled))(x)[0], expected)
    compiled = torch.compile(unrolled, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x)[0], expected)
    live = spikescan.stream(unrolled, batch=B)
    for x_t in x:
        y_t = live.push(x_t)
    torch.testing.assert_close(y_t, final_step(expected), rtol=1e-5, atol=1e-5)


class TestTraffic:
    @torch.no_grad()
    def test_of_linear_layers(self) -> None:
        model, x = built(MODELS["residual"]), wide(6)
        lengths = torch.tensor([2, 5, T])
        traffic = unroll(model).traffic(x, lengths=lengths)
        assert list(traffic) == ["1.module.linear", "2.module.linear", "3"]
        assert [part.sub_steps for part in traffic.values()] == [4, 6, 10]
        spikes = [layer.spikes for layer in record(model, x, lengths=lengths, traces=False).layers.values()]
        events = [int(sum(spikes[: i + 1]).sum()) for i in range(3)]
        assert [part.events for part in traffic.values()] == events
        assert [part.accumulates for part in traffic.values()] == [8 * events[0], 8 * events[1], 5 * events[2]]

    @torch.no_grad()
    def test_of_a_convolution_counts_what_lies_inside(self) -> None:
        """A spike at the border has fewer weights: counted one by one."""
        model = Sequential(IF(reset=None, firing=Integer(2)), nn.Conv1d(2, 4, 3, padding=1, groups=2)).double().eval()
        x = torch.zeros(1, 1, 2, 5, dtype=torch.float64)
        x[0, 0, 0, 0], x[0, 0, 1, 2] = 2.0, 1.0
        assert unroll(model).traffic(x) == {"1": (2, 3, 2 * 2 * 2 + 1 * 2 * 3)}

    @torch.no_grad()
    def test_nothing_stays_behind(self) -> None:
        unrolled = unroll(built(MODELS["mlp"]))
        unrolled.traffic(wide(6))
        assert not any(part._forward_pre_hooks for part in unrolled.modules())


class Attention(nn.Module):
    """Of a kind that nobody knows."""

    def forward(self, x: Tensor) -> Tensor:
        return x * x.mean(-1, keepdim=True)


class Foreign(RateReadout):
    """A temporal one."""


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((nn.LayerNorm(6), nn.Linear(6, 5)), r"2 \(Linear\) .* 1 \(LayerNorm\) lies between the spikes and it"),
        ((nn.BatchNorm1d(6), nn.Linear(6, 5)), r"2 \(Linear\) .* 1 \(BatchNorm1d\) lies between"),
        ((nn.Linear(6, 6), nn.Linear(6, 5)), r"2 \(Linear\) .* 1 \(Linear\) lies between"),
        ((RateReadout(), nn.Linear(6, 5)), r"2 \(Linear\) .* may as well come after a linear layer"),
        ((Residual(nn.Linear(6, 6)), nn.Linear(6, 5)), r"2 \(Linear\) .* 1 \(Residual\) lies between"),
        ((Attention(),), r"1 \(Attention\) cannot be unrolled: nothing is known"),
        ((Residual(Sequential(nn.Linear(6, 6), Attention())),), r"1\.module\.1 \(Attention\)"),
        ((Foreign(),), r"1 \(Foreign\) cannot be unrolled"),
        ((nn.Sequential(nn.GELU(), nn.Linear(6, 5)),), r"1\.1 \(Linear\) .* 1\.0 \(GELU\) lies between"),
        ((nn.utils.parametrizations.weight_norm(nn.Linear(6, 6)),), r"1 \(ParametrizedLinear\)"),
    ],
)
def test_what_is_refused_by_name(parts: tuple[nn.Module, ...], message: str) -> None:
    with pytest.raises(InputError, match=f"unroll: {message}"):
        unroll(Sequential(DSN(6), *parts).eval())


def test_before_the_first_neuron_anything_goes() -> None:
    model = Sequential(Attention(), nn.Linear(6, 6), nn.LayerNorm(6), nn.Linear(6, 6), DSN(6)).double().eval()
    x = wide(6)
    assert torch.equal(unroll(model)(x)[0], model(x)[0])


def test_training_mode_is_refused_by_name() -> None:
    model = Sequential({"in": nn.Linear(6, 6), "norm": nn.BatchNorm1d(6), "spikes": DSN(6)})
    with pytest.raises(InputError, match=r"Sequential is in training mode.*model\.eval\(\)"):
        unroll(model)
    model.eval().parts["norm"].train()
    with pytest.raises(InputError, match="norm is in training mode"):
        unroll(model)
    with pytest.raises(InputError, match="has no training mode"):
        unroll(model.eval()).train()
    with pytest.raises(InputError, match="not a temporal module"):
        unroll(nn.Linear(6, 6))  # type: ignore[arg-type]


def test_firing_of_an_unknown_kind_is_refused() -> None:
    neuron = DSN(6).eval()
    neuron.firing = object()  # type: ignore[assignment]
    with pytest.raises(InputError, match="Binary and Integer spikes only"):
        unroll(neuron)


def test_a_state_that_does_not_fit_is_refused() -> None:
    unrolled = unroll(built(MODELS["mlp"]))
    with pytest.raises(InputError, match="expected a tuple of 5"):
        unrolled(wide(6), ())
    with pytest.raises(InputError, match="part 'head'"):
        unrolled(wide(6), (None, None, None, (torch.zeros(3),), None))


def test_per_step_of_a_plain_module_is_known() -> None:
    model = Sequential(PerStep(nn.Linear(6, 8)), DSN(8), PerStep(nn.Linear(8, 5))).double().eval()
    torch.testing.assert_close(unroll(model)(wide(6))[0], model(wide(6))[0], rtol=1e-12, atol=1e-12)
