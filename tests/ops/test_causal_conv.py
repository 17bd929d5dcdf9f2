"""The causal convolution on the CPU equals the float64 reference, and torch's own convolution."""

import _gpu_support as cases
import pytest
import torch
from _support import KINDS, LAYOUTS, REAL, SHAPES, check, check_spikes, gradcheck, laid_out, wide

from spikescan import ops
from spikescan.ops import Kind

pytestmark = pytest.mark.usefixtures("poisoned")


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_reference(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    check(cases.causal_conv(shape, dtype, Kind.ATAN))


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("k", "dilation"), [(1, 1), (2, 3), (4, 1), (3, 7)])
def test_every_filter(k: int, dilation: int, shared: bool, lengths: bool) -> None:
    case = cases.causal_conv(
        (9, 2, 17, 2), torch.float32, Kind.ATAN, k=k, dilation=dilation, shared=shared, lengths=lengths
    )
    check(case)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_firing(kind: Kind) -> None:
    check(cases.causal_conv((7, 3, 5), torch.float32, kind))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shared", [False, True])
def test_takes_any_layout(shared: bool, layout: str) -> None:
    check(laid_out(cases.causal_conv((5, 2, 3, 2), torch.float32, Kind.ATAN, shared=shared), layout))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_gradients_are_those_of_finite_differences(shared: bool, lengths: bool, backend: str) -> None:
    case = cases.causal_conv((5, 2, 3), torch.float64, Kind.IDENTITY, k=3, dilation=2, shared=shared, lengths=lengths)
    gradcheck(case, backend)


@pytest.mark.parametrize("dilation", [1, 3])
def test_equals_the_convolution_of_torch(dilation: int) -> None:
    x, weight = torch.randn(20, 2, 3, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    y, _ = ops.causal_conv(x, weight, dilation=dilation)
    past = torch.nn.functional.pad(x.permute(1, 2, 0), (3 * dilation, 0))
    expected = torch.nn.functional.conv1d(past, weight.unsqueeze(1), groups=3, dilation=dilation)
    torch.testing.assert_close(y, expected.permute(2, 0, 1), rtol=1e-12, atol=1e-12)


def test_spikes_differ_only_within_rounding_of_a_threshold() -> None:
    case = cases.causal_conv((63, 8, 129), torch.float32, Kind.INTEGER)
    with ops.backend("cpu"):
        spikes, _ = case.call(**case.inputs)
    with ops.backend("reference"):
        membrane, _ = cases.causal_conv((63, 8, 129), torch.float32, Kind.IDENTITY).call(**wide(case.inputs))
    check_spikes(spikes, membrane, cases.FIRINGS[Kind.INTEGER])


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("layout", ["contiguous", "transposed"])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(
    ("k", "dtype"), [(4, torch.float32), (1, torch.float32), (3, torch.float64), (2, torch.bfloat16)]
)
def test_one_step_is_the_sequence_of_one(k: int, dtype: torch.dtype, shared: bool, layout: str, backend: str) -> None:
    """Bit by bit, whether the tensors are plain enough for the short way or not."""
    inputs = cases.causal_conv((1, 3, 5, 2), dtype, Kind.ATAN, k=k, shared=shared).inputs
    if layout == "transposed":
        inputs = {name: tensor.movedim(0, -1).contiguous().movedim(-1, 0) for name, tensor in inputs.items()}
    firing = cases.FIRINGS[Kind.ATAN]
    with ops.backend(backend):
        sequence = ops.causal_conv(**inputs, firing=firing)
        one = ops.causal_conv_step(inputs.pop("x")[0], **inputs, firing=firing)
    for actual, expected in zip(one, (sequence[0].squeeze(0), sequence[1]), strict=True):
        assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
        assert torch.equal(actual, expected)


def test_one_step_has_gradients() -> None:
    def step(x, weight, bias, window):
        return ops.causal_conv_step(x, weight, bias, window=window)

    inputs = cases.causal_conv((1, 3, 5), torch.float64, Kind.IDENTITY).inputs
    gradcheck(cases.Case(step, inputs | {"x": inputs["x"][0]}, ("y", "window")), "cpu")
