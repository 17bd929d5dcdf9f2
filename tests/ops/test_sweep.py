"""A cell's kernels on the CPU equal its step on float64 tensors; what cannot be a cell is refused."""

import _gpu_support as cases
import pytest
import torch
from _support import KINDS, LAYOUTS, REAL, SHAPES, check, gradcheck, laid_out

from spikescan import ops
from spikescan.errors import InputError
from spikescan.ops import Cell, FiringSpec, Kind
from spikescan.ops.sweep import detach, exp, floor, relu, sigmoid, where

pytestmark = pytest.mark.usefixtures("poisoned")


@pytest.mark.parametrize("dtype", REAL)
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_reference(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    check(cases.sweep(shape, dtype, Kind.IDENTITY, lengths=True))


@pytest.mark.parametrize("kind", KINDS)
def test_every_firing_in_float64(kind: Kind) -> None:
    check(cases.sweep((200, 3, 17), torch.float64, kind))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_takes_any_layout(layout: str) -> None:
    check(laid_out(cases.sweep((5, 2, 3, 2), torch.float32, Kind.ATAN, lengths=True), layout))


def test_recomputing_the_states_changes_no_bit() -> None:
    kept, again = (
        cases.evaluate(case, "cpu", case.inputs)
        for case in (
            cases.sweep((63, 2, 17), torch.float32, Kind.ATAN, lengths=True, recompute=recompute)
            for recompute in (False, True)
        )
    )
    for name, value in kept.items():
        assert torch.equal(value, again[name]), name


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("steps", [0, 1, 16, 33])
def test_the_gradient_of_the_input_alone_is_the_same(steps: int, lengths: bool) -> None:
    """Where nobody asks for the others, they are not computed."""
    case = cases.sweep((steps, 3, 37), torch.float32, Kind.ATAN, lengths=lengths)
    alone = cases.evaluate(cases.of_input(case), "cpu", {"x": case.inputs["x"]})
    assert torch.equal(alone["gradient of x"], cases.evaluate(case, "cpu", case.inputs)["gradient of x"])
    check(cases.of_input(case))


def test_states_that_lead_to_no_input_have_no_gradient() -> None:
    """Of these three the first feeds itself and the spikes, the second only the third, the third only itself."""

    def step(x, state, parameters, fire):
        (v, a, b), (decay,) = state, parameters
        h = decay * v + x
        s = fire(h - detach(a))
        return s, (h, decay * a + b, decay * b + detach(s))

    cell = Cell(step, states=("v", "a", "b"), parameters=("decay",))
    _, *of_states, total = cell.input_gradient.outputs
    assert [each.op for each in (*of_states, total)] == ["mul", "constant", "constant", "total"]
    assert {node.inputs[0] for node in cell.input_gradient.nodes if node.op == "grad"} == {0, 1}


@pytest.mark.parametrize("steps", [16, 17, 160])
def test_what_is_kept_for_the_backward_is_the_input_and_few_states(steps: int) -> None:
    """Two states of each 16 steps, not of each."""
    case = cases.sweep((steps, 2, 32), torch.float32, Kind.ATAN)
    inputs = {name: tensor.requires_grad_() for name, tensor in case.inputs.items()}
    saved: dict[int, torch.Tensor] = {}
    with torch.autograd.graph.saved_tensors_hooks(
        lambda each: saved.setdefault(each.data_ptr(), each), lambda each: each
    ):
        case.call(**inputs)
    one_step, parameters = 2 * 32, 2 * 32
    expected = steps * one_step + 2 * -(-steps // 16) * one_step + 2 * one_step + parameters
    assert sum(each.numel() for each in saved.values()) <= expected


def smooth(x, state, parameters, fire):
    (v, a), (decay, gain) = state, parameters
    h = fire(decay * v + gain * x)
    return h / (2.0 + sigmoid(a)), (h - 0.5 * a, exp(-0.1 * h) * sigmoid(a) - relu(h))


SMOOTH = Cell(smooth, states=("v", "a"), parameters=("decay", "gain"))


def calling(cell: Cell, kind: Kind) -> cases.Case:
    """A cell on the inputs of `cases.sweep`."""

    def call(x, decay, gain, membrane, trace):
        spikes, state = ops.sweep(cell, x, (decay, gain), firing=cases.FIRINGS[kind], state=(membrane, trace))
        return spikes, *state

    case = cases.sweep((5, 2, 3), torch.float64, kind)
    return cases.Case(call, case.inputs, case.outputs)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_gradients_are_those_of_finite_differences(backend: str) -> None:
    gradcheck(calling(SMOOTH, Kind.IDENTITY), backend)


# What a step is built of, in orders that nobody wrote; each step takes one of each of these, on values chosen by a seed.
UNARY = [relu, sigmoid, floor, detach, lambda a: -a, lambda a: exp(-(a * a)), lambda a: 1.0 / (1.5 + a * a)]
BINARY = [
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: 0.5 * a * b,
    lambda a, b: where(a > b, a, 0.5),
    lambda a, b: where(a <= 0.1, b, a),
    lambda a, b: 0.3 * a * b + a,
    lambda a, b: a - 0.2 * b * b,
]


@pytest.mark.parametrize("seed", range(4))
def test_any_step_equals_its_reference(seed: int) -> None:
    """Traced, differentiated and compiled, against torch's autograd on the same function."""
    chosen = torch.randint(0, 840, (8, 3), generator=torch.Generator().manual_seed(seed)).tolist()

    def step(x, state, parameters, fire):
        values = [x, *state, *parameters]
        for one, two, index in chosen:
            a, b = values[index % len(values)], values[-1 - one % 3]
            values.append(BINARY[two % len(BINARY)](UNARY[one % len(UNARY)](a), b))
        s = fire(values[-1])
        return s, (sigmoid(values[-2] - s), 0.5 * state[1] + 0.1 * values[-1])

    check(calling(Cell(step, states=("v", "a"), parameters=("decay", "gain")), Kind.ATAN))


def test_a_cell_that_changed_has_another_key() -> None:
    def first(x, state, parameters, fire):
        return fire(x), (state[0] * parameters[0],)

    def second(x, state, parameters, fire):
        return fire(x), (state[0] + parameters[0],)

    def key(step):
        return Cell(step, states=("v",), parameters=("p",)).key

    assert key(first) == key(first) != key(second)


def test_a_program_reads_as_a_list_of_operations() -> None:
    def step(x, state, parameters, fire):
        return fire(x), (state[0] * parameters[0],)

    program = str(Cell(step, states=("v",), parameters=("p",)).program).splitlines()
    assert program == ["%0 = x", "%1 = fire %0", "%2 = state 0", "%3 = parameter 0", "%4 = mul %2 %3", "return %1 %4"]


def test_what_cannot_be_a_cell_is_refused() -> None:
    def branches(x, state, parameters, fire):
        return (fire(x) if x > 0.0 else x), state

    def forgets(x, state, parameters, fire):
        return fire(x), ()

    with pytest.raises(InputError, match="cannot branch"):
        Cell(branches, states=("v",), parameters=("p",))
    with pytest.raises(InputError, match="returned 0 states, expected 1: v"):
        Cell(forgets, states=("v",), parameters=("p",))
    with pytest.raises(InputError, match="a name or more"):
        Cell(forgets, states=(), parameters=("p",))


def test_other_numbers_of_states_and_parameters_are_refused() -> None:
    x, one = torch.zeros(2, 1, 3), torch.zeros(3)
    with pytest.raises(InputError, match="1 parameters were given, but the cell has 2: decay, gain"):
        ops.sweep(SMOOTH, x, (one,), firing=ops.IDENTITY)
    with pytest.raises(InputError, match="1 states were given, but the cell has 2: v, a"):
        ops.sweep(SMOOTH, x, (one, one), firing=ops.IDENTITY, state=(None,))


def test_the_membranes_are_what_fires() -> None:
    def step(x, state, parameters, fire):
        h = parameters[0] * state[0] + parameters[1] * x
        s = fire(h)
        return s, (h - s,)

    cell = Cell(step, states=("v",), parameters=("decay", "gain"))
    spec = FiringSpec(Kind.ATAN, 0.3, 2.0)
    inputs = cases.sweep((9, 2, 3), torch.float64, Kind.ATAN).inputs
    x, parameters, state = inputs["x"], (inputs["decay"], inputs["gain"]), (inputs["membrane"],)
    spikes, _ = ops.sweep(cell, x, parameters, firing=spec, state=state)
    membranes = ops.sweep_membranes(cell, x, parameters, firing=spec, state=state)
    assert torch.equal(ops.fire(membranes, spec), spikes)


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("layout", ["contiguous", "transposed"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_one_step_is_the_sequence_of_one(dtype: torch.dtype, layout: str, backend: str) -> None:
    """Bit by bit, whether the tensors are plain enough for the short way or not."""
    inputs = cases.sweep((1, 3, 5, 2), dtype, Kind.ATAN).inputs
    if layout == "transposed":
        inputs = {name: tensor.movedim(0, -1).contiguous().movedim(-1, 0) for name, tensor in inputs.items()}
    x, decay, gain, membrane, trace = inputs.values()
    options = {"firing": cases.FIRINGS[Kind.ATAN], "state": (membrane, trace)}
    with ops.backend(backend):
        spikes, state = ops.sweep(cases.EVERYTHING, x, (decay, gain), **options)
        spikes_t, state_t = ops.sweep_step(cases.EVERYTHING, x[0], (decay, gain), **options)
    for actual, expected in zip((spikes_t, *state_t), (spikes[0], *state), strict=True):
        assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
        assert torch.equal(actual, expected)


def test_constants_of_one_step_are_parameters_that_never_change() -> None:
    x, decay, gain, membrane, trace = cases.sweep((1, 3, 5), torch.float32, Kind.ATAN).inputs.values()
    options = {"firing": cases.FIRINGS[Kind.ATAN], "state": (membrane, trace)}
    for constants in ((0.75, 0.3), (0.75, torch.tensor(0.3)), (0.75, gain), (decay, 0.3)):
        whole = tuple(torch.as_tensor(each, dtype=torch.float32).expand(5) for each in constants)
        spikes, state = ops.sweep(cases.EVERYTHING, x, whole, **options)
        spikes_t, state_t = ops.sweep_step(cases.EVERYTHING, x[0], constants, **options)
        assert all(map(torch.equal, (spikes_t, *state_t), (spikes[0], *state)))


def test_one_step_has_gradients() -> None:
    def step(x, decay, gain, membrane, trace):
        spikes, state = ops.sweep_step(SMOOTH, x, (decay, gain), firing=ops.IDENTITY, state=(membrane, trace))
        return spikes, *state

    inputs = cases.sweep((1, 3, 5), torch.float64, Kind.IDENTITY).inputs
    gradcheck(cases.Case(step, inputs | {"x": inputs["x"][0]}, ("spikes", "membrane", "trace")), "cpu")
