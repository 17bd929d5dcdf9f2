"""Which backend serves, and what is said where none does."""

import importlib.util
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

import spikescan
from spikescan import DSN, LIF, BackendError, SlidingPSN, ops
from spikescan.layers import Dropout
from spikescan.ops import _dispatch

X = torch.ones(2, 1, 1)


def test_a_backend_asked_for_by_name_serves_or_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    reason = "does not serve 'cpu' tensors" if importlib.util.find_spec("triton") else "Triton is not installed"
    with spikescan.backend("gpu"), pytest.raises(BackendError, match=rf"'gpu' was requested.*{reason}.*'auto'"):
        ops.fire(X, ops.IDENTITY)


def test_an_unknown_backend_names_the_known() -> None:
    with pytest.raises(BackendError, match=r"no backend 'tpu'.*auto, reference, cpu, gpu"), spikescan.backend("tpu"):
        pass


def in_blocks() -> None:
    with spikescan.backend("reference"), spikescan.backend("cpu"):
        assert _dispatch.requested() == "cpu"
        raise ZeroDivisionError


def test_a_block_ends_with_its_backend_even_in_an_error() -> None:
    before = _dispatch.requested()
    with pytest.raises(ZeroDivisionError):
        in_blocks()
    assert _dispatch.requested() == before


@pytest.mark.parametrize(
    ("asked", "device", "chosen", "reason"),
    [
        ("auto", "cpu", "cpu", "CPU tensors"),
        ("auto", "meta", "reference", "no kernels for device type 'meta'"),
        ("reference", "cuda", "reference", "by name"),
    ],
)
def test_the_choice_comes_with_its_reason(asked: str, device: str, chosen: str, reason: str) -> None:
    choice = _dispatch.choose(asked, torch.device(device))
    assert choice.backend == chosen
    assert reason in choice.reason


def test_the_cpu_kernels_refuse_other_devices() -> None:
    with pytest.raises(BackendError, match="does not serve 'meta' tensors"):
        _dispatch.choose("cpu", torch.device("meta"))


def test_the_report_has_a_row_for_every_op() -> None:
    rows = spikescan.backend_report()
    on_cpu = [row for row in rows if row[1] == "cpu"]
    assert [op for op, *_ in on_cpu] == list(ops.OPS)
    assert all(backend == "cpu" and reason for _, _, backend, reason in on_cpu)
    with spikescan.backend("reference"):
        assert {(row[2], row[3]) for row in spikescan.backend_report()} == {("reference", "requested by name")}


@pytest.mark.parametrize(
    ("name", "says"), [("reference", "('fire', 'cpu', 'reference', 'requested by name')"), ("tpu", "no backend 'tpu'")]
)
def test_the_environment_chooses(name: str, says: str) -> None:
    code = "import spikescan; print(spikescan.backend_report())"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"SPIKESCAN_BACKEND": name},
        capture_output=True,
        text=True,
        check=False,
    )
    assert says in run.stdout + run.stderr
    assert (run.returncode == 0) == (name == "reference")


@pytest.mark.parametrize(
    "make", [lambda: DSN(4), lambda: LIF(), lambda: SlidingPSN(3), lambda: nn.Sequential(Dropout(0.5))]
)
def test_kernels_take_memory_of_the_cpu_whatever_torchs_default_device_is(make) -> None:
    module, x = make(), torch.randn(5, 2, 4)
    run = module if isinstance(module, nn.Sequential) else lambda x: module(x)[0]
    torch.manual_seed(0)
    expected = run(x)
    with torch.device("meta"):
        torch.manual_seed(0)
        assert torch.equal(run(x), expected)
        if run is not module:
            state, steps = None, []
            for x_t in x:
                y_t, state = module.step(x_t, state)
                steps.append(y_t)
            assert torch.equal(torch.cat(steps), expected.flatten(0, 1))
