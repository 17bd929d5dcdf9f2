"""Laws 5 and 6: backends agree, and what every torch module can do works."""

import copy
import pickle

import pytest
import torch
from law_cases import (
    CASES,
    NEURONS,
    WITH_GRADIENT,
    assert_same,
    assert_same_state,
    gradients,
    model,
    neuron,
    normal,
    tensors,
)

from spikescan import ops

everything = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@pytest.mark.parametrize("case", NEURONS, ids=lambda case: case.name)
@pytest.mark.parametrize("shape", [(0, 2, 3), (1, 1, 1), (63, 3, 17), (127, 2, 3, 2, 2)], ids=str)
def test_the_cpu_kernels_equal_the_reference(case, shape):
    x = normal(shape, 0, torch.float64)
    module = case.module(x)
    results = {}
    for backend in ("reference", "cpu"):
        with ops.backend(backend):
            y, state = module(x)
            states = {f"state {index}": tensor for index, tensor in enumerate(tensors(state))}
            results[backend] = {"output": y} | states | gradients(module, x)
    for name, expected in results["reference"].items():
        assert_same(results["cpu"][name], expected, exact=False, what=name)


@pytest.mark.parametrize("case", [case for case in CASES if not case.truncates], ids=lambda case: case.name)
def test_compiles_as_one_graph(case):
    x = case.input().requires_grad_()
    module = case.module(x)
    y, state = module(x)
    torch.compiler.reset()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    compiled_y, compiled_state = compiled(x)
    assert_same(compiled_y, y, exact=case.exact, what="output")
    assert_same_state(compiled_state, state, exact=case.exact)
    compiled_y.sum().backward()


# Said by the compiler itself about a carried state that has a gradient.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("case", WITH_GRADIENT, ids=lambda case: case.name)
def test_carried_state_compiles_as_one_graph(case):
    x = case.input(dtype=torch.float64).requires_grad_()
    module = case.module(x)
    torch.compiler.reset()
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    y, _ = module(x)
    _, state = module(x[:4])
    later, _ = compiled(x[4:], state)
    assert_same(later, y[4:], exact=False, what="output")
    (expected,) = torch.autograd.grad(y[4:].sum(), x)
    (gradient,) = torch.autograd.grad(later.sum(), x)
    assert_same(gradient, expected, exact=False, what="gradient")


@pytest.mark.parametrize("case", WITH_GRADIENT, ids=lambda case: case.name)
def test_step_compiles_as_one_graph(case):
    x = case.input()
    module = case.module(x)
    torch.compiler.reset()
    step = torch.compile(module.step, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        y, state = step(x[0])
        y_next, _ = step(x[1], state)
        expected, _ = module(x[:2])
    assert_same(torch.stack([y, y_next]), expected, exact=case.exact, what="output")


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # inductor's own
@pytest.mark.parametrize("case", [neuron("dsn"), model("mlp")], ids=lambda case: case.name)
def test_compiles_with_inductor(case):
    x = case.input(dtype=torch.float64)
    module = case.module(x)
    torch.compiler.reset()
    y, _ = torch.compile(module, fullgraph=True)(x)
    assert_same(y, module(x)[0], exact=False, what="output")


# nn.RMSNorm is slower, not wrong, on what autocast hands it.
@pytest.mark.filterwarnings("ignore:Mismatch dtype between input and weight")
@everything
def test_runs_under_autocast(case):
    x = case.input(dtype=torch.float32)
    module = case.module(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, state = module(x.requires_grad_())
    assert all(tensor.dtype in (torch.float32, torch.int64) for tensor in tensors(state))
    y.float().square().sum().backward()
    assert x.grad.isfinite().all()


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda module: pickle.loads(pickle.dumps(module)),
}


@everything
@pytest.mark.parametrize("duplicate", COPIES.values(), ids=COPIES.keys())
def test_copies_are_equal_and_apart(case, duplicate):
    x = case.input(dtype=torch.float32)
    module = case.module(x)
    y, _ = module(x)
    other = duplicate(module)
    assert torch.equal(other(x)[0], y)
    for parameter in other.parameters():
        parameter.data.zero_()
    assert torch.equal(module(x)[0], y)


def assigned(module):
    module.load_state_dict(copy.deepcopy(module.state_dict()), assign=True)
    return module


REMADE = COPIES | {
    "assigned": assigned,
    "moved": lambda module: module.to("meta").to_empty(device="cpu"),
    "of a copy": lambda module: assigned(copy.deepcopy(module)),
}


@everything
@pytest.mark.parametrize("remake", REMADE.values(), ids=REMADE.keys())
def test_parameters_stay_spared_from_weight_decay(case, remake):
    def spared(module):
        return {name for name, each in module.named_parameters() if getattr(each, "no_weight_decay", False)}

    module = case.module(case.input())
    assert spared(remake(module)) == spared(case.module(case.input()))


@everything
def test_states_are_pickled(case):
    x = case.input(dtype=torch.float32)
    module = case.module(x)
    _, state = module(x)
    assert_same_state(pickle.loads(pickle.dumps(state)), state, exact=True)


@everything
def test_state_dict_carries_everything(case):
    x = case.input(dtype=torch.float32)
    module, other = case.module(x, seed=0), case.module(x, seed=1)
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(x)[0], module(x)[0])


@everything
def test_moves_to_float64(case):
    x = case.input(dtype=torch.float32)
    module = case.module(x).to(torch.float64)
    y, state = module(x.double())
    assert y.dtype == torch.float64
    assert all(tensor.dtype in (torch.float64, torch.int64) for tensor in tensors(state))


@pytest.mark.parametrize("case", NEURONS, ids=lambda case: case.name)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_rounds_input_and_parameters_alone(case, dtype):
    """What is made of them is float32: a bfloat16 decay near 1 would lose its leak."""
    x = normal((63, 2, 3), 0, torch.float32).to(dtype)
    module = case.module(x)
    wide = copy.deepcopy(module).double()
    pairs = [(module.trace(x)["membrane"], wide.trace(x.double())["membrane"])]
    pairs += zip(tensors(module(x)[1]), tensors(wide(x.double())[1]), strict=True)
    for got, expected in pairs:
        torch.testing.assert_close(got.to(expected.dtype), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", NEURONS, ids=lambda case: case.name)
@pytest.mark.parametrize("shape", [(0, 2, 3), (4, 0, 3), (4, 2, 3, 0)], ids=str)
def test_nothing_has_a_trace_of_nothing(case, shape):
    x = torch.zeros(shape, dtype=case.dtype)
    assert case.module(x).trace(x)["membrane"].shape == x.shape


@pytest.mark.parametrize("case", NEURONS, ids=lambda case: case.name)
def test_a_view_that_torch_has_yet_to_negate_is_read_right(case):
    values = normal((6, 2, 3), 0, case.dtype)
    lazy = torch.complex(values, -values).conj().imag
    assert lazy.is_neg()
    module = case.module(values)
    assert torch.equal(module(lazy)[0], module(values)[0])


@everything
def test_the_default_dtype_is_that_of_all_parameters(case):
    torch.set_default_dtype(torch.float64)
    try:
        module = case.build(3, 6)
    finally:
        torch.set_default_dtype(torch.float32)
    floating = [each for each in module.state_dict().values() if each.is_floating_point()]
    assert all(each.dtype == torch.float64 for each in floating)
