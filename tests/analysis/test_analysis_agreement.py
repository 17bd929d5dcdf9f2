import json
import math

import pytest
import torch
from torch import Tensor, nn

from spikescan.analysis import Agreement, measure_agreement, measure_latency, record, record_steps
from spikescan.errors import InputError
from spikescan.firing import Binary
from spikescan.layers import EachPlace, RateReadout, Sequential
from spikescan.models import forecaster
from spikescan.neurons import DSN, LIF, MPEPSN, PSN, MaskedPSN, SlidingPSN, StaticDSN
from spikescan.neurons.base import State, Temporal

T, B = 40, 5


class Faulty(Temporal):
    """Scales its input in `step` but not in `forward`."""

    def __init__(self, neuron: Temporal, scale: float) -> None:
        super().__init__()
        self.neuron = neuron
        self.scale = scale

    def forward(self, x: Tensor, state: State | None = None, lengths: Tensor | None = None) -> tuple[Tensor, State]:
        return self.neuron(x, state, lengths)

    def step(self, x_t: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        return self.neuron.step(self.scale * x_t, state)

    def initial_state(self, x_t: Tensor) -> State:
        return self.neuron.initial_state(x_t)


def network(first: Temporal, second: Temporal) -> Sequential:
    torch.manual_seed(0)
    parts = {"in": nn.Linear(2, 16), "first": first, "middle": nn.Linear(16, 16), "second": second}
    return Sequential({**parts, "out": nn.Linear(16, 4), "readout": RateReadout()})


@pytest.fixture
def x() -> Tensor:
    return 4.0 * torch.randn(T, B, 2, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def lengths() -> Tensor:
    return torch.tensor([T, 1, 17, 30, 0])


@pytest.mark.parametrize("with_lengths", [False, True])
@pytest.mark.parametrize(
    "make",
    [lambda: DSN(16), lambda: LIF(firing=Binary(0.3)), lambda: SlidingPSN(3, firing=Binary(0.2))],
    ids=["dsn", "lif", "sliding_psn"],
)
def test_a_correct_model_agrees(make, x, lengths, with_lengths):
    given = lengths if with_lengths else None
    agreement = measure_agreement(network(make(), make()).double(), x.double(), chunk_sizes=(7, 100), lengths=given)
    assert agreement.holds
    assert [way.name for way in agreement.ways] == [
        "in chunks of 7",
        "in chunks of 100",
        "step by step",
        "as a compiled stream",
    ]
    steps = int(lengths.sum()) if with_lengths else T * B
    for way in agreement.ways:
        assert way.predictions.differing == 0
        assert way.predictions.total == B
        assert {name: count.total for name, count in way.layers.items()} == dict.fromkeys(
            ["first", "second"], 16 * steps
        )
        assert way.spikes.differing == 0
        assert way.largest_output_difference < 1e-12
        assert way.largest_margin is None


def test_a_faulty_step_is_found_where_it_is(x):
    model = network(DSN(16), Faulty(DSN(16), 1.5))
    agreement = measure_agreement(model, x, chunk_sizes=(7,), batch_size=2)
    chunked, stepped = agreement.ways
    assert not agreement.holds
    assert chunked.spikes.differing == 0
    parallel, faulty = record(model, x), record_steps(model, x)
    by_hand = (parallel.layers["second.neuron"].spikes != faulty.layers["second.neuron"].spikes).sum()
    assert by_hand > 50
    assert stepped.layers["second.neuron"].differing == by_hand
    assert stepped.layers["first"].differing == 0
    assert stepped.largest_output_difference == pytest.approx(float((parallel.output - faulty.output).abs().max()))
    assert f"second.neuron: {by_hand} of {T * B * 16:,} spikes differ" in agreement.summary()


def test_the_margin_tells_rounding_from_a_fault(x):
    def margin(scale: float) -> float:
        way = measure_agreement(network(Faulty(DSN(16), scale), DSN(16)), x, chunk_sizes=()).ways[0]
        assert way.layers["first.neuron"].differing > 0
        return way.largest_margin

    # The membrane is at most some 10, so scaling it by 1 + 1e-3 moves it across thresholds nearer than 1e-2.
    assert 0 < margin(1.001) < 1e-2 < margin(1.5)


@pytest.mark.parametrize("neuron", [SlidingPSN(2, firing=Binary(0.5)), MaskedPSN(T, 3, firing=Binary(0.5))])
def test_the_margin_knows_learnt_thresholds(neuron):
    x = torch.randn(T, 400, 2, generator=torch.Generator().manual_seed(2))
    # One threshold a step, or one for all; none of them is that of `firing`, which a margin would be measured from.
    torch.nn.init.uniform_(neuron.bias, -0.3, -0.1)
    way = measure_agreement(Faulty(neuron, 1.01), x, chunk_sizes=(), batch_size=400).ways[0]
    assert way.spikes.differing > 0
    assert way.largest_margin < 1e-2


def test_the_margin_knows_the_learnt_threshold_of_a_layer():
    neuron = MPEPSN()
    torch.nn.init.constant_(neuron.threshold, 0.3)
    x = torch.randn(T, 400, 2, generator=torch.Generator().manual_seed(2))
    way = measure_agreement(Faulty(neuron, 1.01), x, chunk_sizes=(), batch_size=400).ways[0]
    assert way.spikes.differing > 0
    assert way.largest_margin < 2e-2


def test_a_prediction_that_differs_is_counted(x):
    model = network(DSN(16), Faulty(DSN(16), -1.0))
    way = measure_agreement(model, x, chunk_sizes=()).ways[0]
    expected = (record(model, x).output[-1].argmax(1) != record_steps(model, x).output[-1].argmax(1)).sum()
    assert way.predictions.differing == expected > 0


def test_nan_is_not_lost(x):
    class NaN(Faulty):
        def step(self, x_t: Tensor, state: State | None = None) -> tuple[Tensor, State]:
            y, state = super().step(x_t, state)
            return y * math.nan, state

    agreement = measure_agreement(Sequential(DSN(2), NaN(DSN(2), 1.0)), x, chunk_sizes=(), batch_size=2)
    assert math.isnan(agreement.ways[0].largest_output_difference)


def test_batches_do_not_change_the_result(x):
    model = network(DSN(16), Faulty(DSN(16), 1.1))
    assert measure_agreement(model, x, batch_size=2) == measure_agreement(model, x, batch_size=100)


def test_threads_are_given_back(x):
    before = torch.get_num_threads()
    measure_agreement(DSN(2), x)
    assert torch.get_num_threads() == before


def test_json_and_back(x):
    agreement = measure_agreement(network(DSN(16), Faulty(DSN(16), 1.1)), x)
    assert Agreement.from_dict(json.loads(json.dumps(agreement.to_dict()))) == agreement


def test_a_model_without_steps_is_refused_by_name(x):
    with pytest.raises(InputError, match=r"second is a PSN, which has no step"):
        measure_agreement(network(DSN(16), PSN(T)), x)


def test_a_model_that_steps_with_other_neurons_is_refused(x):
    class Other(Faulty):
        def step(self, x_t: Tensor, state: State | None = None) -> tuple[Tensor, State]:
            return x_t, ()

    with pytest.raises(InputError, match=r"\['0.neuron', '1'\].*\['1'\]"):
        measure_agreement(Sequential(Other(DSN(2), 1.0), DSN(2)), x, chunk_sizes=())


def test_bad_input_is_named(x):
    with pytest.raises(InputError, match=r"\[40, 0, 2\].*at least one sample"):
        measure_agreement(DSN(2), x[:, :0])
    with pytest.raises(InputError, match="batch_size is 0"):
        measure_agreement(DSN(2), x, batch_size=0)
    with pytest.raises(InputError, match="chunk_size is 0"):
        measure_agreement(DSN(2), x, chunk_sizes=(0,))


def test_latency_is_of_this_batch(x):
    model = network(DSN(16), DSN(16)).train()
    latency = measure_latency(model, x[:, :2], repeats=2)
    assert (latency.samples, latency.steps) == (2, T)
    assert latency.parallel_seconds > 0
    assert 0 < latency.step_seconds <= latency.step_seconds_99
    assert model.training
    with pytest.raises(InputError, match="repeats is 0"):
        measure_latency(model, x, repeats=0)


def test_a_model_that_is_not_compiled_is_checked_without_a_stream():
    model = Sequential(nn.Linear(3, 4), StaticDSN(4)).eval()
    agreement = measure_agreement(model, torch.randn(5, 2, 3))
    assert [way.name for way in agreement.ways] == ["in chunks of 16", "in chunks of 100", "step by step"]
    assert "part by part: 1 is a StaticDSN" in agreement.summary()
    assert Agreement.from_dict(agreement.to_dict()) == agreement


def test_a_forecaster_agrees_and_what_differs_in_it_is_found():
    torch.manual_seed(0)
    model = forecaster(1, 4, neuron=DSN, variables=4, width=8, depth=1, window=2).double()
    x = torch.randn(T, B, 1, 4, dtype=torch.float64)
    agreement = measure_agreement(model, x, lengths=torch.tensor([T, 1, 17, 30, 0]))
    assert agreement.holds
    faulty = Faulty(EachPlace(Sequential(nn.Linear(2, 16), DSN(16))), 1.5).double()
    found = measure_agreement(faulty, 4.0 * torch.randn(T, B, 2, 3, dtype=torch.float64), lengths=torch.full((B,), T))
    step = next(way for way in found.ways if way.name == "step by step")
    assert 0 < step.spikes.differing < step.spikes.total == T * B * 16 * 3
    assert step.largest_margin > 0.0
