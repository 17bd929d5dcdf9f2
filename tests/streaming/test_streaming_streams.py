"""Streams: what they answer, come and go, are saved and refused."""

import os
import stat

import pytest
import torch
from safetensors.torch import save_file
from streaming_cases import a_model
from torch import nn

from spikescan.errors import CheckpointError, InputError
from spikescan.layers import MaxReadout, Sequential
from spikescan.neurons import LIF
from spikescan.neurons.base import Temporal
from spikescan.streaming import stream


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
