"""What all tests share: how many examples hypothesis tries, how many threads run, memory that shows what nobody wrote."""

import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, settings
from torch import Tensor

# `ci` (the default) tries the same examples each time; HYPOTHESIS_PROFILE=deep looks for new ones.
settings.register_profile("ci", derandomize=True, max_examples=12, deadline=None, database=None)
settings.register_profile(
    "deep", max_examples=200, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# Two threads, so that kernels are cut in parts; workers of pytest-xdist share the cores already.
torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker of pytest-xdist takes all laws of one case, and all other tests of a file.

    Their neighbours need the same kernels: two workers would compile each at the same time.
    """
    for item in items:
        callspec = getattr(item, "callspec", None)
        case = callspec.params.get("case") if callspec else None
        group = item.path.name if case is None else getattr(case, "name", str(case))
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unwritten memory is NaN, so that a kernel that forgets to write shows it."""

    def filled(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def make_filled(*args: Any, **kwargs: Any) -> Tensor:
            tensor = make(*args, **kwargs)
            return tensor.fill_(float("nan")) if tensor.is_floating_point() or tensor.is_complex() else tensor

        return make_filled

    for owner, name in ((torch, "empty"), (torch, "empty_like"), (Tensor, "new_empty")):
        monkeypatch.setattr(owner, name, filled(getattr(owner, name)))
