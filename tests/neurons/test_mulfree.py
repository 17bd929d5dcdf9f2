"""The multiplication-free PSN: its quantiser, its batch norm, its dilations; and its integer twin, bit for bit."""

import copy
import itertools
import pickle

import pytest
import torch
from torch import Tensor, nn

import spikescan
from spikescan import Binary, InputError, Integer, MulFreePSN, PerStep, Sequential, ShiftPSN, ops, sawtooth, to_shift
from spikescan.data import Split
from spikescan.neurons import create_neuron, set_dilations
from spikescan.neurons.mulfree import _power_of_two
from spikescan.training.statistics import refresh_statistics

FIRINGS = [Binary(), Integer(4)]


def trained(
    channels: int = 17, *, k: int = 4, dilation: int = 1, firing: Binary | Integer | None = None, seed: int = 0
) -> MulFreePSN:
    """In evaluation mode, with parameters and statistics as training might leave them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        neuron = MulFreePSN(channels, kernel_size=k, dilation=dilation, firing=firing)
        neuron.norm.weight.data.uniform_(0.5, 2.0)
        neuron.norm.bias.data += 0.3 * torch.randn(channels)
        neuron.norm.running_mean.normal_(0.0, 0.3)
        neuron.norm.running_var.uniform_(0.5, 2.0)
        neuron.weight.data = neuron.weight.detach().abs().clamp(min=0.02) * torch.randn(channels, k).sign()
    return neuron.eval()


class TestQuantiser:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_it_rounds_the_logarithm(self, dtype: torch.dtype) -> None:
        weight = torch.tensor([1.0, 1.4, 1.5, -0.7, -0.71, 3.0, 0.3, 2.0**-40], dtype=dtype)
        expected = torch.tensor([1.0, 1.0, 2.0, -0.5, -1.0, 4.0, 0.25, 2.0**-40], dtype=dtype)
        assert torch.equal(_power_of_two(weight), expected)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_it_turns_at_the_root_of_one_half(self, dtype: torch.dtype) -> None:
        """The two numbers on either side of it, at any exponent; w^2 > 1/2 is decided in whole numbers."""
        near = torch.tensor(0.5, dtype=torch.float64).sqrt().to(dtype)
        below = torch.nextafter(near, torch.zeros_like(near))
        for value in (below, near, torch.nextafter(near, torch.ones_like(near))):
            above = int(value.double() * 2**60) ** 2 > 2**119
            for exponent in (-30, 0, 30):
                scaled = value * 2.0**exponent
                assert float(_power_of_two(scaled)) == (1.0 if above else 0.5) * 2.0**exponent

    def test_zero_stays_zero_and_learns(self) -> None:
        weight = torch.tensor([0.0, -0.0, 0.4], requires_grad=True)
        quantised = _power_of_two(weight)
        quantised.backward(torch.tensor([1.0, 2.0, 3.0]))
        assert torch.equal(quantised, torch.tensor([0.0, 0.0, 0.5]))
        assert torch.equal(weight.grad, torch.tensor([1.0, 2.0, 3.0]))

    def test_a_silent_filter_has_finite_gradients(self) -> None:
        neuron = MulFreePSN(3)
        neuron.weight.data.zero_()
        neuron(torch.randn(9, 2, 3))[0].sum().backward()
        assert all(parameter.grad.isfinite().all() for parameter in neuron.parameters())

    def test_every_fused_weight_is_a_power_of_two(self) -> None:
        taps, _ = trained(1037).fused()
        assert torch.equal(torch.frexp(taps).mantissa.abs(), torch.full_like(taps, 0.5))


class TestBatchNorm:
    def test_it_starts_as_in_the_paper(self) -> None:
        neuron = MulFreePSN(3)
        assert torch.equal(neuron.norm.weight.detach(), torch.ones(3))
        assert torch.equal(neuron.norm.bias.detach(), -torch.ones(3))
        assert neuron.weight.shape == (3, 4)
        assert torch.equal(MulFreePSN(2, firing=Binary(0.5)).norm.bias.detach(), torch.full((2,), -0.5))
        assert not MulFreePSN(2, firing=Integer(2)).norm.bias.any()

    def test_it_is_normalised_in_training(self) -> None:
        """The unquantised membrane has deviation 1; powers of two are within a factor of sqrt(2) of it."""
        neuron = MulFreePSN(3, firing=Integer(4))
        membrane = neuron.trace(50.0 * torch.randn(400, 4, 3))["membrane"]
        assert 0.5 < float(membrane.std()) < 2.0

    def test_frozen_statistics_are_used_in_training(self) -> None:
        neuron, x = trained(3), torch.randn(9, 2, 3)
        expected, _ = neuron(x)
        neuron.train().norm.eval()
        before = copy.deepcopy(neuron.state_dict())
        assert torch.equal(neuron(x)[0], expected)
        assert all(torch.equal(value, before[name]) for name, value in neuron.state_dict().items())

    @pytest.mark.parametrize(("shape", "lengths"), [((0, 2, 3), None), ((4, 0, 3), None), ((4, 2, 3), [0, 0])])
    def test_nothing_is_learnt_from_nothing(self, shape: tuple[int, ...], lengths: list[int] | None) -> None:
        neuron = trained(3).train()
        before = copy.deepcopy(neuron.state_dict())
        y, _ = neuron(torch.randn(shape), None, None if lengths is None else torch.tensor(lengths))
        assert y.shape == shape
        assert not y.any()
        assert all(torch.equal(value, before[name]) for name, value in neuron.state_dict().items())

    def test_a_single_value_has_no_variance(self) -> None:
        with pytest.raises(InputError, match=r"\[1, 1, 3\].*no variance.*eval\(\)"):
            MulFreePSN(3).step(torch.randn(1, 3))

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_narrow_input_is_measured_in_float32(self, dtype: torch.dtype) -> None:
        x = torch.randn(50, 4, 3).to(dtype)
        narrow, wide = MulFreePSN(3), MulFreePSN(3)
        wide.load_state_dict(narrow.state_dict())
        assert narrow(x)[0].dtype == dtype
        assert torch.equal(narrow(x)[0].float(), wide(x.float())[0])

    def test_training_measures_its_statistics_anew(self) -> None:
        inputs = torch.randn(64, 5, 3, generator=torch.Generator().manual_seed(0)) + 1.0
        neuron = MulFreePSN(3, kernel_size=2)
        split = Split(inputs, torch.zeros(64, dtype=torch.int64))
        refresh_statistics(Sequential(neuron), split, batch_size=64, seed=0, device=torch.device("cpu"))
        current, _ = ops.causal_conv(inputs.transpose(0, 1), neuron.weight.detach())
        torch.testing.assert_close(neuron.norm.running_mean, current.mean((0, 1)))
        torch.testing.assert_close(neuron.norm.running_var, current.var((0, 1)))

    def test_it_learns(self) -> None:
        """The sum of the loss falls: surrogate, quantiser and statistics pass gradients that point downhill."""
        torch.manual_seed(0)
        neuron, teacher = MulFreePSN(4, kernel_size=2), trained(4, k=2)
        optimiser = torch.optim.Adam(neuron.parameters(), lr=0.02)
        losses = []
        for _ in range(120):
            x = torch.randn(32, 8, 4)
            loss = (neuron(x)[0] - teacher(x)[0].detach()).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        assert sum(losses[-20:]) < 0.6 * sum(losses[:20])


class TestDilations:
    def test_they_are_a_sawtooth(self) -> None:
        assert sawtooth(7, 3) == [1, 2, 3, 1, 2, 3, 1]
        assert sawtooth(3, 1) == [1, 1, 1]
        assert sawtooth(0, 2) == []

    def test_a_network_is_given_them_in_order(self) -> None:
        model = spikescan.create_model("mlp", inputs=2, outputs=3, width=4, depth=5, norm="none", neuron=MulFreePSN)
        set_dilations(model, sawtooth(5, 3))
        assert [model.parts[f"block{i}"].parts["neuron"].dilation for i in range(5)] == [1, 2, 3, 1, 2]

    def test_as_an_option(self) -> None:
        neuron = create_neuron("mulfree_psn", 3, options={"dilation": 2, "kernel_size": 3})
        assert neuron.initial_state(torch.zeros(5, 3)).window.shape == (5, 4, 3)
        assert neuron.cost() == spikescan.Cost(shifts=3, additions=3, state_bytes=16)

    @pytest.mark.parametrize(
        ("call", "said"),
        [
            (lambda: sawtooth(3, 0), "limit 0"),
            (lambda: MulFreePSN(3, dilation=0), "dilation 0"),
            (lambda: MulFreePSN(3, kernel_size=0), "kernel_size 0"),
            (lambda: set_dilations(Sequential(MulFreePSN(3)), [1, 2]), r"\[1, 2\] for the 1 MulFreePSN.*sawtooth\(1"),
            (lambda: set_dilations(Sequential(MulFreePSN(3)), [0]), "at least 1"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, call: object, said: str) -> None:
        with pytest.raises(InputError, match=said):
            call()


def whole_numbers(shape: tuple[int, ...], largest: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(-largest, largest + 1, shape, generator=generator)


class TestShift:
    """Integers and floating point agree in every bit."""

    @pytest.mark.parametrize("firing", FIRINGS, ids=["binary", "integer"])
    @pytest.mark.parametrize("shape", [(0, 2, 17), (1, 1, 17), (2, 3, 17), (127, 3, 17, 2), (1000, 2, 17)], ids=str)
    @pytest.mark.parametrize(("k", "dilation"), [(1, 1), (4, 1), (3, 5)])
    def test_on_spike_counts(self, shape: tuple[int, ...], k: int, dilation: int, firing: Binary | Integer) -> None:
        neuron = trained(k=k, dilation=dilation, firing=firing)
        counts = whole_numbers(shape, 4).clamp(min=0)
        expected, _ = neuron(counts.float())
        assert shape[0] < 100 or 0.02 < float((expected > 0).float().mean()) < 0.9
        for spikes in (counts, counts.int(), counts.to(torch.uint8), counts.float(), counts.double()):
            got, state = neuron.to_shift()(spikes)
            assert got.dtype == spikes.dtype
            assert torch.equal(got.float(), expected)
            assert state.window.dtype == torch.int32

    @pytest.mark.parametrize("firing", FIRINGS, ids=["binary", "integer"])
    @pytest.mark.parametrize(
        ("bits", "dtype"), [(1, torch.float32), (8, torch.float32), (11, torch.float32), (24, torch.float64)]
    )
    def test_on_fixed_point(self, bits: int, firing: Binary | Integer, dtype: torch.dtype) -> None:
        """Up to the largest input that it takes, where the floating point sum uses every bit that it has."""
        neuron = trained(firing=firing).to(dtype)
        shift = neuron.to_shift(bits)
        for largest in (3 * 2**bits, int(shift.limit.min())):
            fixed = whole_numbers((300, 4, 17), largest)
            x = fixed.to(dtype) / 2**bits
            expected, _ = neuron(x)
            assert torch.equal(shift(x)[0], expected)
            assert torch.equal(shift(fixed)[0].to(dtype), expected)

    @pytest.mark.parametrize("backend", ["reference", "cpu"])
    @pytest.mark.parametrize("firing", [Binary(), Binary(0.3), Integer(1), Integer(3)], ids=str)
    def test_on_every_sum_near_a_threshold(self, backend: str, firing: Binary | Integer) -> None:
        """One tap of 1: the input is the sum, on a grid as fine as float32 and at biases on, beside and off it."""
        bits = 20
        biases = torch.tensor([-1.0, -1.0 - 2**-23, -1.0 + 2**-24, -0.3, 0.7, 2**-30, -(2**-30), 0.0, 1e-3, -7.9999999])
        neuron = MulFreePSN(len(biases), kernel_size=1, firing=firing).eval()
        with torch.no_grad():
            neuron.weight.fill_(1.0)
            neuron.norm.bias.copy_(biases)
        levels = [0.0] if isinstance(firing, Binary) else [level + 0.5 for level in range(firing.levels)]
        offsets = torch.arange(-9, 10)
        fixed = torch.stack([(((level - biases) * 2**bits).round() + offset) for level in levels for offset in offsets])
        x = (fixed / 2**bits).unsqueeze(1)
        with ops.backend(backend):
            expected, _ = neuron(x)
        got, _ = neuron.to_shift(bits)(x)
        assert torch.equal(got, expected)
        assert 0 < expected.count_nonzero() < expected.numel()

    def test_the_bias_is_added_to_the_exact_sum(self) -> None:
        """Were it added first, its last bits would be lost beside 2^10, and the spike with them."""
        neuron = MulFreePSN(1, kernel_size=2).eval()
        with torch.no_grad():
            neuron.weight.copy_(torch.tensor([[1.0, 1.0]]))
            neuron.norm.bias.fill_(-(2.0**-20))
        x = torch.tensor([1024.0, -1024.0]).view(2, 1, 1)
        for run in (neuron, neuron.to_shift()):
            assert run(x)[0].flatten().tolist() == [1.0, 0.0]

    def test_a_tap_of_zero_and_a_channel_without_taps(self) -> None:
        neuron = trained(3)
        neuron.weight.data[0, 1] = 0.0
        neuron.weight.data[1:] = 0.0
        neuron.norm.bias.data[1:] = torch.tensor([-1.0, 1.0])
        neuron.norm.running_mean.zero_()
        x = whole_numbers((50, 2, 3), 3)
        expected, _ = neuron(x.float())
        assert torch.equal(neuron.to_shift()(x)[0].float(), expected)
        assert not expected[..., 1].any()
        assert expected[..., 2].all()

    @pytest.mark.parametrize("lengths", [None, [31, 0, 12]])
    def test_any_split_and_padding(self, lengths: list[int] | None) -> None:
        shift = trained(dilation=2).to_shift(4)
        x = whole_numbers((31, 3, 17), 40) / 16
        valid = None if lengths is None else torch.tensor(lengths)
        if lengths is not None:
            for sample, length in enumerate(lengths):
                x[length:, sample] = float("nan")
        y, state = shift(x, None, valid)
        for sample in range(3):
            end = 31 if lengths is None else lengths[sample]
            assert not y[end:, sample].any()
            alone, carried = [], None
            for x_t in x[: end // 2, sample : sample + 1].unbind():
                y_t, carried = shift.step(x_t, carried)
                alone.append(y_t.unsqueeze(0))
            rest, carried = shift(x[end // 2 : end, sample : sample + 1], carried)
            assert torch.equal(torch.cat([*alone, rest]), y[:end, sample : sample + 1])
            assert torch.equal(carried.window, state.window[sample : sample + 1])

    def test_copies_and_state_dicts(self) -> None:
        shift, x = trained().to_shift(), whole_numbers((20, 2, 17), 3)
        other = trained(seed=1).to_shift()
        other.load_state_dict(shift.state_dict())
        for copied in (copy.deepcopy(shift), pickle.loads(pickle.dumps(shift)), other):
            assert torch.equal(copied(x)[0], shift(x)[0])
        assert not list(shift.parameters())
        assert shift.cost() == trained().cost()

    def test_it_compiles_as_one_graph(self) -> None:
        shift, x = trained().to_shift(2), whole_numbers((9, 2, 17), 9) / 4
        torch.compiler.reset()
        got, _ = torch.compile(shift, fullgraph=True, backend="aot_eager")(x)
        assert torch.equal(got, shift(x)[0])

    @pytest.mark.parametrize("firing", FIRINGS, ids=["binary", "integer"])
    def test_its_trace_fires_where_it_does(self, firing: Binary | Integer) -> None:
        neuron = trained(firing=firing)
        x = whole_numbers((50, 2, 17), 3).float()
        shift = neuron.to_shift()
        membrane = shift.trace(x)["membrane"]
        assert torch.equal(neuron.firing(membrane) > 0, shift(x)[0] > 0)
        largest_unit = float(shift.unit.max())
        torch.testing.assert_close(membrane, neuron.trace(x)["membrane"], rtol=0, atol=largest_unit)

    def test_a_state_that_does_not_fit_is_refused(self) -> None:
        shift, x = trained(3).to_shift(), torch.zeros(4, 2, 3)
        _, state = shift(x)
        with pytest.raises(InputError, match=r"window.*torch\.float32.*torch\.int32"):
            shift(x, type(state)(state.window.float()))
        with pytest.raises(InputError, match=r"MulFreePSNState.*ShiftPSNState"):
            shift(x, trained(3)(x)[1])
        with pytest.raises(InputError, match="C = 3"):
            shift(torch.zeros(4, 2, 5))

    def test_input_that_would_not_be_exact_is_refused(self) -> None:
        shift = trained(3).to_shift(2)
        with pytest.raises(InputError, match=r"no multiples of 2\^-2.*more fraction_bits"):
            shift(torch.full((1, 1, 3), 0.125))
        with pytest.raises(InputError, match="no multiples"):
            shift(torch.full((1, 1, 3), float("nan")))
        for sign in (1, -1):
            with pytest.raises(InputError, match="beyond its limit"):
                shift(sign * (shift.limit + 1).view(1, 1, 3))
            shift(sign * shift.limit.view(1, 1, 3))

    def test_weights_that_cannot_be_exact_are_refused(self) -> None:
        apart, tiny, infinite = trained(3), trained(3), trained(3)
        apart.weight.data[2, 0] = 2.0**-26
        tiny.weight.data[1] = 2.0**-125
        infinite.weight.data[0, 0] = float("inf")
        with pytest.raises(InputError, match=r"channel 2 has taps.*24 bits.*negligible taps to zero"):
            apart.to_shift()
        with pytest.raises(InputError, match=r"channel 1 .* 20 fraction bits"):
            tiny.to_shift(20)
        with pytest.raises(InputError, match="power of two, and a finite bias"):
            infinite.to_shift()
        with pytest.raises(InputError, match="fraction_bits is -1"):
            trained(3).to_shift(-1)


class TestNetwork:
    def network(self, bits: int) -> Sequential:
        """Weights of the linear layers on a grid of 2^-bits."""
        torch.manual_seed(0)
        model = Sequential(
            {
                "in": PerStep(nn.Linear(9, 32)),
                "first": trained(32, dilation=1, firing=Integer(4)),
                "block": Sequential(nn.Linear(32, 32), trained(32, dilation=2, seed=1)),
                "out": nn.Linear(32, 5),
            }
        )
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, nn.Linear):
                    for parameter in module.parameters():
                        parameter.copy_((4.0 * parameter * 2**bits).round() / 2**bits)
        return model.eval()

    def test_its_spikes_and_outputs_are_equal(self) -> None:
        bits = 6
        model = self.network(bits)
        shifted = to_shift(model, bits)
        kinds = [type(module).__name__ for module in shifted.modules()]
        assert (kinds.count("ShiftPSN"), kinds.count("MulFreePSN")) == (2, 0)
        assert isinstance(model.parts["first"], MulFreePSN)
        x = whole_numbers((200, 6, 9), 3).float()
        spikes: dict[str, list[Tensor]] = {}
        for name, network in (("float", model), ("shift", shifted)):
            for neuron in spikescan.neurons.spiking_neurons(network).values():
                neuron.register_forward_hook(lambda _, __, out, name=name: spikes.setdefault(name, []).append(out[0]))
        with torch.no_grad():
            expected, _ = model(x)
            got, state = shifted(x)
            for mine, theirs in zip(spikes["shift"], spikes["float"], strict=True):
                assert torch.equal(mine, theirs)
                assert 0.02 < float((mine > 0).float().mean()) < 0.9
            assert torch.equal(got, expected)
            carried = None
            for t, x_t in enumerate(itertools.islice(x, 20)):
                y_t, carried = shifted.step(x_t, carried)
                assert torch.equal(y_t, expected[t])
        streams = spikescan.stream(shifted, batch=6)
        assert torch.equal(streams.push(x[0]), expected[0])
        assert len(state) == 4

    def test_a_bare_neuron_and_its_training_mode(self) -> None:
        neuron = trained(3).train()
        shift = to_shift(neuron)
        assert isinstance(shift, ShiftPSN)
        assert not shift.training
        assert neuron.training
        assert not to_shift(Sequential(neuron)).training

    def test_what_cannot_be_converted_is_named(self) -> None:
        with pytest.raises(InputError, match="Sequential has no MulFreePSN"):
            to_shift(Sequential(nn.Linear(2, 2)))
        model = self.network(6)
        model.parts["block"][1].weight.data[3, 0] = 2.0**-40
        with pytest.raises(InputError, match=r"block\.1: .*channel 3"):
            to_shift(model)
