"""Cases for the Triton kernels, the comparison with the float64 reference, and compilation without a GPU.

`gpu_numeric.py` runs the cases on small shapes under Triton's interpreter, `benchmarks/gpu.py` on real ones on a GPU.
"""

import functools
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from spikescan import ops
from spikescan.ops import FiringSpec, Kind, Reset
from spikescan.ops._checks import compute_dtype
from spikescan.ops.sweep import detach, exp, floor, relu, where
from spikescan.ops.sweep import sigmoid as squash

# Relative root mean square error allowed, by the dtype of what is compared.
TOLERANCE = {
    torch.float64: 1e-12,
    torch.complex128: 1e-12,
    torch.float32: 5e-6,
    torch.complex64: 5e-6,
    torch.float16: 1e-3,
    torch.bfloat16: 8e-3,
}

# One of each kind, with numbers that are not all alike.
FIRINGS = {
    Kind.IDENTITY: FiringSpec(Kind.IDENTITY),
    Kind.INTEGER: FiringSpec(Kind.INTEGER, 3.0),
    Kind.ATAN: FiringSpec(Kind.ATAN, 0.3, 2.0),
    Kind.SIGMOID: FiringSpec(Kind.SIGMOID, 0.3, 4.0),
    Kind.TRIANGULAR: FiringSpec(Kind.TRIANGULAR, 0.3, 1.5),
    Kind.RECTANGULAR: FiringSpec(Kind.RECTANGULAR, 0.3, 0.7),
    Kind.MULTI_GAUSSIAN: FiringSpec(Kind.MULTI_GAUSSIAN, 0.3, 0.5, 0.15, 6.0),
    Kind.FAST_SIGMOID: FiringSpec(Kind.FAST_SIGMOID, 0.3, 10.0),
}


@dataclass(frozen=True)
class Case:
    """A call of a public function: what goes in, by name, and the names of what comes out."""

    call: Callable[..., tuple[Tensor, ...]]
    inputs: dict[str, Tensor]
    outputs: tuple[str, ...]


def of_input(case: Case) -> Case:
    """The same call, of which x alone has a gradient."""

    def call(x: Tensor) -> tuple[Tensor, ...]:
        rest = {name: tensor.to(compute_dtype(x)) for name, tensor in case.inputs.items() if name != "x"}
        return case.call(x=x, **rest)

    return Case(call, {"x": case.inputs["x"]}, case.outputs)


class Random:
    """Normal numbers on a device, the same on every device."""

    def __init__(self, device: str, dtype: torch.dtype, seed: int = 0) -> None:
        self.device, self.dtype = device, dtype
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, *shape: int, dtype: torch.dtype | None = None) -> Tensor:
        dtype = dtype or self.dtype
        draw = dtype if dtype.is_complex else torch.float32
        return torch.randn(shape, generator=self.generator, dtype=draw).to(self.device, dtype)

    @property
    def state_dtype(self) -> torch.dtype:
        return torch.float64 if self.dtype == torch.float64 else torch.float32

    def lengths(self, steps: int, batch: int) -> Tensor:
        return torch.randint(0, steps + 1, (batch,), generator=self.generator).to(self.device)


def linear_recurrence(
    T: int, N: int, dtype: torch.dtype, *, rows: int | None = None, device: str = "cpu", size: float = 1.0
) -> Case:
    """Decays of absolute value about `size` / 2, one row of them or T."""
    random = Random(device, dtype)
    decay = random(T if rows is None else rows, N)
    inputs = {"decay": size * decay / (1.0 + decay.abs()), "drive": random(T, N), "initial": random(N)}
    return Case(ops.linear_recurrence, inputs, ("states", "final"))


def dynamic_decay(
    shape: tuple[int, ...],
    dtype: torch.dtype,
    kind: Kind,
    *,
    k: int = 4,
    tau: float = 0.25,
    lengths: bool = False,
    recompute: bool = False,
    size: float = 1.0,
    device: str = "cpu",
) -> Case:
    random = Random(device, dtype)
    T, B, C, *space = shape
    wide = random.state_dtype
    call = functools.partial(
        ops.dynamic_decay,
        tau=tau,
        firing=FIRINGS[kind],
        recompute=recompute,
        lengths=random.lengths(T, B) if lengths else None,
    )
    inputs = {
        "x": size * random(*shape),
        "weight": random(C, k, dtype=wide) / k,
        "bias": random(C, dtype=wide) + 1.0,
        "membrane": random(B, C, *space, dtype=wide),
        "window": size * random(B, k - 1, C, *space, dtype=wide),
    }
    return Case(
        lambda x, weight, bias, membrane, window: call(x, weight, bias, membrane=membrane, window=window),
        inputs,
        ("spikes", "membrane", "window"),
    )


def leaky_integration(
    shape: tuple[int, ...],
    dtype: torch.dtype,
    kind: Kind,
    reset: Reset,
    *,
    detach_reset: bool = True,
    lengths: bool = False,
    recompute: bool = False,
    device: str = "cpu",
) -> Case:
    random = Random(device, dtype)
    T, B, C, *space = shape
    wide = random.state_dtype
    call = functools.partial(
        ops.leaky_integration,
        firing=FIRINGS[kind],
        reset=reset,
        detach_reset=detach_reset,
        recompute=recompute,
        lengths=random.lengths(T, B) if lengths else None,
    )
    inputs = {
        "x": random(*shape),
        "decay": torch.sigmoid(random(C, dtype=wide)),
        "gain": random(C, dtype=wide),
        "membrane": random(B, C, *space, dtype=wide),
    }
    return Case(
        lambda x, decay, gain, membrane: call(x, decay, gain, membrane=membrane), inputs, ("spikes", "membrane")
    )


def _everything(x: Any, state: Any, parameters: Any, fire: Any) -> Any:
    (v, a), (decay, gain) = state, parameters
    h = decay * v + gain * x - 0.5 * a
    s = fire(h)
    # A contraction, so that rounding does not grow over the steps.
    v = 0.5 * where(a <= 0.3, h - detach(s) * fire.unit, h / (1.0 + s * s))
    a = 0.5 * squash(gain * a) * a + relu(1.0 - s) / (4.0 + exp(-a)) - 0.25 * (h - floor(h))
    return s + 0.1 * h, (v, -a)


EVERYTHING = ops.Cell(_everything, states=("membrane", "trace"), parameters=("decay", "gain"))


def sweep(
    shape: tuple[int, ...],
    dtype: torch.dtype,
    kind: Kind,
    *,
    lengths: bool = False,
    recompute: bool = False,
    device: str = "cpu",
) -> Case:
    """A cell with every operation that a cell can have."""
    random = Random(device, dtype)
    T, B, C, *space = shape
    wide = random.state_dtype
    valid = random.lengths(T, B) if lengths else None

    def call(x: Tensor, decay: Tensor, gain: Tensor, membrane: Tensor, trace: Tensor) -> tuple[Tensor, ...]:
        spikes, state = ops.sweep(
            EVERYTHING,
            x,
            (decay, gain),
            firing=FIRINGS[kind],
            state=(membrane, trace),
            lengths=valid,
            recompute=recompute,
        )
        return spikes, *state

    inputs = {
        "x": random(*shape),
        "decay": torch.sigmoid(random(C, dtype=wide)),
        "gain": random(C, dtype=wide),
        "membrane": random(B, C, *space, dtype=wide),
        "trace": random(B, C, *space, dtype=wide),
    }
    return Case(call, inputs, ("spikes", "membrane", "trace"))


def causal_conv(
    shape: tuple[int, ...],
    dtype: torch.dtype,
    kind: Kind,
    *,
    k: int = 4,
    dilation: int = 1,
    shared: bool = False,
    lengths: bool = False,
    device: str = "cpu",
) -> Case:
    random = Random(device, dtype)
    T, B, C, *space = shape
    wide = random.state_dtype
    call = functools.partial(
        ops.causal_conv,
        dilation=dilation,
        firing=FIRINGS[kind],
        lengths=random.lengths(T, B) if lengths else None,
    )
    inputs = {
        "x": random(*shape),
        "weight": random(*([] if shared else [C]), k, dtype=wide),
        "bias": random(*([] if shared else [C]), dtype=wide),
        "window": random(B, (k - 1) * dilation, C, *space, dtype=wide),
    }
    return Case(lambda x, weight, bias, window: call(x, weight, bias, window=window), inputs, ("y", "window"))


def time_mixing(
    steps: int,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    kind: Kind,
    *,
    order: int | None = None,
    device: str = "cpu",
) -> Case:
    random = Random(device, dtype)
    wide = random.state_dtype
    inputs = {
        "x": random(*shape),
        "weight": random(steps, shape[0], dtype=wide) / max(shape[0], 1) ** 0.5,
        "bias": random(steps, dtype=wide),
    }
    call = functools.partial(ops.time_mixing, firing=FIRINGS[kind], order=order)
    return Case(lambda x, weight, bias: (call(x, weight, bias),), inputs, ("y",))


def fire(shape: tuple[int, ...], dtype: torch.dtype, kind: Kind, *, device: str = "cpu", size: float = 2.0) -> Case:
    inputs = {"membrane": size * Random(device, dtype)(*shape)}
    return Case(lambda membrane: (ops.fire(membrane, FIRINGS[kind]),), inputs, ("spikes",))


def sigmoid(shape: tuple[int, ...], dtype: torch.dtype, *, device: str = "cpu", size: float = 2.0) -> Case:
    inputs = {"x": size * Random(device, dtype)(*shape)}
    return Case(lambda x: (ops.sigmoid(x),), inputs, ("y",))


def dropout(shape: tuple[int, ...], dtype: torch.dtype, *, device: str = "cpu", p: float = 0.3) -> Case:
    inputs = {"x": Random(device, dtype)(*shape)}
    seed = torch.tensor(-(1 << 62) + 17, device=device)
    return Case(lambda x: (ops.dropout(x, p, seed),), inputs, ("y",))


def linear(
    rows: int,
    inputs: int,
    outputs: int,
    dtype: torch.dtype,
    *,
    density: float = 1.0,
    bias: bool = True,
    device: str = "cpu",
) -> Case:
    """Whole numbers, of which a share is not zero."""
    random = Random(device, dtype)
    wide = random.state_dtype
    spikes = (2.0 * random(rows, inputs)).round()
    tensors = {
        "x": torch.where(random(rows, inputs).abs() <= 0.68 * density, spikes, 0.0)
        if density < 1.0
        else random(rows, inputs),
        "weight": random(outputs, inputs, dtype=wide) / max(inputs, 1) ** 0.5,
    }
    if bias:
        tensors["bias"] = random(outputs, dtype=wide)
    return Case(lambda **given: (ops.linear(**given),), tensors, ("y",))


def layer_norm(rows: int, channels: int, dtype: torch.dtype, *, device: str = "cpu") -> Case:
    random = Random(device, dtype)
    wide = random.state_dtype
    inputs = {
        "x": 3.0 * random(rows, channels) + 1.0,
        "gain": random(channels, dtype=wide),
        "offset": random(channels, dtype=wide),
    }
    return Case(lambda x, gain, offset: (ops.layer_norm(x, gain, offset),), inputs, ("y",))


def evaluate(
    case: Case, backend: str, inputs: dict[str, Tensor], dtypes: list[torch.dtype] | None = None
) -> dict[str, Tensor]:
    """Outputs and gradients by name; the gradients of the outputs are random numbers rounded to `dtypes`."""
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in inputs.items()}
    device = str(next(iter(inputs.values())).device)
    random = Random(device, torch.float32, seed=1)
    with ops.backend(backend):
        outputs = case.call(**leaves)
        grads = [
            random(*value.shape, dtype=dtype).to(value.dtype)
            for value, dtype in zip(outputs, dtypes or [value.dtype for value in outputs], strict=True)
        ]
        used = [(value, grad) for value, grad in zip(outputs, grads, strict=True) if value.requires_grad]
        torch.autograd.backward([value for value, _ in used], [grad for _, grad in used])
    result = {name: value.detach() for name, value in zip(case.outputs, outputs, strict=True)}
    return result | {f"gradient of {name}": _gradient(leaf) for name, leaf in leaves.items()}


# Ops that are given padded batches as they are.
PADDED = {"dynamic_decay": dynamic_decay, "sweep": sweep}


def check_padding(op: str, shape: tuple[int, ...], backend: str, *, device: str = "cpu") -> None:
    """Fail unless NaN beyond the lengths gives, to the bit, what zeros there give."""
    for kind in (Kind.ATAN, Kind.INTEGER):
        case = PADDED[op](shape, torch.float32, kind, lengths=True, device=device)
        lengths = Random(device, torch.float32).lengths(*shape[:2])  # what the case draws first
        assert int(lengths.min()) < shape[0]
        results = []
        for beyond in (0.0, torch.nan):
            x = case.inputs["x"].clone()
            for sample, length in enumerate(lengths.tolist()):
                x[length:, sample] = beyond
            results.append(evaluate(case, backend, case.inputs | {"x": x}))
        zeros, numberless = results
        for name, value in zeros.items():
            assert torch.equal(numberless[name], value), f"{kind.name}: {name}"


def _gradient(leaf: Tensor) -> Tensor:
    """An input that nothing depends on (T = 0) has the gradient zero, given or not."""
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad


def errors(case: Case) -> dict[str, tuple[float, float]]:
    """The relative error of the Triton backend and the error allowed, for every output and gradient by name."""
    actual = evaluate(case, "gpu", case.inputs)
    wide = {name: _widen(value) for name, value in case.inputs.items()}
    expected = evaluate(case, "reference", wide, [actual[name].dtype for name in case.outputs])
    result = {}
    for name, value in actual.items():
        assert value.shape == expected[name].shape, f"{name} is {value.shape}, expected {expected[name].shape}"
        result[name] = (relative_error(value, expected[name]), TOLERANCE[value.dtype])
    return result


def relative_error(actual: Tensor, expected: Tensor) -> float:
    if actual.numel() == 0:
        return 0.0
    difference = torch.linalg.vector_norm(_widen(actual) - expected)
    return float(difference / torch.linalg.vector_norm(expected).clamp_min(1e-9))


def check(case: Case) -> None:
    """Fail with the name of every output and gradient that is off."""
    off = {name: error for name, (error, allowed) in errors(case).items() if not error <= allowed}
    assert not off, f"relative errors above tolerance: {off}"


def _widen(tensor: Tensor) -> Tensor:
    return tensor.to(torch.complex128 if tensor.is_complex() else torch.float64)


@contextmanager
def poisoned_memory() -> Iterator[None]:
    """Memory that a kernel forgets to write shows up as NaN."""

    def fill(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def filled(*args: Any, **kwargs: Any) -> Tensor:
            tensor = make(*args, **kwargs)
            return tensor.fill_(float("nan")) if tensor.is_floating_point() or tensor.is_complex() else tensor

        return filled

    with (
        mock.patch.object(torch, "empty_like", fill(torch.empty_like)),
        mock.patch.object(Tensor, "new_empty", fill(Tensor.new_empty)),
    ):
        yield


@contextmanager
def recorded_launches() -> Iterator[list[Any]]:
    """The launches of a block, which then do not run: on meta tensors, what a GPU would be given for such shapes."""
    from spikescan.ops._triton import Launch

    launches: list[Any] = []
    with mock.patch.object(Launch, "run", lambda launch: launches.append(launch)):
        yield launches


def resources(launch: Any, capability: int, folder: Path) -> dict[str, int]:
    """Compile a launch for a CUDA device down to machine code; what ``cuobjdump`` says it takes (REG, STACK, LOCAL, ...)."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, make_backend
    from triton.runtime.jit import create_function_from_signature

    target = GPUTarget("cuda", capability, 32)
    backend = make_backend(target)
    kernel, choices = launch.kernel, {"num_warps": launch.warps}
    # The launcher's own binder, so that types, alignments and constants are those of a launch.
    bind = create_function_from_signature(kernel.signature, kernel.params, backend)
    bound, specialization, options = bind(**launch.arguments, **choices)
    options, signature, constants, attributes = kernel._pack_args(backend, choices, bound, specialization, options)
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=attributes)
    compiled = triton.compile(source, target=target, options=options.__dict__)
    binary = folder / "kernel.cubin"
    binary.write_bytes(compiled.asm["cubin"])
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    report = subprocess.run([tool, "--dump-resource-usage", binary], check=True, capture_output=True, text=True).stdout
    fields = report.split("Function ")[1].split()
    return {name: int(value) for name, value in (field.split(":") for field in fields[1:]) if "[" not in name}
