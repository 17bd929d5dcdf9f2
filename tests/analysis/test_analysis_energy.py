"""Operations counted on real activity, held against loops over every output and every weight."""

import csv
import io
import itertools
import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from spikescan import backend
from spikescan.analysis import CONSTANTS, Energy, Operations, find_constants, measure_energy, record
from spikescan.analysis.counting import counts_as_spikes
from spikescan.analysis.energy import FP32_45NM
from spikescan.data import Batch, Split
from spikescan.errors import InputError
from spikescan.firing import Binary, Integer
from spikescan.layers import (
    HYPR,
    DecayingSum,
    LeakyReadout,
    RateReadout,
    Recurrent,
    Residual,
    Scale,
    Sequential,
    SpikeAttention,
    TokenSum,
)
from spikescan.models import Single
from spikescan.neurons import DSN, IF, LIF, DenseDSN, InterChannelDSN, LowRankDSN
from spikescan.neurons.dsn import squarings_and_powers
from spikescan.ops.dynamic_decay.cpu import _squarings

T, N = 6, 5
LENGTHS = torch.tensor([T, 2, 5, 1, T])


@pytest.fixture(autouse=True)
def without_kernels():
    """Counts are the same with every backend, and nothing has to be compiled for this one."""
    with backend("reference"):
        yield


def numbers(*shape: int) -> torch.Tensor:
    return 1.5 * torch.randn(N, T, *shape, generator=torch.Generator().manual_seed(0))


def split(inputs: torch.Tensor, lengths: torch.Tensor | None = None) -> Split:
    return Split(inputs, torch.zeros(len(inputs), dtype=torch.int64), lengths)


def fires(levels: int = 3) -> IF:
    """Sends the inputs back, rounded and clipped, so that every number of spikes occurs."""
    return IF(reset=None, firing=Integer(levels))


def over_all(mean: Operations, samples: int) -> Operations:
    """The sum over samples, a whole number."""
    return Operations(**{kind: round(samples * count, 6) for kind, count in mean.to_dict().items()})


def by_name(energy: Energy) -> dict[str, Operations]:
    return {layer.name: over_all(layer.operations, energy.samples) for layer in energy.layers}


def dense_by_name(energy: Energy) -> dict[str, Operations]:
    return {layer.name: over_all(layer.dense, energy.samples) for layer in energy.layers}


def meetings(layer: nn.Module, spikes: torch.Tensor) -> tuple[int, int]:
    """Spikes ``[C, *]`` of one step with weights, and values with weights: one output and one weight after the other."""
    if isinstance(layer, nn.Linear):
        return int(spikes.sum()) * layer.out_features, spikes.numel() * layer.out_features
    sizes = spikes.shape[1:]
    met = values = 0
    places = [
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, p, d, k, s in zip(sizes, layer.padding, layer.dilation, layer.kernel_size, layer.stride, strict=True)
    ]
    inputs, outputs = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    for group, _, channel in itertools.product(range(layer.groups), range(outputs), range(inputs)):
        for place in itertools.product(*map(range, places)):
            for tap in itertools.product(*map(range, layer.kernel_size)):
                at = [
                    o * s - p + t * d
                    for o, s, p, t, d in zip(place, layer.stride, layer.padding, tap, layer.dilation, strict=True)
                ]
                if all(0 <= i < size for i, size in zip(at, sizes, strict=True)):
                    met += int(spikes[(group * inputs + channel, *at)])
                    values += 1
    return met, values


LAYERS = {
    "linear": (nn.Linear(4, 7), (4,)),
    "conv1d padded": (nn.Conv1d(4, 6, 3, padding=1), (4, 7)),
    "conv1d strided, dilated, in groups": (nn.Conv1d(4, 6, 3, stride=2, padding=2, dilation=2, groups=2), (4, 9)),
    "conv2d": (nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 0)), (2, 5, 4)),
    "conv2d depthwise": (nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False), (3, 4, 3)),
    "conv3d": (nn.Conv3d(1, 2, 2, padding=(1, 0, 1)), (1, 2, 3, 2)),
}


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "lengths"])
@pytest.mark.parametrize("kind", LAYERS)
def test_spikes_and_weights_that_meet_are_counted_one_by_one(kind, lengths):
    layer, shape = LAYERS[kind]
    x = numbers(*shape)
    if lengths is not None:
        x[1, 2:] = torch.nan  # beyond its length
    model = Sequential({"fire": fires(), "layer": layer})
    energy = measure_energy(model, split(x, lengths), batch_size=2)
    steps = [(n, t) for n in range(N) for t in range(T if lengths is None else int(lengths[n]))]
    spikes = record(model, x.transpose(0, 1), lengths=lengths, traces=False).layers["fire"].spikes
    assert spikes.max() == 3
    met, values = (sum(c) for c in zip(*(meetings(layer, spikes[t, n]) for n, t in steps), strict=True))
    counted, sent = energy.layers[1], energy.layers[0]
    assert by_name(energy)["layer"] == Operations(accumulates=met)
    assert dense_by_name(energy)["layer"].multiply_accumulates == pytest.approx(values)
    assert counted.takes_spikes
    assert counted.spikes * N == pytest.approx(float(spikes.sum()))
    assert sent.firing_rate == pytest.approx(float(spikes.sum()) / (len(steps) * spikes[0, 0].numel()))
    assert sent.density == pytest.approx(float((spikes != 0).sum()) / (len(steps) * spikes[0, 0].numel()))
    assert (sent.levels, sent.neurons) == (3, spikes[0, 0].numel())
    assert energy.steps == pytest.approx(len(steps) / N)
    assert energy.firing_rate == pytest.approx(sent.firing_rate)


def test_a_transposed_convolution_reaches_only_places_that_are_there():
    layer = nn.ConvTranspose1d(2, 3, 4, stride=2, padding=1)
    energy = measure_energy(Sequential({"fire": fires(), "layer": layer}), split(numbers(2, 5)))
    spikes = record(Sequential(fires()), numbers(2, 5).transpose(0, 1), traces=False).layers["0"].spikes
    reached = [sum(0 <= 2 * i + tap - 1 < 10 for tap in range(4)) for i in range(5)]
    by_hand = 3 * (spikes.sum((0, 1, 2)) * torch.tensor(reached)).sum()
    assert by_name(energy)["layer"] == Operations(accumulates=float(by_hand))


def test_real_numbers_are_multiplied():
    model = Sequential({"in": nn.Linear(4, 8), "fire": LIF(), "readout": RateReadout()})
    energy = measure_energy(model, split(numbers(4), LENGTHS))
    steps = int(LENGTHS.sum())
    assert by_name(energy) == {
        "in": Operations(multiply_accumulates=32 * steps),
        "fire": Operations(multiplications=8 * steps, additions=16 * steps),
        "readout": Operations(multiplications=8 * steps, additions=8 * steps),
    }
    assert dense_by_name(energy) == {**by_name(energy), "fire": Operations()}
    assert not energy.layers[0].takes_spikes
    assert energy.multiply_accumulates == pytest.approx(32 * energy.steps)
    assert over_all(energy.neuron_operations, N) == Operations(multiplications=8 * steps, additions=16 * steps)
    assert energy.state_bytes == pytest.approx(2 * 4 * (8 + 8) * energy.steps)


def test_an_input_of_events_is_spikes_in_every_batch_or_none():
    model = Sequential({"in": nn.Linear(4, 8)})
    events = (numbers(4) > 1).float()
    events[0] = 0.0
    assert by_name(measure_energy(model, split(events), batch_size=1))["in"] == Operations(
        accumulates=8 * float(events.sum())
    )
    events[-1, 3, 2] = 0.5
    assert by_name(measure_energy(model, split(events), batch_size=1))["in"] == Operations(
        multiply_accumulates=32 * N * T
    )


def test_what_counts_as_spikes():
    def answer(x: torch.Tensor, lengths: torch.Tensor | None = None) -> bool:
        return counts_as_spikes([Batch(x, torch.zeros(1), lengths)])

    assert answer(torch.tensor([[[0.0, 3.0, 0.0]]]))
    assert not answer(torch.tensor([[[0.0, 4.0, 0.0]]]))  # more work than products
    assert not answer(torch.tensor([[[0.0, -1.0]]]))
    assert answer(torch.tensor([[[1.0]], [[torch.nan]]]), torch.tensor([1]))


def test_a_pool_passes_spikes_on_and_adds_them_up_for_a_neuron():
    x = numbers(2, 4)
    model = Sequential({"fire": fires(), "pool": nn.AvgPool1d(2), "conv": nn.Conv1d(2, 5, 1), "again": LIF()})
    spikes = float(record(model, x.transpose(0, 1), traces=False).layers["fire"].spikes.sum())
    counted = by_name(measure_energy(model, split(x)))
    assert counted["pool"] == Operations()
    assert counted["conv"] == Operations(accumulates=5 * spikes)
    for pool in (nn.AvgPool1d(2), nn.AdaptiveAvgPool1d(2), TokenSum()):
        counted = by_name(measure_energy(Sequential({"fire": fires(), "pool": pool, "again": LIF()}), split(x)))
        assert counted["pool"] == Operations(accumulates=spikes)


def test_a_pool_of_uneven_windows_makes_real_numbers():
    x, steps = numbers(2, 5), N * T
    for pool, summed in (
        (nn.AdaptiveAvgPool1d(2), 3 + 3),
        (nn.AvgPool1d(2, ceil_mode=True), 3 * 2),
        (nn.AvgPool1d(3, padding=1, count_include_pad=False), 2 * 3),
    ):
        model = Sequential({"fire": fires(), "pool": pool, "conv": nn.Conv1d(2, 5, 1)})
        energy = measure_energy(model, split(x))
        assert by_name(energy)["pool"] == Operations(additions=2 * summed * steps), pool
        assert not energy.layers[2].takes_spikes


def test_pools_of_the_largest_and_what_moves_values_keep_spikes():
    x = numbers(2, 4)
    parts = {
        "fire": fires(),
        "pool": nn.MaxPool1d(2),
        "pad": nn.ZeroPad1d(1),
        "flat": nn.Flatten(),
        "drop": nn.Dropout(),
    }
    model = Sequential({**parts, "out": nn.Linear(8, 3)})
    spikes = record(model, x.transpose(0, 1), traces=False).layers["fire"].spikes
    largest = torch.stack([spikes[..., :2].amax(-1), spikes[..., 2:].amax(-1)]).sum()
    assert by_name(measure_energy(model, split(x)))["out"] == Operations(accumulates=3 * float(largest))


def test_the_weights_behind_hold_a_scale():
    x = numbers(4)
    model = Sequential({"fire": fires(), "scale": Scale(4), "out": nn.Linear(4, 3)})
    nn.init.normal_(model[1].module.log_scale)
    spikes = float(record(model, x.transpose(0, 1), traces=False).layers["fire"].spikes.sum())
    energy = measure_energy(model, split(x))
    assert by_name(energy)["out"] == Operations(accumulates=3 * spikes)
    assert by_name(energy)["scale"] == dense_by_name(energy)["scale"] == Operations()
    counted = by_name(measure_energy(Sequential({"fire": fires(), "scale": Scale(4), "again": LIF()}), split(x)))
    assert counted["scale"] == Operations(multiplications=4 * N * T)


def test_norms_are_counted_where_no_weights_before_hold_them():
    x, steps = numbers(4), N * T
    model = Sequential(
        {"in": nn.Linear(4, 6), "drop": nn.Dropout(), "folded": nn.BatchNorm1d(6), "twice": nn.BatchNorm1d(6)}
        | {"layer": nn.LayerNorm(6), "left": nn.BatchNorm1d(6), "rms": nn.RMSNorm(6), "fire": fires()}
        | {"spiking": nn.BatchNorm1d(6)}
    )
    counted = by_name(measure_energy(model, split(x)))
    affine = Operations(multiplications=6 * steps, additions=6 * steps)
    assert "folded" not in counted
    assert "twice" not in counted
    assert counted["left"] == counted["spiking"] == affine
    # mean: 6 additions, 1 product; centred: 6 additions; variance: 6 of both, 1 product, 1 addition of eps; root: 1;
    # scaled: 6 products; weight and bias: 6 of both
    assert counted["layer"] == Operations(multiplications=20 * steps, additions=25 * steps, transcendentals=steps)
    assert counted["rms"] == Operations(multiplications=19 * steps, additions=7 * steps, transcendentals=steps)


def test_sums_of_spikes_stay_spikes_and_sums_of_reals_are_added():
    x = numbers(4)
    spiking = Sequential({"fire": fires(), "sum": Residual(nn.Sequential(nn.Linear(4, 4))), "out": nn.Linear(4, 3)})
    assert by_name(measure_energy(spiking, split(x)))["sum"] == Operations(additions=4 * N * T)
    spiking = Sequential({"fire": fires(), "sum": Residual(fires(2)), "out": nn.Linear(4, 3)})
    sent = record(spiking, x.transpose(0, 1), traces=False).layers
    both = float(sum(layer.spikes.sum() for layer in sent.values()))
    energy = measure_energy(spiking, split(x))
    assert by_name(energy)["out"] == Operations(accumulates=3 * both)
    assert by_name(energy)["sum"] == Operations()
    assert dense_by_name(energy)["sum"] == Operations(additions=4 * N * T)


@pytest.mark.parametrize("summing", [DecayingSum(4, 2), TokenSum()], ids=["over time", "over places"])
def test_attention_of_spikes_masks_and_adds(summing):
    space = (4,) if isinstance(summing, DecayingSum) else (4, 3)
    x = numbers(*space).transpose(0, 1)

    branches = [Sequential({"norm": nn.BatchNorm1d(4), "fire": fires(levels)}) for levels in (1, 2, 3)]
    for index, branch in enumerate(branches):
        nn.init.constant_(branch[0].module.bias, 0.3 * index)
    attention = SpikeAttention(*branches, Sequential({"sum": summing, "fire": fires(2)}))
    model = Sequential({"attention": attention, "out": nn.Linear(4, 2) if len(space) == 1 else nn.Conv1d(4, 2, 1)})
    layers = record(model, x, lengths=LENGTHS, traces=False).layers
    q, k, v, mixed = (layers[f"attention.{name}.fire"].spikes for name in ("query", "key", "value", "mix"))
    energy = measure_energy(model, split(x.transpose(0, 1), LENGTHS))
    counted, dense, steps = by_name(energy), dense_by_name(energy), int(LENGTHS.sum())
    values = steps * q[0, 0].numel()
    together = sum(int(k[index]) * int(v[index]) for index in itertools.product(*map(range, k.shape)))
    assert counted["attention.mix.sum"].accumulates == together > 0
    assert counted["attention"] == Operations()
    assert counted["out"] == Operations(accumulates=2 * float((q * mixed).sum()))
    assert dense["attention"] == Operations(multiplications=2 * values)
    assert dense["attention.mix.sum"].additions == values


def test_attention_of_real_numbers_multiplies():
    x = numbers(4)
    real = [nn.Linear(4, 4) for _ in range(2)]
    model = SpikeAttention(Sequential({"fire": fires()}), *real, DecayingSum(4))
    spikes = record(model, x.transpose(0, 1), traces=False).layers["query.fire"].spikes
    counted = by_name(measure_energy(model, split(x)))
    # k * v are products; q adds up the sum as often as it fired.
    assert counted["SpikeAttention"] == Operations(multiplications=4 * N * T, accumulates=float(spikes.sum()))


@pytest.mark.parametrize("wrap", [lambda layer: layer, HYPR], ids=["recurrent", "hypr"])
def test_spikes_that_come_back_are_counted_one_step_later(wrap):
    torch.manual_seed(0)
    model, x = wrap(Recurrent(3, 5, LIF(firing=Binary(0.3)))), numbers(3)
    energy = measure_energy(model, split(x, LENGTHS))
    spikes, _ = model(x.transpose(0, 1), None, LENGTHS)
    back = sum(int(spikes[t, n].sum()) for n in range(N) for t in range(int(LENGTHS[n]) - 1))
    prefix = "" if isinstance(model, Recurrent) else "layer."
    counted, steps = by_name(energy), int(LENGTHS.sum())
    assert counted[f"{prefix}lateral"] == Operations(accumulates=5 * back)
    assert counted[f"{prefix}linear"] == Operations(multiply_accumulates=15 * steps)
    assert counted[f"{prefix}neuron"] == Operations(multiplications=5 * steps, additions=10 * steps)


def test_neurons_on_their_own_are_behind_gains():
    energy = measure_energy(Single(2, [DSN(1) for _ in range(3)]), split(numbers(2)))
    assert by_name(energy)["Single"] == Operations(multiply_accumulates=6 * N * T)
    assert [layer.name for layer in energy.layers] == ["Single", "neurons.0", "neurons.1", "neurons.2"]


def test_a_module_that_is_used_twice_is_counted_twice():
    shared = nn.Linear(4, 4)
    energy = measure_energy(Sequential({"first": shared, "second": shared}), split(numbers(4)))
    assert [layer.name for layer in energy.layers] == ["first", "second"]
    assert energy.multiply_accumulates == 2 * 16 * T


GATES = {
    "dsn": (DSN, 4),
    "dense": (DenseDSN, 4),
    "low rank": (lambda channels, tau: LowRankDSN(channels, rank=3, tau=tau), 6),
    "inter-channel": (InterChannelDSN, 16),
}


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize(
    ("tau", "squarings", "powers"),
    [(1.0, 0, 0), (0.5, 1, 0), (0.25, 2, 0), (1 / 16, 4, 0), (1 / 32, 0, 1), (2.0, 0, 1), (0.3, 0, 1)],
)
def test_a_power_of_two_takes_squarings(gate, tau, squarings, powers):
    make, mixing = GATES[gate]
    cost = make(4, tau=tau).cost()
    assert (cost.multiplications, cost.additions) == (mixing + 1 + squarings, mixing + 2)
    assert cost.transcendentals == 1 + powers


def test_what_a_gate_costs_is_what_the_kernel_does():
    for tau in (1.0, 0.5, 0.25, 0.125, 1 / 16, 1 / 32, 2.0, 0.3, 1 / 3):
        squarings, powers = squarings_and_powers(tau)
        done = _squarings(1.0 / tau)
        assert (squarings, powers) == ((0, 1) if done is None else (len(done), 0)), tau


class Odd(nn.Module):
    """Of a kind that nobody knows."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = nn.Bilinear(4, 4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pair(x, x)


class Foreign(RateReadout):
    """A temporal one."""


@pytest.mark.parametrize(
    ("part", "named"),
    [
        (Odd(), r"block\.odd \(Odd\)"),
        (nn.Bilinear(4, 4, 4), r"block\.odd \(Bilinear\)"),
        (nn.Sequential(nn.Linear(4, 4), nn.Softmax(1)), r"block\.odd\.1 \(Softmax\)"),
        (Foreign(), r"block\.odd \(Foreign\)"),
        (nn.BatchNorm1d(4, track_running_stats=False), r"block\.odd \(BatchNorm1d\) .*depends on the batch"),
    ],
)
def test_what_is_unknown_is_refused_by_name(part, named):
    model = Sequential({"block": Sequential({"in": nn.Linear(4, 4), "odd": part})})
    with pytest.raises(InputError, match=f"^energy: {named}"):
        measure_energy(model, split(numbers(4)))


def built() -> Sequential:
    torch.manual_seed(0)
    block = Sequential({"linear": nn.Linear(8, 8), "norm": nn.LayerNorm(8), "fire": LIF(firing=Binary(0.3))})
    parts = {"in": nn.Linear(4, 8), "fire": DSN(8), "block": Residual(block), "out": nn.Linear(8, 3)}
    return Sequential({**parts, "readout": LeakyReadout(3)})


def test_totals_are_sums_and_energies_are_what_the_table_says():
    energy = measure_energy(built(), split(numbers(4), LENGTHS))
    total = sum((layer.operations for layer in energy.layers), Operations())
    assert energy.operations == total
    picojoules = 0.9 * (total.accumulates + total.additions) + 4.6 * total.multiply_accumulates
    picojoules += 3.7 * total.multiplications + 46.0 * total.transcendentals
    assert energy.joules == pytest.approx(1e-12 * picojoules)
    assert sum(energy.joules_by_role().values()) == pytest.approx(energy.joules)
    assert energy.joules == pytest.approx(FP32_45NM.joules(total))
    assert energy.dense_joules == pytest.approx(FP32_45NM.joules(energy.dense))
    assert energy.dense.accumulates == 0
    assert energy.state_joules == pytest.approx(1.25e-12 * energy.state_bytes)


def test_batches_do_not_change_the_counts_and_the_model_is_left_alone():
    model, data = built().train(), split(numbers(4), LENGTHS)
    whole = measure_energy(model, data)
    assert measure_energy(model, data, batch_size=2) == whole
    assert model.training
    assert all(part.training for part in model.modules())


def test_samples_are_spread_over_the_split():
    data = split(numbers(4))
    some = measure_energy(built(), data, samples=2)
    assert some.samples == 2
    assert some == measure_energy(built(), split(data.inputs[[0, 2]]))
    assert measure_energy(built(), data, samples=100).samples == N


def test_json_and_csv_hold_everything():
    energy = measure_energy(built(), split(numbers(4)), constants=CONSTANTS["int8"])
    assert Energy.from_dict(json.loads(json.dumps(energy.to_dict()))) == energy
    rows = list(csv.DictReader(io.StringIO(energy.to_csv())))
    assert [row["name"] for row in rows] == [layer.name for layer in energy.layers]
    assert sum(float(row["joules"]) for row in rows) == pytest.approx(energy.joules)
    assert sum(float(row["accumulates"]) for row in rows) == pytest.approx(energy.accumulates)


def test_constants_are_chosen_by_name():
    assert find_constants("fp32").by_kind()["multiply_accumulates"] == pytest.approx(4.6)
    assert find_constants("fp16").by_kind()["multiply_accumulates"] == pytest.approx(1.5)
    assert find_constants("int8").by_kind()["multiply_accumulates"] == pytest.approx(0.23)
    with pytest.raises(InputError, match="int8"):
        find_constants("int9")
    data = split(numbers(4))
    energies = {name: measure_energy(built(), data, constants=table) for name, table in CONSTANTS.items()}
    assert energies["fp32"].operations == energies["int8"].operations
    assert energies["int8"].joules < energies["fp16"].joules < energies["fp32"].joules
    assert energies["int8"].state_bytes == pytest.approx(energies["fp32"].state_bytes / 4)
    free = measure_energy(built(), data, constants=replace(FP32_45NM, transcendental=0.0))
    assert free.joules < energies["fp32"].joules


def test_bad_input_is_named():
    for arguments in ({"samples": 0}, {"batch_size": 0}):
        with pytest.raises(InputError, match="expected at least 1"):
            measure_energy(built(), split(numbers(4)), **arguments)
    with pytest.raises(InputError, match="a split of 0"):
        measure_energy(built(), split(torch.zeros(0, T, 4)))
