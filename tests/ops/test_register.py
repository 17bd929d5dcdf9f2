"""Every kernel is a good citizen of torch: its operators pass `opcheck`, and `torch.compile` takes it whole."""

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from _support import SMALL, run
from torch import Tensor
from torch.autograd import forward_ad

from spikescan import InputError, ops

OPS = list(SMALL)


def recorded(op: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """The operators that a forward and backward pass call, and with what."""
    module = importlib.import_module(f"spikescan.ops.{op}")
    calls = []
    for name in ("_kernel", "_kernel_backward"):
        if not hasattr(module, name):
            continue  # dropout's gradient is another call of its kernel
        kernel = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, kernel=kernel: calls.append((kernel.op, args)) or kernel(*args))
    case = SMALL[op](torch.float32)
    run(case, case.inputs)
    for kernel, args in calls:
        yield kernel, tuple(arg.detach().clone() if isinstance(arg, Tensor) else arg for arg in args)


@pytest.mark.parametrize("op", OPS)
def test_operators_pass_opcheck(op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (forward, args), (backward, grad_args) = recorded(op, monkeypatch)
    leaves = tuple(a.requires_grad_() if isinstance(a, Tensor) and a.is_floating_point() else a for a in args)
    torch.library.opcheck(forward, leaves)
    # Nobody differentiates twice, so a backward operator has no gradient of its own.
    torch.library.opcheck(backward, grad_args, test_utils=("test_schema", "test_faketensor"))


@pytest.mark.parametrize("op", OPS)
def test_compiles_as_one_graph(op: str) -> None:
    case = SMALL[op](torch.float32)
    torch.compiler.reset()  # which counts how often this line was compiled
    compiled = torch.compile(lambda inputs: case.call(**inputs), fullgraph=True, backend="aot_eager")
    expected = run(case, case.inputs)
    names = list(case.inputs)
    actual = run(type(case)(lambda **inputs: compiled(inputs), case.inputs, case.outputs), case.inputs)
    assert list(actual) == [*case.outputs, *(f"gradient of {name}" for name in names)]
    for name, value in expected.items():
        assert torch.equal(actual[name], value), name


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("learns", [False, True], ids=["plain", "learns"])
@pytest.mark.parametrize("op", OPS)
def test_runs_under_vmap(op: str, learns: bool) -> None:
    case = SMALL[op](torch.float64)
    several = {name: torch.stack([x, 2 * x]).requires_grad_(learns) for name, x in case.inputs.items()}
    names = list(several)
    found = torch.vmap(lambda *inputs: case.call(**dict(zip(names, inputs, strict=True))))(*several.values())
    for index in range(2):
        expected = case.call(**{name: x[index] for name, x in several.items()})
        for one, other in zip(found, expected, strict=True):
            assert torch.equal(one[index], other)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's own
@pytest.mark.parametrize("op", OPS)
def test_a_derivative_that_there_is_not_is_refused(op: str) -> None:
    """Torch itself gives none in forward mode, without a word, and one of zeros for `jvp`."""
    case = SMALL[op](torch.float32)
    names, tensors = list(case.inputs), tuple(case.inputs.values())

    def call(*inputs: Tensor) -> Tensor:
        return case.call(**dict(zip(names, inputs, strict=True)))[0]

    def dual() -> None:
        with forward_ad.dual_level():
            call(*(forward_ad.make_dual(x, torch.ones_like(x)) for x in tensors))

    for derive in (
        dual,
        torch.no_grad()(dual),
        lambda: torch.func.jvp(call, tensors, tensors),
        lambda: torch.func.grad(lambda *inputs: call(*inputs).sum())(*tensors),
    ):
        with pytest.raises(InputError, match=r"no derivative for torch.func .* none in forward mode"):
            derive()


def test_a_gradient_of_part_of_the_outputs() -> None:
    """The gradients of outputs that nobody used arrive as None."""
    for name, make in SMALL.items():
        case = make(torch.float64)
        for used in range(len(case.outputs)):
            grads = []
            for backend in ("cpu", "reference"):
                leaves = {each: tensor.clone().requires_grad_() for each, tensor in case.inputs.items()}
                with ops.backend(backend):
                    case.call(**leaves)[used].sum().backward()
                grads.append({each: leaf.grad for each, leaf in leaves.items()})
            for each, grad in grads[1].items():
                actual = grads[0][each]
                message = f"{name}: gradient of {each} from {case.outputs[used]}"
                torch.testing.assert_close(
                    torch.zeros_like(grad) if actual is None else actual, grad, rtol=1e-12, atol=1e-12, msg=message
                ) if grad is not None else None
