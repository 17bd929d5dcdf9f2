"""Kernels on several threads, called by several threads, and in forked processes: always the same result."""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from _gpu_support import relative_error
from _support import LARGE, SMALL, run
from torch.utils.data import DataLoader, Dataset

from spikescan.ops import _threads

# A kernel that forks on purpose beside the pool's threads; Python 3.12 and later warn of it.
forks = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever the number of workers of pytest, and however little there is to do."""
    monkeypatch.setattr(_threads, "MINIMUM_WORK", 1)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def assert_same(actual: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    for name, value in expected.items():
        assert torch.equal(actual[name], value), name


@pytest.mark.parametrize("steps", [1, 1000])
@pytest.mark.parametrize("neurons", [0, 1, 31, 33, 64, 65, 40_000])
@pytest.mark.usefixtures("two_threads")
def test_ranges_cover_every_neuron_once(neurons: int, steps: int) -> None:
    ranges = []
    count = _threads.parts(neurons, steps, 32)
    _threads.spread(lambda part, low, high: ranges.append((part, low, high)), neurons, 32, count)
    assert len(ranges) == count
    assert [part for part, _, _ in sorted(ranges)] == list(range(len(ranges)))
    assert [n for _, low, high in sorted(ranges) for n in range(low, high)] == list(range(neurons))
    assert all(low % 32 == 0 for _, low, _ in ranges)


def test_an_error_in_a_part_is_raised() -> None:
    def fail(part: int, low: int, high: int) -> None:
        raise ArithmeticError(part)

    with pytest.raises(ArithmeticError):
        _threads.spread(fail, 1000, 32, 2)


@pytest.mark.parametrize("op", LARGE)
@pytest.mark.usefixtures("two_threads")
def test_the_number_of_threads_changes_no_bit(op: str) -> None:
    """But of the parameters' gradients, which are sums over the parts."""
    case = LARGE[op](torch.float32)
    assert _threads.parts(993, 64, 32) == 2
    two = run(case, case.inputs)
    torch.set_num_threads(1)
    one = run(case, case.inputs)
    for name, value in one.items():
        if name in (
            "gradient of weight",
            "gradient of bias",
            "gradient of decay",
            "gradient of gain",
            "gradient of offset",
        ):
            assert relative_error(two[name], value) < 2e-6, name
        else:
            assert torch.equal(two[name], value), name


@pytest.mark.usefixtures("two_threads")
def test_several_threads_may_call_at_once() -> None:
    cases = [make(torch.float32) for make in [*LARGE.values(), *SMALL.values()]]
    expected = [run(case, case.inputs) for case in cases]
    with ThreadPoolExecutor(4) as callers:
        for _ in range(3):
            results = callers.map(lambda case: run(case, case.inputs), cases)
            for actual, each in zip(results, expected, strict=True):
                assert_same(actual, each)


FORKED = LARGE["sweep"](torch.float32)


def membrane() -> torch.Tensor:
    """A call that is cut in two, and leaves no work to the threads of torch, whose OpenMP does not survive a fork."""
    with torch.no_grad():
        return FORKED.call(**FORKED.inputs)[1]


def in_child(expected: torch.Tensor) -> None:
    assert _threads._pool is None
    assert torch.equal(membrane(), expected)
    assert _threads._pool is not None  # a pool of its own


@forks
@pytest.mark.usefixtures("two_threads")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_may_call() -> None:
    expected = membrane()
    assert _threads._pool is not None
    child = multiprocessing.get_context("fork").Process(target=in_child, args=(expected,))
    child.start()
    child.join(60)
    if child.is_alive():
        child.kill()
        pytest.fail("the forked process hangs")
    assert child.exitcode == 0


class Membranes(Dataset):
    """Samples that a kernel makes, as an encoder in a data pipeline would."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> torch.Tensor:
        torch.set_num_threads(2)  # a worker starts with one
        return membrane()


@forks
@pytest.mark.usefixtures("two_threads")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_workers_of_a_data_loader_may_call() -> None:
    expected = membrane()
    loader = DataLoader(Membranes(), num_workers=2, multiprocessing_context="fork", timeout=60)
    for batch in loader:
        assert torch.equal(batch[0], expected)
