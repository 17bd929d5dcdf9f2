"""The methods of a reset beside the sweep: the same gradients, states, padding and streams; what they refuse."""

import pytest
import torch
from torch import Tensor

from spikescan import InputError
from spikescan.firing import Binary, Integer
from spikescan.neurons import IF, LIF, LIFState, Neuron, ParametricLIF
from spikescan.neurons.parallel_reset import (
    decoupled_spikes,
    fixed_point_spikes,
    potential_by_fft,
    speculative_spikes,
)
from spikescan.ops import linear_recurrence

METHODS = [
    ("soft", "decoupled"),
    ("soft", "fixed_point"),
    ("soft", "speculative"),
    ("hard", "speculative"),
]
MAKERS = [
    lambda **options: LIF(firing=Binary(0.6), **options),
    lambda **options: LIF(20.0, firing=Integer(3), **options),
    ParametricLIF,
]
methods = pytest.mark.parametrize(("reset", "method"), METHODS)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return 2.0 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def results(neuron: Neuron, x: Tensor, lengths: Tensor | None = None) -> dict[str, Tensor]:
    """Spikes, state and the gradients of x, the state and the parameters, of a projection of both outputs."""
    neuron = neuron.to(x.dtype)
    x = x.clone().requires_grad_()
    membrane = (0.3 * normal(*x.shape[1:], seed=1, dtype=x.dtype)).requires_grad_()
    spikes, state = neuron(x, LIFState(membrane), lengths)
    loss = (spikes * normal(*x.shape, seed=2, dtype=x.dtype)).sum()
    loss = loss + (state.membrane * normal(*x.shape[1:], seed=3, dtype=x.dtype)).sum()
    leaves = {"x": x, "state": membrane} | dict(neuron.named_parameters())
    grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
    found = {f"gradient of {name}": grad for name, grad in zip(leaves, grads, strict=True)}
    return {"spikes": spikes.detach(), "membrane": state.membrane.detach()} | found


def assert_close(got: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-12) -> None:
    for name, tensor in expected.items():
        bound = tolerance * max(float(tensor.abs().max()), 1.0) if tensor.numel() else 0.0
        torch.testing.assert_close(
            got[name], tensor, rtol=0.0, atol=bound, msg=lambda text, name=name: f"{name}: {text}"
        )


@methods
@pytest.mark.parametrize("detach_reset", [True, False])
@pytest.mark.parametrize("make", MAKERS)
def test_all_that_the_sweep_gives(make: type[LIF], detach_reset: bool, reset: str, method: str) -> None:
    x = 3.0 * normal(127, 2, 5)
    options = {"reset": reset, "detach_reset": detach_reset}
    expected = results(make(**options), x)
    assert 0 < expected["spikes"].count_nonzero() < x.numel()
    assert_close(results(make(method=method, **options), x), expected)


@methods
@pytest.mark.parametrize("shape", [(0, 2, 3), (1, 1, 1), (2, 0, 3), (63, 2, 3, 2, 2)], ids=str)
def test_awkward_shapes(shape: tuple[int, ...], reset: str, method: str) -> None:
    x = normal(*shape)
    assert_close(results(LIF(reset=reset, method=method), x), results(LIF(reset=reset), x))


@methods
def test_memory_in_another_order(reset: str, method: str) -> None:
    x = normal(5, 33, 4).transpose(0, 1)
    assert_close(results(LIF(reset=reset, method=method), x), results(LIF(reset=reset), x.contiguous()))


@methods
def test_padding(reset: str, method: str) -> None:
    x, lengths = normal(40, 4, 3), torch.tensor([0, 40, 1, 17])
    padded = torch.where((torch.arange(40).unsqueeze(1) < lengths).unsqueeze(-1), x, torch.nan)
    neuron = LIF(reset=reset, method=method)
    assert_close(results(neuron, padded, lengths), results(LIF(reset=reset), x, lengths))


@methods
def test_a_stream_goes_on_with_any_method(reset: str, method: str) -> None:
    """The state is the membrane, whatever computed it."""
    x = normal(60, 2, 3)
    expected, final = LIF(reset=reset)(x)
    first, state = LIF(reset=reset, method=method)(x[:23])
    second, state = LIF(reset=reset)(x[23:31], state)
    third, state = LIF(reset=reset, method=method)(x[31:], state)
    torch.testing.assert_close(torch.cat([first, second, third]), expected, rtol=0, atol=0)
    torch.testing.assert_close(state.membrane, final.membrane, rtol=0, atol=1e-13)


@methods
@pytest.mark.parametrize("make", [LIF, IF])
def test_a_step_has_the_bits_of_the_sweep(make: type[LIF], reset: str, method: str) -> None:
    state = other = None
    for x_t in normal(50, 2, 5, dtype=torch.float32):
        y_t, state = make(reset=reset, method=method).step(x_t, state)
        expected, other = make(reset=reset).step(x_t, other)
        assert torch.equal(y_t, expected)
        assert torch.equal(state.membrane, other.membrane)


@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_speculation_has_the_bits_of_the_sweep(reset: str, dtype: torch.dtype) -> None:
    x = 3.0 * normal(150, 3, 17, dtype=torch.float32).to(dtype)
    expected, final = LIF(7.0, reset=reset)(x)
    neuron = LIF(7.0, reset=reset, method="speculative")
    spikes, state = neuron(x)
    assert spikes.dtype == dtype
    assert torch.equal(spikes, expected)
    assert torch.equal(state.membrane, final.membrane)
    first, state = neuron(x[:77])
    second, state = neuron(x[77:], state)
    assert torch.equal(torch.cat([first, second]), expected)
    assert torch.equal(state.membrane, final.membrane)


@methods
def test_in_float32_all_but_ties_agree(reset: str, method: str) -> None:
    x = normal(300, 4, 32, dtype=torch.float32)
    spikes, _ = LIF(10.0, reset=reset, method=method)(4.0 * x)
    expected, _ = LIF(10.0, reset=reset)(4.0 * x)
    assert float((spikes != expected).double().mean()) < 1e-4


@pytest.mark.parametrize("search", [fixed_point_spikes, speculative_spikes])
def test_searches_compile_as_one_graph(search: object) -> None:
    drive, decay, rest = normal(20, 2, 3), torch.full((3,), 0.9, dtype=torch.float64), normal(2, 3)
    torch.compiler.reset()
    compiled = torch.compile(search, fullgraph=True, backend="aot_eager")
    for got, expected in zip(
        compiled(drive, decay, rest, firing=Binary().spec),
        search(drive, decay, rest, firing=Binary().spec),
        strict=True,
    ):
        assert torch.equal(got, expected)


@pytest.mark.parametrize("steps", [0, 1, 2, 127])
def test_the_potential_is_the_same_by_scan_and_fft(steps: int) -> None:
    drive, initial = normal(steps, 2, 3, 4).requires_grad_(), normal(2, 3, 4).requires_grad_()
    decay = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64, requires_grad=True)
    scan, _ = linear_recurrence(decay.unsqueeze(-1), drive, initial)
    fft = potential_by_fft(drive, decay, initial)
    torch.testing.assert_close(fft, scan, rtol=1e-12, atol=1e-12)
    grads = [
        torch.autograd.grad(
            (each * normal(*each.shape, seed=4)).sum(),
            [drive, decay, initial],
            allow_unused=True,
            materialize_grads=True,
        )
        for each in (scan, fft)
    ]
    torch.testing.assert_close(grads[1], grads[0], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: LIF(method="scan"), "LIF: method is 'scan', but reset='soft' has auto, sweep, decoupled"),
        (lambda: LIF(reset="hard", method="decoupled"), "reset='hard' has auto, sweep, speculative"),
        (lambda: ParametricLIF(reset="hard", method="fixed_point"), "ParametricLIF: method is 'fixed_point'"),
        (lambda: IF(reset=None, method="speculative"), "IF: method is 'speculative', but reset=None has auto, sweep"),
        (lambda: LIF(method="decoupled")(torch.zeros(4, 2)), r"expected \[T, B, C, \*\]"),
        (lambda: LIF(method="decoupled")(torch.zeros(4, 2, 3), LIFState(torch.zeros(1, 3))), r"expected \[2, 3\]"),
        (lambda: LIF(method="fixed_point")(torch.zeros(4, 2, 3), ()), "state"),
        (lambda: LIF(method="speculative")(torch.zeros(4, 2, 3), None, torch.tensor([5, 1])), "expected 0 to T = 4"),
        (
            lambda: fixed_point_spikes(*[torch.zeros(1, 1, 1)] * 3, firing=Binary().spec, iterations=0),
            "iterations is 0, expected at least 1",
        ),
        (lambda: speculative_spikes(*[torch.zeros(1, 1, 1)] * 3, firing=Binary().spec, chunk=0), "chunk is 0"),
        (
            lambda: decoupled_spikes(*[torch.zeros(1, 1, 1)] * 4, firing=Binary().spec, potential="sum"),
            "potential is 'sum', expected 'scan' or 'fft'",
        ),
    ],
)
def test_what_is_refused(call: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        call()
