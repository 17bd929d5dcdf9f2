import copy
import gc
import os
import pickle
import stat
import weakref

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from spikescan.errors import CheckpointError, InputError
from spikescan.layers import LeakyReadout, MaxReadout, PerStep, RateReadout, Residual, Scale, Sequential, Window
from spikescan.models import mlp
from spikescan.neurons import DSN, LIF, ParametricLIF, SlidingPSN, StaticDSN
from spikescan.neurons.base import Temporal, map_state
from spikescan.ops import backend
from spikescan.streaming import stream


class Noisy(nn.Module):
    """Adds numbers that it draws, in evaluation too."""

    def forward(self, x):
        return x + torch.rand_like(x)


def a_model(width=4):
    torch.manual_seed(0)
    return Sequential(nn.Linear(3, width), LeakyReadout(width), nn.Linear(width, 2), RateReadout()).double().eval()


@pytest.fixture(params=["compiled", "part by part"])
def model(request):
    model = a_model()
    if request.param == "part by part":
        model[0].module.register_forward_hook(lambda *call: None)
    return model


@pytest.fixture
def x():
    return torch.randn(8, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_pushing_is_the_forward_run(model, x):
    live = stream(model, batch=3)
    y = torch.stack([live.push(x_t) for x_t in x])
    torch.testing.assert_close(y, model(x)[0])
    assert not y.requires_grad


def test_one_stream_has_no_batch_axis(model, x):
    live = stream(model)
    y = torch.stack([live.push(x_t) for x_t in x[:, 0]])
    torch.testing.assert_close(y, model(x[:, :1])[0].squeeze(1))


def test_streams_come_and_go(model, x):
    """Each stream gives what it would give alone, whenever the others start, restart or leave."""
    live = stream(model, batch=1)
    live.push(x[0, :1])
    live.add(2)
    live.push(x[1])
    live.reset(1)
    live.push(x[2])
    live.remove(0)
    assert len(live) == 2
    y = live.push(x[3, 1:])
    alone = [model(x[2:4, 1:2])[0][-1], model(x[1:4, 2:3])[0][-1]]
    torch.testing.assert_close(y, torch.cat(alone))


def test_reset_starts_all_again(model, x):
    live = stream(model, batch=3)
    first = live.push(x[0])
    live.push(x[1])
    live.reset()
    assert torch.equal(live.push(x[0]), first)


def test_all_streams_may_leave(model, x):
    live = stream(model, batch=1)
    live.push(x[0, :1])
    live.remove(0)
    assert live.push(x[1, :0]).shape == (0, 2)
    live.add()
    torch.testing.assert_close(live.push(x[2, :1]), model(x[2:3, :1])[0][0])


def test_streams_may_come_before_the_first_input(model, x):
    live = stream(model, batch=1)
    live.add(3)
    live.remove(2)
    live.reset(1)
    torch.testing.assert_close(live.push(x[0]), model(x[:1])[0][0])


def test_a_refused_input_changes_nothing(model, x):
    live, other = stream(model, batch=3), stream(model, batch=3)
    live.push(x[0])
    other.push(x[0])
    with pytest.raises(InputError, match=r"x_t is \[2, 3\], expected \[3, C, \*\]"):
        live.push(x[1, :2])
    assert torch.equal(live.push(x[1]), other.push(x[1]))


@pytest.mark.parametrize("wrong", [torch.zeros(2, 5), torch.zeros(2, 3, dtype=torch.float64)], ids=["shape", "dtype"])
def test_a_refused_input_is_no_part_of_what_comes_later(wrong, tmp_path):
    """A bare neuron takes any channels and either dtype at rest; its state is of one kind."""
    live = stream(LIF().eval(), batch=2)
    live.push(torch.ones(2, 3))
    with pytest.raises(InputError):
        live.push(wrong)
    live.reset(0)
    live.add()
    y_t = live.push(torch.ones(3, 3))
    assert y_t.dtype == torch.float32
    with pytest.raises(InputError):
        live.push(wrong.new_zeros(3, wrong.shape[1]))
    live.save(tmp_path / "streams")
    again = stream(LIF().eval(), batch=1)
    again.load(tmp_path / "streams")
    assert torch.equal(again.push(torch.ones(3, 3)), live.push(torch.ones(3, 3)))


class OnlyWhole(Temporal):
    streamable = False

    def forward(self, x, state=None, lengths=None):
        return x, ()

    def step(self, x_t, state=None):
        raise InputError("OnlyWhole needs the future; use MaxReadout.")

    def initial_state(self, x_t):
        return ()


def partly_training():
    model = Sequential(nn.Linear(3, 3), nn.Dropout(), MaxReadout()).eval()
    model[1].module.train()
    return model


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: Sequential({"a": nn.Linear(3, 3), "b": Sequential({"c": OnlyWhole()})}).eval(), r"b\.c .*MaxReadout"),
        (lambda: OnlyWhole().eval(), r"the model cannot.*MaxReadout"),
        (lambda: MaxReadout().train(), r"training mode.*eval\(\)"),
        (lambda: partly_training(), r"1\.module is in training mode.*eval\(\)"),
        (lambda: nn.Linear(3, 3).eval(), r"not a temporal module.*Sequential"),
    ],
    ids=["inner part", "whole", "training", "a part in training", "plain module"],
)
def test_a_model_that_cannot_stream_is_refused_at_once(wrong, message):
    with pytest.raises(InputError, match=message):
        stream(wrong())


def test_what_is_no_tensor_is_named(model, x):
    with pytest.raises(InputError, match=r"x_t is a ndarray, expected a Tensor; call torch\.as_tensor"):
        stream(model, batch=3).push(x[0].numpy())


def test_training_mode_is_noticed_later_too(model, x):
    live = stream(model, batch=3)
    live.push(x[0])
    model.train()
    with pytest.raises(InputError, match="training mode"):
        live.push(x[1])


@pytest.mark.parametrize(
    "call",
    [
        lambda live: live.reset(2),
        lambda live: live.remove(-1),
        lambda live: live.add(-1),
        lambda live: stream(live.model, batch=-1),
        lambda live: stream(live.model).add(),
        lambda live: stream(live.model).remove(0),
    ],
)
def test_calls_that_make_no_sense_are_refused(call):
    with pytest.raises(InputError, match="stream"):
        call(stream(a_model(), batch=2))


def test_a_saved_run_goes_on_elsewhere(model, x, tmp_path):
    live = stream(model, batch=3)
    for x_t in x[:5]:
        live.push(x_t)
    live.save(tmp_path / "state")
    other = stream(model, batch=1)
    other.load(tmp_path / "state")
    assert len(other) == 3
    for x_t in x[5:]:
        assert torch.equal(other.push(x_t), live.push(x_t))


def test_a_saved_run_at_rest_goes_on_too(model, x, tmp_path):
    live = stream(model)
    y = live.push(x[0, 0])
    live.reset()
    live.save(tmp_path / "state")
    live.push(x[1, 0])
    live.load(tmp_path / "state")
    assert torch.equal(live.push(x[0, 0]), y)


def test_nothing_is_saved_before_the_first_input(model, tmp_path):
    with pytest.raises(InputError, match="nothing has been pushed"):
        stream(model).save(tmp_path / "state")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def saved(model, x, tmp_path):
    live = stream(model, batch=3)
    live.push(x[0])
    live.save(tmp_path / "state")
    return tmp_path / "state"


def test_a_failed_save_leaves_the_old_file(model, x, saved, monkeypatch):
    before = saved.read_bytes()
    live = stream(model, batch=3)
    live.push(x[1])

    def full_disk(descriptor):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space left"):
        live.save(saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_the_saved_file_has_the_usual_permissions(saved):
    plain = saved.with_name("plain")
    plain.touch()
    assert stat.S_IMODE(saved.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_a_damaged_file_is_named(model, saved):
    saved.write_bytes(saved.read_bytes()[:-5])
    with pytest.raises(CheckpointError, match="truncated"):
        stream(model, batch=1).load(saved)


def test_a_missing_file_is_named(model, tmp_path):
    with pytest.raises(CheckpointError, match="no file"):
        stream(model).load(tmp_path / "state")


def test_a_foreign_file_is_named(model, tmp_path):
    save_file(model.state_dict(), tmp_path / "weights")
    with pytest.raises(CheckpointError, match=r"not written by Streams\.save"):
        stream(model).load(tmp_path / "weights")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: a_model(width=5), r"state\.1\.membrane is \[3, 4\] .* and \[3, 5\]"),
        (lambda: Sequential(nn.Linear(3, 4), MaxReadout()).double().eval(), r"state\.1\.maximum is missing"),
        (lambda: Sequential(nn.Linear(7, 4), MaxReadout()).double().eval(), r"it took input \[B, 3\]"),
    ],
    ids=["other width", "other parts", "other input"],
)
def test_the_state_of_another_model_is_named(saved, other, message):
    live = stream(other(), batch=1)
    with pytest.raises(CheckpointError, match=message):
        live.load(saved)
    assert len(live) == 1


@pytest.mark.parametrize(
    "header", [{}, {"streams": "1"}, {"streams": "a", "input": "{}"}, {"streams": "1", "input": "[]"}]
)
def test_a_damaged_header_is_named(tmp_path, header):
    save_file({"a": torch.zeros(1)}, tmp_path / "state", {"format": "spikescan.streams.1", **header})
    with pytest.raises(CheckpointError, match="what it says of its streams cannot be read"):
        stream(a_model()).load(tmp_path / "state")


def test_several_streams_do_not_fit_into_one(model, saved):
    with pytest.raises(CheckpointError, match=r"holds 3 streams; load it into stream\(model, batch=3\)"):
        stream(model).load(saved)


# --- the compiled step -----------------------------------------------------------------------------------------------


COMPILED = {
    "DSN": lambda: DSN(3),
    "LIF": lambda: LIF(),
    "ParametricLIF": lambda: ParametricLIF(),
    "SlidingPSN": lambda: SlidingPSN(3),
    "mlp": lambda: mlp(3, 2, neuron=DSN, width=5, norm="batch", window=2, dropout=0.5),
    "mlp, membrane": lambda: mlp(3, 2, neuron=DSN, width=5, residual="membrane", norm="rms", readout="leaky"),
    "twice": lambda: Sequential(nn.Sequential(twice := nn.Linear(3, 3), nn.Identity(), twice), DSN(3)),
    "modules": lambda: Sequential(nn.Sequential(nn.Linear(3, 4), nn.Identity(), Scale(4)), DSN(4), MaxReadout()),
    "shortcut": lambda: Residual(Sequential(nn.Linear(3, 4), DSN(4)), nn.Linear(3, 4)),
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
        (lambda: a_model(), 17, "17 streams, not 1 to 16"),
    ],
    ids=["module", "neuron", "many"],
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
