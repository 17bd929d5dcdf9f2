"""The compiled step of a stream: which models have one, and that it is the model's own step."""

import copy
import gc
import pickle
import weakref

import pytest
import torch
from streaming_cases import a_model
from torch import nn

from spikescan.errors import InputError
from spikescan.layers import MaxReadout, PerStep, RateReadout, Residual, Scale, Sequential, SpikeAttention, Window
from spikescan.models import causal_transformer, mlp, spiking_ssm
from spikescan.neurons import DSN, LIF, PMSN, MulFreePSN, ParametricLIF, SlidingPSN, StaticDSN
from spikescan.neurons.base import map_state
from spikescan.ops import backend
from spikescan.streaming import stream


class Noisy(nn.Module):
    """Adds numbers that it draws, in evaluation too."""

    def forward(self, x):
        return x + torch.rand_like(x)


COMPILED = {
    "DSN": lambda: DSN(3),
    "LIF": lambda: LIF(),
    "ParametricLIF": lambda: ParametricLIF(),
    "SlidingPSN": lambda: SlidingPSN(3),
    "MulFreePSN": lambda: MulFreePSN(3),
    "PMSN": lambda: PMSN(3, compartments=3),
    "mlp": lambda: mlp(3, 2, neuron=DSN, width=5, norm="batch", window=2, dropout=0.5),
    "mlp, membrane": lambda: mlp(3, 2, neuron=DSN, width=5, residual="membrane", norm="rms", readout="leaky"),
    "twice": lambda: Sequential(nn.Sequential(twice := nn.Linear(3, 3), nn.Identity(), twice), DSN(3)),
    "modules": lambda: Sequential(nn.Sequential(nn.Linear(3, 4), nn.Identity(), Scale(4)), DSN(4), MaxReadout()),
    "shortcut": lambda: Residual(Sequential(nn.Linear(3, 4), DSN(4)), nn.Linear(3, 4)),
    "transformer": lambda: causal_transformer(3, 2, neuron=DSN, width=6, depth=1, heads=2),
    "state space": lambda: spiking_ssm(3, 2, neuron=DSN, width=5, depth=1, states=12),
    "space": lambda: Sequential(nn.Unflatten(1, (3, 1, 1)), nn.BatchNorm2d(3), DSN(3), nn.Flatten(), nn.Linear(3, 2)),
}


def built(name):
    torch.manual_seed(0)
    module = COMPILED[name]()
    with torch.no_grad():
        for tensor in [*module.parameters(), *module.buffers()]:
            if tensor.is_floating_point():
                tensor += 0.2 * torch.rand_like(tensor)
    return module.double().eval()


@pytest.mark.parametrize("name", [name for name in COMPILED if name != "space"])
@pytest.mark.parametrize("batch", [None, 2])
def test_known_parts_are_compiled(name, batch, x):
    module = built(name)
    live = stream(module, batch)
    inputs = x[:, 0] if batch is None else x[:, :2]
    y = torch.stack([live.push(x_t) for x_t in inputs])
    assert live.not_compiled is None
    torch.testing.assert_close(y, module(x[:, :2])[0][:, 0] if batch is None else module(x[:, :2])[0])
    assert not y.requires_grad


@pytest.mark.parametrize(
    ("make", "batch", "reason"),
    [
        (lambda: built("space"), 2, "0.module is a Unflatten"),
        (lambda: Sequential(nn.Linear(3, 4), StaticDSN(4)).double().eval(), 2, "1 is a StaticDSN"),
        (lambda: MulFreePSN(3, dilation=2).double().eval(), 2, "a MulFreePSN of dilation 2"),
        (
            lambda: SpikeAttention(DSN(3), Sequential(nn.Linear(3, 1), DSN(1)), DSN(3), DSN(3)).double().eval(),
            2,
            "the model multiplies [2, 1] by [2, 3]",
        ),
        (lambda: a_model(), 17, "17 streams, not 1 to 16"),
    ],
    ids=["module", "neuron", "dilation", "shapes", "many"],
)
def test_others_run_part_by_part_and_say_why(make, batch, reason):
    module = make()
    x = torch.randn(4, batch, 3, dtype=torch.float64)
    live = stream(module, batch)
    torch.testing.assert_close(torch.stack([live.push(x_t) for x_t in x]), module(x)[0])
    assert reason in live.not_compiled


def test_a_backend_that_is_asked_for_is_used(model, x):
    live = stream(model, batch=3)
    with backend("reference"):
        live.push(x[0])
    assert "reference" in live.not_compiled


def test_a_backend_that_is_asked_for_later_is_used_too_and_only_as_long(x):
    live = stream(built("DSN"), batch=3)
    live.push(x[0])
    with backend("reference"):
        live.push(x[1])
        assert "reference" in live.not_compiled
    live.push(x[2])
    assert live.not_compiled is None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        live.push(x[3])
        assert "autocast" in live.not_compiled
    live.push(x[4])
    assert live.not_compiled is None


def test_streams_leave_no_machine_code_behind(x):
    module = a_model()
    programs = []
    for _ in range(3):
        live = stream(module, batch=3)
        live.push(x[0])
        programs.append(weakref.ref(live._last[2]._run._program))
        del live
    gc.collect()
    assert [program() for program in programs] == [None] * 3


def test_what_is_no_number_stays_the_largest(x):
    module = Sequential(nn.Linear(3, 2), MaxReadout()).double().eval()
    live = stream(module, batch=3)
    x[1, 0, 0] = torch.nan
    y = torch.stack([live.push(x_t) for x_t in x])
    torch.testing.assert_close(y, module(x)[0], equal_nan=True)
    assert y[1:, 0].isnan().all()


def test_the_first_push_draws_nothing(x):
    live = stream(Sequential(nn.Linear(3, 2), Noisy()).double().eval(), batch=3)
    torch.manual_seed(3)
    first = live.push(x[0]) - live.model[0].step(x[0])[0]
    torch.manual_seed(3)
    torch.testing.assert_close(first, torch.rand_like(first))


def test_another_number_of_streams_is_another_input(x):
    live = stream(PerStep(nn.Linear(3, 2)).double().eval(), batch=2)
    live.push(x[0, :2])
    live.add()
    with pytest.raises(InputError, match=r"expected \[3, C, \*\]"):
        live.push(x[1, :2])


def test_weights_that_count_no_changes_are_named(x):
    with torch.inference_mode():
        live = stream(Sequential(nn.Linear(3, 2), DSN(2)).double().eval(), batch=3)
    live.push(x[0])
    assert "0.module.weight was made in torch.inference_mode()" in live.not_compiled


def test_hooks_are_called(model, x):
    seen = []
    model[0].module.register_forward_hook(lambda *call: seen.append(call))
    live = stream(model, batch=3)
    live.push(x[0])
    assert len(seen) == 1
    assert "hooks" in live.not_compiled


@pytest.mark.parametrize("change", ["in place", "state dict", "moved"])
@pytest.mark.parametrize("name", ["ParametricLIF", "mlp", "SlidingPSN"])
def test_changed_weights_are_seen(name, change, x):
    """Derived numbers too, such as the table of a decay or the folded statistics of a batch norm; the state is kept."""
    module = built(name)
    live = stream(module, batch=3)
    y = [live.push(x_t) for x_t in x[:4]]
    _, state = module(x[:4])
    changed = {key: value * 0.5 for key, value in module.state_dict().items()}
    with torch.no_grad():
        if change == "in place":
            for key, value in [*module.named_parameters(), *module.named_buffers()]:
                value.copy_(changed[key])
        elif change == "state dict":
            module.load_state_dict(changed)
        else:
            for parameter in module.parameters():
                parameter.data = parameter.data * 0.5
    y = torch.stack([live.push(x_t) for x_t in x[4:]])
    torch.testing.assert_close(y, module(x[4:], state)[0])
    assert live.not_compiled is None


@pytest.mark.parametrize("change", ["assigned", "replaced", "freed"])
def test_replaced_weights_are_seen(change, x):
    module = built("mlp")
    linear = module.parts["head"].module
    live = stream(module, batch=3)
    live.push(x[0])
    _, state = module(x[:1])
    for _ in range(3):
        changed = {
            key: value * 0.5 if value.is_floating_point() else value for key, value in module.state_dict().items()
        }
        if change == "assigned":
            module.load_state_dict(changed, assign=True)
        elif change == "replaced":
            linear.weight, linear.bias = (nn.Parameter(each.detach() * 0.5) for each in (linear.weight, linear.bias))
        else:  # the next one may come to lie where the last one lay
            linear.weight.data = linear.weight.detach() * 0.5
        y, after = live.push(x[1]), live._state
        torch.testing.assert_close(y, module(x[1:2], state)[0][0])
        state = map_state(torch.clone, after)
    linear.bias = None
    torch.testing.assert_close(live.push(x[2]), module(x[2:3], state)[0][0])
    assert live.not_compiled is None


WINDOWED = {
    "window": lambda: Sequential(Window(3, 4), nn.Linear(12, 4), DSN(4, kernel_size=5), MaxReadout()),
    "sliding": lambda: Sequential(nn.Linear(3, 4), SlidingPSN(6), LIF(), RateReadout()),
}


@pytest.mark.parametrize("name", WINDOWED)
def test_a_compiled_step_and_one_by_parts_carry_one_state(name, x):
    """Whatever is done to the state of several streams between pushes, which may be stored in another order."""
    torch.manual_seed(0)
    module = WINDOWED[name]().double().eval()
    whole, parts = stream(module, batch=3), stream(module, batch=3)
    parts._compiled_step = lambda x_t: None
    changes = [lambda s: s.reset(1), lambda s: s.remove(0), lambda s: s.add(), lambda s: s.reset(0)]
    for t, x_t in enumerate(x):
        torch.testing.assert_close(whole.push(x_t[: len(whole)]), parts.push(x_t[: len(parts)]))
        if t % 2:
            for live in (whole, parts):
                changes[t // 2](live)
    for mine, other in zip(whole._state, parts._state, strict=True):
        for a, b in zip(mine, other, strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda live: pickle.loads(pickle.dumps(live))])
def test_a_copy_goes_its_own_way(copied, x):
    live = stream(built("mlp"), batch=3)
    live.push(x[0])
    other = copied(live)
    y = [live.push(x[1]), live.push(x[2])]
    assert torch.equal(other.push(x[1]), y[0])
    assert torch.equal(other.push(x[2]), y[1])


def test_inference_mode_may_begin_and_end(x):
    module = built("mlp")
    live = stream(module, batch=3)
    with torch.inference_mode():
        y = [live.push(x[0])]
    y.append(live.push(x[1]))
    with torch.inference_mode():
        y.append(live.push(x[2]))
    torch.testing.assert_close(torch.stack(y), module(x[:3])[0])


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.repeat_interleave(2, dim=-1)[..., ::2],
        lambda x: x.flip(-1).flip(-1).t().contiguous().t(),
        lambda x: torch.complex(torch.zeros_like(x), -x).conj().imag,
        lambda x: x.clone().requires_grad_(),
    ],
    ids=["strided", "transposed", "negated lazily", "requires grad"],
)
def test_input_of_any_layout(x, view):
    plain, viewed = stream(a_model(), batch=3), stream(a_model(), batch=3)
    for x_t in x:
        assert torch.equal(viewed.push(view(x_t)), plain.push(x_t))
    assert viewed.not_compiled is None


def test_an_output_stays_as_it_was(x):
    live = stream(built("DSN"), batch=3)
    y = live.push(x[0])
    kept = y.clone()
    live.push(x[1])
    assert torch.equal(y, kept)


def test_input_of_another_kind_is_refused_by_the_model_in_its_own_words(x):
    live = stream(built("DSN"), batch=3)
    live.push(x[0])
    with pytest.raises(InputError, match="DSN"):
        live.push(x[1, :, :2])
    assert live.push(x[1]).shape == (3, 3)


@pytest.mark.parametrize("name", ["DSN", "mlp", "modules"])
def test_the_first_input_is_checked_too(name):
    with pytest.raises((InputError, RuntimeError)):
        stream(built(name), batch=2).push(torch.randn(2, 4, dtype=torch.float64))


def test_weights_that_lie_scattered_are_read_right(x):
    module = Sequential(nn.Linear(3, 3), DSN(3)).double().eval()
    module[1].weight.data = module[1].weight.data.t().contiguous().t()
    live = stream(module, batch=3)
    torch.testing.assert_close(torch.stack([live.push(x_t) for x_t in x]), module(x)[0])
    assert "1.weight is not contiguous" in live.not_compiled
