import pytest
import torch
from torch import nn

from spikescan.analysis import measure_firing, record, record_chunks, record_steps
from spikescan.analysis.recording import record_compiled
from spikescan.errors import InputError
from spikescan.firing import Binary
from spikescan.layers import EachPlace, RateReadout, Residual, Sequential
from spikescan.neurons import DSN, LIF, SlidingPSN
from spikescan.neurons.base import map_state

T, B = 23, 3


@pytest.fixture
def model() -> Sequential:
    torch.manual_seed(0)
    second = Sequential({"linear": nn.Linear(6, 6), "norm": nn.BatchNorm1d(6), "neuron": LIF(firing=Binary(0.3))})
    return Sequential(
        {
            "in": nn.Linear(2, 6),
            "first": DSN(6),
            "block": Residual(second),
            "out": nn.Linear(6, 4),
            "readout": RateReadout(),
        }
    )


@pytest.fixture
def x() -> torch.Tensor:
    return 3.0 * torch.randn(T, B, 2, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def lengths() -> torch.Tensor:
    return torch.tensor([T, 9, 1])


def test_spikes_are_what_a_hook_sees(model, x):
    seen = {}
    neurons = {"first": model[1], "block.module.neuron": model[2].module[2]}
    for name, neuron in neurons.items():
        neuron.register_forward_hook(lambda _, args, output, name=name: seen.update({name: (args[0], output[0])}))
    recording = record(model, x)
    assert list(recording.layers) == list(neurons)
    for name, layer in recording.layers.items():
        assert layer.neuron is neurons[name]
        assert torch.equal(layer.spikes, seen[name][1])
        assert layer.spikes.sum() > 0
    with torch.no_grad():
        assert torch.equal(recording.output, model.eval()(x)[0])


def test_traces_explain_the_spikes(model, x):
    recording = record(model, x)
    dsn, lif = recording.layers.values()
    assert set(dsn.traces) == {"membrane", "decay"}
    assert torch.equal(dsn.neuron.firing(dsn.traces["membrane"]), dsn.spikes)
    assert ((dsn.traces["decay"] > 0) & (dsn.traces["decay"] < 1)).all()
    assert torch.equal(lif.neuron.firing(lif.traces["membrane"]), lif.spikes)
    assert record(model, x, traces=False).layers["first"].traces == {}


@pytest.mark.parametrize("with_lengths", [False, True])
def test_chunks_and_steps_give_the_same_recording(model, x, lengths, with_lengths):
    model, x = model.double(), x.double()
    given = lengths if with_lengths else None
    whole = record(model, x, lengths=given)
    for other in (record_chunks(model, x, 5, lengths=given, traces=True), record_steps(model, x, lengths=given)):
        torch.testing.assert_close(other.output, whole.output)
        assert list(other.layers) == list(whole.layers)
        for name, layer in whole.layers.items():
            assert torch.equal(other.layers[name].spikes, layer.spikes)
        for mine, theirs in zip(tensors(whole.state), tensors(other.state), strict=True):
            torch.testing.assert_close(mine, theirs)
    if with_lengths:
        assert whole.layers["first"].spikes[9:, 1].sum() == 0
        assert (other.output[1:, 2] == 0).all()


def test_a_recording_goes_on_from_a_state(model, x):
    whole = record(model, x)
    start = record(model, x[:10])
    rest = record(model, x[10:], start.state)
    for name, layer in whole.layers.items():
        assert torch.equal(torch.cat([start.layers[name].spikes, rest.layers[name].spikes]), layer.spikes)
        for key, trace in layer.traces.items():
            joined = torch.cat([start.layers[name].traces[key], rest.layers[name].traces[key]])
            torch.testing.assert_close(joined, trace)


def test_the_model_is_left_as_it_was_found(model, x):
    model.train()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    record(model, x)
    record_steps(model, x)
    assert model.training
    assert not model[1].training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert_unwrapped(model)


def test_the_model_is_left_as_it_was_found_after_an_error(model, x):
    model.train()
    with pytest.raises(InputError):
        record(model, x, state=(1, 2))
    with pytest.raises(InputError):
        record_steps(model, torch.randn(4, 2, 2), state=record(model, x).state)
    assert model.training
    assert_unwrapped(model)


def test_own_methods_of_an_instance_come_back(x):
    neuron = DSN(2)
    own = neuron.step
    neuron.step = own
    record_steps(neuron, x)
    assert vars(neuron)["step"] is own


def test_a_neuron_that_is_used_twice_is_two_layers(x):
    shared = SlidingPSN(2, firing=Binary(0.5))
    model = Sequential({"first": shared, "again": shared})
    whole, stepped = record(model, x), record_steps(model, x)
    assert list(whole.layers) == ["first", "first (2)"] == list(stepped.layers)
    assert torch.equal(whole.layers["first"].spikes, shared(x)[0])
    assert torch.equal(whole.layers["first (2)"].spikes, shared(shared(x)[0])[0])
    assert torch.equal(whole.layers["first (2)"].spikes, stepped.layers["first (2)"].spikes)


def test_a_bare_neuron_is_named_after_its_class(x):
    assert list(record(DSN(2), x).layers) == ["DSN"]


def test_firing_rates_count_valid_steps_only(model, x, lengths):
    recording = record(model, x, lengths=lengths)
    rates = recording.firing_rates()
    spikes = recording.layers["first"].spikes
    by_hand = sum(spikes[:length, sample].sum(0) for sample, length in enumerate(lengths.tolist())) / lengths.sum()
    torch.testing.assert_close(rates["first"].per_neuron.float(), by_hand)
    assert rates["first"].mean == pytest.approx(by_hand.mean().item())
    assert rates["first"].silent == pytest.approx((by_hand == 0).float().mean().item())


@pytest.mark.parametrize("with_lengths", [False, True])
def test_firing_rates_over_batches_are_those_of_all_at_once(model, x, lengths, with_lengths):
    given = lengths if with_lengths else None
    batched = measure_firing(model, x, given, batch_size=2)
    for name, rate in record(model, x, lengths=given).firing_rates().items():
        torch.testing.assert_close(batched[name].per_neuron, rate.per_neuron)


def test_silent_neurons_are_counted():
    rate = record(DSN(4), torch.tensor([0.0, 0.0, 0.0, 9.0]).expand(5, 1, 4)).firing_rates()["DSN"]
    assert rate.silent == 0.75


def test_bad_input_is_named(model, x):
    with pytest.raises(InputError, match=r"Linear.*expected a Temporal"):
        record(nn.Linear(2, 3), x)
    with pytest.raises(InputError, match=r"\[0, 3, 2\].*at least one time step"):
        record(model, x[:0])
    with pytest.raises(InputError, match="lengths"):
        record(model, x, lengths=torch.tensor([1, 2]))
    with pytest.raises(InputError, match="chunk_size is 0"):
        record_chunks(model, x, 0)
    with pytest.raises(InputError, match="batch_size is 0"):
        measure_firing(model, x, batch_size=0)


def tensors(state) -> list[torch.Tensor]:
    found = []
    map_state(lambda tensor: found.append(tensor) or tensor, state)
    return found


def assert_unwrapped(model: nn.Module) -> None:
    assert not any({"forward", "step"} & set(vars(module)) for module in model.modules())


@pytest.mark.parametrize("lengths", [None, torch.tensor([7, 0, 3, 1] * 5)])
def test_a_compiled_recording_is_that_of_single_steps(lengths):
    """Of more samples than one compiled step takes, and of a neuron that the model uses twice."""
    torch.manual_seed(0)
    neuron = DSN(4)
    model = Sequential(nn.Linear(3, 4), neuron, nn.Linear(4, 4), neuron, RateReadout()).double().eval()
    x = torch.randn(7, 20, 3, dtype=torch.float64)
    compiled, stepped = record_compiled(model, x, lengths), record_steps(model, x, lengths=lengths)
    assert list(compiled.layers) == list(stepped.layers)
    for name, layer in compiled.layers.items():
        assert torch.equal(layer.spikes, stepped.layers[name].spikes)
        assert layer.neuron is neuron
    torch.testing.assert_close(compiled.output, stepped.output)
    torch.testing.assert_close(compiled.state, stepped.state)


@pytest.mark.parametrize("lengths", [None, [T, 9, 1]])
def test_places_that_are_samples_to_a_neuron_are_places_of_the_sample(lengths):
    """Whether the parts around it have a step of their own or run `forward` on a single step."""
    torch.manual_seed(0)
    model = Sequential(EachPlace(Sequential(nn.Linear(2, 6), DSN(6), nn.Linear(6, 1))), RateReadout())
    x = 3.0 * torch.randn(T, B, 2, 4)
    given = None if lengths is None else torch.tensor(lengths)
    whole, steps = record(model, x, lengths=given), record_steps(model, x, lengths=given)
    for place in range(4):
        alone = record(model[0].module, x[..., place], lengths=given)
        for name, layer in whole.layers.items():
            spikes = alone.layers[name.removeprefix("0.module.")].spikes
            assert torch.equal(layer.spikes[..., place], spikes)
            assert torch.equal(steps.layers[name].spikes[..., place], spikes)
            assert layer.traces["membrane"].shape == layer.spikes.shape
    (rate,) = whole.firing_rates().values()
    assert rate.per_neuron.shape == (6, 4)
    assert rate.per_neuron.max() <= 4
