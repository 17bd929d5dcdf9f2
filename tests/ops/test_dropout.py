"""Dropout: SplitMix64 written down anew, and the same draws in every backend."""

import _gpu_support as cases
import pytest
import torch
from _support import LAYOUTS, REAL, check, gradcheck, laid_out

from spikescan import ops
from spikescan.errors import InputError

pytestmark = pytest.mark.usefixtures("poisoned")

MASK = (1 << 64) - 1


def splitmix64(seed: int, count: int) -> list[int]:
    """Outputs of the generator as published, in Python's integers."""
    outputs = []
    for _ in range(count):
        seed = (seed + 0x9E3779B97F4A7C15) & MASK
        z = ((seed ^ seed >> 30) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
        outputs.append(z ^ z >> 31)
    return outputs


def test_the_generator_is_the_published_one() -> None:
    assert splitmix64(0, 2) == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("seed", [0, 1, -1, 1 << 62, -(1 << 63)])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.93])
def test_drops_what_the_generator_says(seed: int, p: float, backend: str) -> None:
    # Over the ends of two chunks, and not a whole output of the generator.
    x = torch.randn(2, 1027)
    draws = [z >> 16 * part & 0xFFFF for z in splitmix64(seed & MASK, 514) for part in range(4)]
    dropped = round(p * 65536)
    kept = torch.tensor(draws[: x.numel()]).view(x.shape) >= dropped
    with ops.backend(backend):
        y = ops.dropout(x, p, torch.tensor(seed))
    assert torch.equal(y, torch.where(kept, x * (65536 / (65536 - dropped)), 0.0))


@pytest.mark.parametrize("p", [0.0, 2**-17, 0.3, 1.0 - 2**-18, 1.0])
@pytest.mark.parametrize("dtype", REAL)
def test_equals_the_reference(dtype: torch.dtype, p: float) -> None:
    check(cases.dropout((7, 5, 33), dtype, p=p))


@pytest.mark.parametrize("shape", [(), (0,), (1,), (33,), (3, 0, 2)])
def test_takes_any_shape(shape: tuple[int, ...]) -> None:
    check(cases.dropout(shape, torch.float32))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_takes_any_layout(layout: str) -> None:
    check(laid_out(cases.dropout((5, 3, 7), torch.float32), layout))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_gradient(backend: str) -> None:
    gradcheck(cases.dropout((3, 5), torch.float64), backend)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("p", [0.5, 1.0])
def test_what_is_dropped_is_zero_even_where_it_was_no_number(p: float, backend: str) -> None:
    x = torch.full((1000,), torch.nan)
    with ops.backend(backend):
        y = ops.dropout(x, p, torch.tensor(3))
    assert 0 < int((y == 0.0).sum()) == 1000 - int(y.isnan().sum())


def test_refuses() -> None:
    x, seed = torch.randn(3), torch.tensor(1)
    for p in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="between 0 and 1"):
            ops.dropout(x, p, seed)
    for wrong in (torch.tensor(1.0), torch.tensor([1]), torch.tensor(1, device="meta")):
        with pytest.raises(InputError, match=r"expected torch.int64 \[\] on cpu; draw it by torch.randint"):
            ops.dropout(x, 0.5, wrong)
    with pytest.raises(InputError, match="expected a floating point tensor"):
        ops.dropout(torch.arange(3), 0.5, seed)
