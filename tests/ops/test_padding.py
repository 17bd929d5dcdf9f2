"""Beyond the lengths: steps that do not count, whatever is there."""

import math

import _gpu_support as cases
import pytest
import torch

from spikescan.errors import InputError
from spikescan.ops._padding import valid_steps, zero_padding

pytestmark = pytest.mark.usefixtures("poisoned")


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("steps", [1, 7, 63])
@pytest.mark.parametrize("op", cases.PADDED)
def test_what_is_no_number_counts_for_nothing(op: str, steps: int, backend: str) -> None:
    cases.check_padding(op, (steps, 3, 17), backend)


def test_valid_steps_and_zeros_beyond_them() -> None:
    x = torch.tensor([[1.0, math.nan], [2.0, math.inf]])
    assert valid_steps(x, torch.tensor([2, 0])).tolist() == [[True, False], [True, False]]
    assert zero_padding(x, torch.tensor([2, 0])).tolist() == [[1.0, 0.0], [2.0, 0.0]]
    assert zero_padding(x, None) is x
    with pytest.raises(InputError, match="lengths"):
        zero_padding(x, torch.tensor([3, 0]))
