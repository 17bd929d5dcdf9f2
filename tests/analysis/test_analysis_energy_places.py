"""Operations of windows, of modules that run at each place, and of series made relative: counted one by one."""

import math
from collections import Counter
from typing import ClassVar

import pytest
import torch
from torch import nn

from spikescan import backend
from spikescan.analysis import Operations
from spikescan.analysis.counting import walk_through
from spikescan.control.actors import GRUActor, ann
from spikescan.control.normaliser import RunningNorm
from spikescan.control.population import PopulationActor
from spikescan.data import Batch
from spikescan.firing import Binary, Integer
from spikescan.layers import EachPlace, FromLast, RateReadout, Sequential, Standardised, Window
from spikescan.neurons import IF, LIF
from spikescan.neurons.padding import zero_padding

T, N = 6, 4
LENGTHS = torch.tensor([T, 2, 5, 1])


@pytest.fixture(autouse=True)
def without_kernels():
    """Counts are the same with every backend, and nothing has to be compiled for this one."""
    with backend("reference"):
        yield


def numbers(*shape: int) -> torch.Tensor:
    return 1.5 * torch.randn(T, N, *shape, generator=torch.Generator().manual_seed(0))


def fires() -> IF:
    return IF(reset=None, firing=Integer(3))


def counted(model, x, lengths):
    """Layers by name; what the walk returns is what the model does."""
    with torch.no_grad():
        y, layers = walk_through(model.eval(), Batch(x, torch.zeros(N), lengths))
        assert torch.equal(y, model(x, None, lengths)[0])
    return {layer.name: layer for layer in layers}


def valid(lengths):
    return [(t, n) for n in range(N) for t in range(T if lengths is None else int(lengths[n]))]


every_lengths = pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["full", "lengths"])


@every_lengths
@pytest.mark.parametrize("size", [1, 3])
def test_a_window_shows_each_spike_to_the_weights_once_a_step_that_it_stays(size, lengths):
    x = numbers(4)
    fire, window = fires(), Window(4, size)
    layers = counted(Sequential({"fire": fire, "window": window, "out": nn.Linear(4 * size, 5)}), x, lengths)
    spikes = fire(x, None, lengths)[0]
    met = sum(5 * int(spikes[t - back, n].sum()) for t, n in valid(lengths) for back in range(min(size, t + 1)))
    assert met > 0
    assert layers["out"].operations == Operations(accumulates=met)
    assert layers["out"].dense == Operations(multiply_accumulates=5 * 4 * size * len(valid(lengths)))
    assert not layers["window"].operations
    assert not layers["window"].dense
    assert layers["window"].state_bytes == 2 * 4 * (size - 1) * 4 * len(valid(lengths))


def test_a_window_of_averages_keeps_the_spikes_in_them_and_what_they_owe():
    x, fire = numbers(4, 2), fires()
    parts = {"fire": fire, "pool": nn.AvgPool1d(2), "window": Window(4, 2)}
    spikes = fire(x)[0]
    shown = int(spikes.sum()) + int(spikes[:-1].sum())
    layers = counted(Sequential({**parts, "out": nn.Conv1d(8, 3, 1)}), x, None)
    assert layers["out"].operations == Operations(accumulates=3 * shown)
    assert not layers["pool"].operations
    layers = counted(Sequential({**parts, "again": LIF()}), x, None)
    assert layers["pool"].operations == Operations(accumulates=int(spikes.sum()))


def test_a_window_of_real_numbers_is_multiplied():
    layers = counted(Sequential({"window": Window(4, 3), "out": nn.Linear(12, 5)}), numbers(4), LENGTHS)
    assert layers["out"].operations == Operations(multiply_accumulates=60 * int(LENGTHS.sum()))


@every_lengths
@pytest.mark.parametrize("space", [(3,), (2, 3)])
def test_each_place_counts_what_its_module_does_there_alone(space, lengths):
    """The sum over places of a run on that place."""
    torch.manual_seed(0)
    parts = {"in": nn.Linear(4, 5), "fire": fires(), "window": Window(5, 2), "out": nn.Linear(10, 2)}
    module, x = Sequential({**parts, "readout": RateReadout()}), numbers(4, *space)
    layers = counted(EachPlace(module), x, lengths)
    alone = [counted(module, place, lengths) for place in x.flatten(3).unbind(3)]
    for name in (*parts, "readout"):
        here, there = layers[f"module.{name}"], [each[name] for each in alone]
        for attribute in ("spikes", "active", "values", "neurons", "state_bytes"):
            assert getattr(here, attribute) == sum(getattr(each, attribute) for each in there), (name, attribute)
        assert here.operations == sum((each.operations for each in there), Operations()), name
        assert here.dense == sum((each.dense for each in there), Operations()), name
    hidden = x.movedim(2, -1) @ module.parts["in"].module.weight.T + module.parts["in"].module.bias
    membrane, spikes = torch.zeros_like(hidden[0]), []
    for current in hidden.unbind(0):
        membrane = membrane + current
        spikes.append(membrane.round().clamp(0, 3))
    sent = sum(int(spikes[t][n].sum()) for t, n in valid(lengths))
    assert layers["module.fire"].spikes == sent > 0
    assert layers["module.fire"].neurons == 5 * math.prod(space)


def test_spikes_stay_spikes_at_each_place_and_behind_it():
    x, fire = numbers(4, 3), fires()
    inner = Sequential({"drop": nn.Dropout(), "pad": nn.ZeroPad1d(1)})
    layers = counted(Sequential({"fire": fire, "each": EachPlace(inner), "out": nn.Conv1d(6, 5, 1)}), x, LENGTHS)
    sent = int(fire(x, None, LENGTHS)[0].sum())
    assert layers["out"].operations == Operations(accumulates=5 * sent)


def test_an_actor_is_counted_behind_its_normaliser():
    x, normaliser = numbers(3), RunningNorm(3)
    for row in x[0].double():
        normaliser.observe(row)
    layers = counted(Sequential({"normaliser": normaliser, "actor": ann(3, 2, hidden=(5,))}), x, LENGTHS)
    steps = int(LENGTHS.sum())
    assert layers["normaliser"].operations == Operations(multiplications=3 * steps, additions=3 * steps)
    synapses = [layer.operations for layer in layers.values() if layer.role == "synapses"]
    assert sum(synapses, Operations()) == Operations(multiply_accumulates=25 * steps)


@every_lengths
@pytest.mark.parametrize("memory", [True, False])
def test_a_population_is_counted_at_every_micro_step(memory, lengths):
    inputs, outputs, population, hidden, micro_steps = 3, 2, 5, 4, 3
    actor = PopulationActor(
        inputs, outputs, neuron=lambda channels: IF(firing=Binary(0.1)), hidden=(hidden,), population=population,
        micro_steps=micro_steps, memory=memory,
    ).eval()  # fmt: skip
    x, steps = numbers(inputs), len(valid(lengths))
    layers = counted(actor, x, lengths)
    fields, rates = inputs * population, outputs * population
    assert layers["encoder"].operations == Operations(
        multiplications=2 * fields * steps, additions=fields * steps, transcendentals=fields * steps
    )
    # The network alone, over the valid observations: each in a row of its own where there is no memory.
    seen = actor.encoder(x if lengths is None else zero_padding(x, lengths))
    if memory:
        drive, shown = seen.repeat_interleave(micro_steps, 0), None if lengths is None else lengths * micro_steps
    else:
        drive = torch.stack([seen[t, n] for t, n in valid(lengths)]).expand(micro_steps, -1, -1)
        shown = None
    alone = counted(actor.network, drive, shown)
    for name, layer in alone.items():
        found = layers[f"network.{name}"]
        assert (found.operations, found.dense, found.spikes) == (layer.operations, layer.dense, layer.spikes), name
    sent = alone["layer1.neuron"].spikes
    assert sent > 0
    decoder = layers["decoder"]
    assert decoder.operations == Operations(accumulates=sent, transcendentals=outputs * steps)
    assert decoder.dense == Operations(
        multiply_accumulates=rates * steps,
        additions=(micro_steps - 1) * rates * steps,
        transcendentals=outputs * steps,
    )


@every_lengths
def test_a_recurrent_actor_multiplies_with_every_weight(lengths):
    inputs, outputs, width, steps = 3, 2, 5, len(valid(lengths))
    actor = GRUActor(inputs, outputs, width=width)
    layers = counted(actor, numbers(inputs), lengths)
    weights = actor.gru.weight_ih_l0.numel() + actor.gru.weight_hh_l0.numel()
    # A sigmoid for each of two gates and a tanh; W x + r * (U h); n + z * (h - n).
    gates = {"multiplications": 2 * width, "additions": 3 * width, "transcendentals": 3 * width}
    assert layers["gru"].operations == Operations(multiply_accumulates=weights, **gates) * steps
    head = Operations(multiply_accumulates=actor.head.weight.numel(), transcendentals=outputs)
    assert layers["head"].operations == head * steps
    assert all(layer.dense == layer.operations for layer in layers.values())


class Counted:
    """A number that tells what is done with it."""

    done: ClassVar[Counter[str]] = Counter()

    def __init__(self, value: float) -> None:
        self.value = value

    def __add__(self, other):
        Counted.done["additions"] += 1
        return Counted(self.value + getattr(other, "value", other))

    def __sub__(self, other):
        Counted.done["additions"] += 1
        return Counted(self.value - getattr(other, "value", other))

    def __mul__(self, other):
        Counted.done["multiplications"] += 1
        return Counted(self.value * getattr(other, "value", other))

    def reciprocal_root(self):
        Counted.done["transcendentals"] += 1
        return Counted(self.value**-0.5)


def relative_one_by_one(x: torch.Tensor, outputs: int, weight: torch.Tensor, from_mean: bool) -> list[list[float]]:
    """A series ``[T, C]`` of one place through a linear map of its relative values and back: counted, but for the map."""
    total, squares, mean, n, y = Counted(0.0), Counted(0.0), Counted(0.0), 0, []
    for row in x.tolist():
        values = [Counted(value) for value in row]
        of_step = sum(values[1:], values[0])
        step_mean = of_step * (1.0 / len(values))
        away = [value - step_mean for value in values]
        within = [each * each for each in away]
        moved = step_mean - mean
        squares = squares + sum(within[1:], within[0]) + moved * moved * (n * len(values) / (n + len(values)))
        total, n = total + of_step, n + len(values)
        mean = total * (1.0 / n)
        variance = (squares + 1.0) * (1.0 / (n + 1))
        root = variance.reciprocal_root()
        deviation = variance * root
        shown = [((value - mean) * root).value for value in values]
        mapped = [sum(w * s for w, s in zip(row, shown, strict=True)) for row in weight.tolist()]
        scaled = [Counted(each) * deviation for each in mapped]
        y.append([(each + mean if from_mean else each).value for each in scaled])
        assert len(y[-1]) == outputs
    return y


@every_lengths
@pytest.mark.parametrize(("channels", "outputs", "from_mean"), [(1, 1, True), (3, 2, True), (3, 2, False)])
def test_a_relative_series_is_counted_as_it_is_computed_value_by_value(channels, outputs, from_mean, lengths):
    torch.manual_seed(0)
    linear = nn.Linear(channels, outputs, bias=False)
    model = Standardised(EachPlace(Sequential({"linear": linear})), from_mean=from_mean)
    x = numbers(channels, 2) + 3.0
    layers = counted(model, x, lengths)
    y = model(x, None, lengths)[0]
    Counted.done = Counter()
    for n in range(N):
        steps = T if lengths is None else int(lengths[n])
        for place in range(2):
            expected = relative_one_by_one(x[:steps, n, :, place], outputs, linear.weight, from_mean)
            torch.testing.assert_close(y[:steps, n, :, place], torch.tensor(expected), rtol=1e-4, atol=1e-4)
    assert layers["Standardised"].operations == layers["Standardised"].dense == Operations(**Counted.done)
    assert layers["Standardised"].role == "other"
    assert layers["Standardised"].state_bytes == 2 * (4 + 4) * 2 * len(valid(lengths))
    inside = layers["module.module.linear"]
    assert inside.operations == Operations(multiply_accumulates=2 * channels * outputs * len(valid(lengths)))


@every_lengths
def test_a_forecast_from_the_last_value_is_differences_a_linear_map_and_sums(lengths):
    model, x = Sequential({"forecast": FromLast(3, 2)}), numbers(3)
    layers, steps = counted(model, x, lengths), len(valid(lengths))
    assert layers["forecast"].operations == layers["forecast"].dense == Operations(additions=(3 + 2) * steps)
    inside = layers["forecast.linear"]
    assert inside.operations == Operations(multiply_accumulates=3 * 2 * steps, additions=inside.operations.additions)


def test_spikes_are_made_relative_as_real_numbers():
    x, fire = numbers(2, 3), fires()
    parts = {"fire": fire, "pool": nn.AvgPool1d(3), "relative": Standardised(EachPlace(Sequential(nn.Linear(2, 2))))}
    layers = counted(Sequential(parts), x, None)
    assert layers["relative.module.module.0"].operations == Operations(multiply_accumulates=4 * T * N)
    assert layers["pool"].operations == Operations(accumulates=int(fire(x)[0].sum()))
