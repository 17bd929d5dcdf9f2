"""Check the Triton kernels on this GPU, then time them: ``python -m benchmarks.gpu --output gpu.csv``.

The numbers come first: a kernel that is off by more than the tests allow is named and nothing is timed. Then forward and
forward + backward of every op are timed through its public function, beside ``torch.add(x, 1, out=y)`` on a tensor of the
same size, which moves 8 bytes a neuron-step in float32 and is the floor of anything that reads and writes once.

The least bytes a neuron-step that the kernels move in float32 are in `BYTES`: what is read and written once, the kept
membrane included. A recurrence cut into chunks reads its inputs twice, which is the third and fourth number.
"""

import argparse
import csv
import functools
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "ops"))  # the comparisons are those of the tests

import _gpu_support as support
from _gpu_support import Case

from spikescan import ops
from spikescan.ops import Kind, Reset


class Bytes(NamedTuple):
    """Bytes a neuron-step, float32."""

    forward: int
    backward: int
    forward_chunked: int
    backward_chunked: int


BYTES = {
    # forward: decay, drive, states; backward: decay, states, gradient of states, gradients of decay and drive
    "linear_recurrence": Bytes(12, 20, 20, 28),
    # forward: x, spikes, membrane kept; backward: gradient of spikes, x, membrane, gradient of x
    "dynamic_decay": Bytes(12, 16, 16, 28),
    # the same, never cut
    "leaky_integration": Bytes(12, 16, 12, 16),
    # forward: x, y; backward: gradient of y, x, gradient of the charge (written, then read), gradient of x
    "causal_conv": Bytes(8, 20, 8, 20),
    # forward: x, spikes, membrane kept; backward (torch's): firing 12, two matrix products 8 and 8, a sum 4
    "time_mixing": Bytes(12, 32, 12, 32),
    # forward: membrane, spikes; backward: gradient of spikes, membrane, gradient of membrane
    "fire": Bytes(8, 12, 8, 12),
    # forward: x, y; backward (torch's): 1 - y, times y, times the gradient
    "sigmoid": Bytes(8, 32, 8, 32),
    # forward: x, y; backward: gradient of y, gradient of x
    "dropout": Bytes(8, 8, 8, 8),
}
SHAPES = [
    (32, 128, 256),
    (32, 512, 1024),
    (1024, 32, 128),
    (1024, 128, 128),
    (4096, 16, 256),
    (16384, 4, 64),
    (4, 32, 64, 32, 32),
]
MIXED_STEPS = 1024  # a T x T matrix is nothing for longer sequences
SPIKES_ALLOWED = 1e-5  # of float32 spikes may differ: their membrane is within rounding of a threshold


class Timed(NamedTuple):
    """An op on a shape; `make` takes a dtype and a kind."""

    name: str
    shape: tuple[int, ...]
    make: Callable[[torch.dtype, Kind], Case]
    chunked: bool


def ops_on(shape: tuple[int, ...], device: str = "cuda") -> Iterator[Timed]:
    """Every op that has a kernel of ours there: linear layers and layer norm are torch's."""
    from spikescan.ops._triton import configure

    T, B, *rest = shape
    places = torch.Size(rest).numel()
    of = functools.partial

    def recurrence(dtype: torch.dtype, kind: Kind) -> Case:
        return support.linear_recurrence(T, B * places, dtype, device=device)

    yield Timed("linear_recurrence", shape, recurrence, configure(T, 1, B * places).chunks > 1)
    decay = of(support.dynamic_decay, shape, device=device)
    yield Timed("dynamic_decay", shape, decay, configure(T, B, places, taps=4).chunks > 1)
    yield Timed(
        "leaky_integration", shape, of(support.leaky_integration, shape, reset=Reset.SOFT, device=device), False
    )
    yield Timed("causal_conv", shape, of(support.causal_conv, shape, device=device), False)
    if T <= MIXED_STEPS:
        yield Timed("time_mixing", shape, of(support.time_mixing, T, shape, device=device), False)
    yield Timed("fire", shape, of(support.fire, shape, device=device), False)
    yield Timed("sigmoid", shape, lambda dtype, _: support.sigmoid(shape, dtype, device=device), False)
    yield Timed("dropout", shape, lambda dtype, _: support.dropout(shape, dtype, device=device), False)


def wrong(timed: Timed) -> list[str]:
    """What is off, by name.

    Spikes are compared exactly in float64, and in float32 all that does not fire: one membrane at a threshold, decided by
    its last bit, would change every gradient behind it.
    """
    found = []
    for dtype, kind in ((torch.float64, Kind.INTEGER), (torch.float32, Kind.IDENTITY), (torch.bfloat16, Kind.IDENTITY)):
        for name, (error, allowed) in support.errors(timed.make(dtype, kind)).items():
            if not error <= allowed:
                found.append(f"{timed.name} {timed.shape} {dtype}: {name} is off by {error:.1e}, allowed {allowed:.0e}")
    if timed.name in ("dynamic_decay", "causal_conv", "time_mixing", "fire"):  # a reset passes a spike on to the next
        case = timed.make(torch.float32, Kind.INTEGER)
        share = float((spikes(case, "gpu", torch.float32) != spikes(case, "reference", torch.float64)).double().mean())
        if not share <= SPIKES_ALLOWED:
            found.append(f"{timed.name} {timed.shape}: {share:.1e} of the spikes differ, allowed {SPIKES_ALLOWED:.0e}")
    return found


def spikes(case: Case, backend: str, dtype: torch.dtype) -> Tensor:
    """The first output of a case, computed in `dtype`."""
    with ops.backend(backend), torch.no_grad():
        return case.call(**{name: value.to(dtype) for name, value in case.inputs.items()})[0]


def milliseconds(timed: Timed) -> tuple[float, float]:
    """Forward, and forward + backward, with integer spikes in float32: medians."""
    from triton.testing import do_bench

    case = timed.make(torch.float32, Kind.INTEGER)
    leaves = {name: value.requires_grad_() for name, value in case.inputs.items()}
    grad = torch.randn_like(case.call(**leaves)[0])

    def both() -> None:
        case.call(**leaves)[0].backward(grad)

    with ops.backend("gpu"):
        forward = do_bench(lambda: case.call(**leaves), return_mode="median")
        return forward, do_bench(both, return_mode="median", grad_to_none=list(leaves.values()))


def floor(shape: tuple[int, ...]) -> float:
    """Milliseconds of ``torch.add(x, 1, out=y)``."""
    from triton.testing import do_bench

    x = torch.zeros(shape, device="cuda")
    y = torch.empty_like(x)
    result: float = do_bench(lambda: torch.add(x, 1, out=y), return_mode="median")
    return result


def rows() -> Iterator[dict[str, Any]]:
    """One measurement each."""
    import triton

    machine = {
        "machine": torch.cuda.get_device_name(),
        "host": platform.node(),
        "torch": torch.__version__,
        "triton": triton.__version__,
    }
    for shape in SHAPES:
        add = floor(shape)
        for timed in ops_on(shape):
            least = BYTES[timed.name]
            bytes_forward = least.forward_chunked if timed.chunked else least.forward
            bytes_backward = least.backward_chunked if timed.chunked else least.backward
            forward, both = milliseconds(timed)
            measured = {
                "forward": (forward, bytes_forward),
                "forward + backward": (both, bytes_forward + bytes_backward),
            }
            for direction, (time, moved) in measured.items():
                yield machine | {
                    "op": timed.name,
                    "shape": "x".join(map(str, shape)),
                    "chunked": timed.chunked,
                    "direction": direction,
                    "milliseconds": f"{time:.4f}",
                    "add_milliseconds": f"{add:.4f}",
                    "times_add": f"{time / add:.2f}",
                    "bytes_per_neuron_step": moved,
                    "gigabytes_per_second": f"{moved * torch.Size(shape).numel() / time / 1e6:.0f}",
                }


def main() -> int:
    """Check, time, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True, help="CSV file to write")
    output = parser.parse_args().output
    if not torch.cuda.is_available():
        print("benchmarks.gpu needs a CUDA device and found none.", file=sys.stderr)
        return 1
    found = [text for shape in SHAPES for timed in ops_on(shape) for text in wrong(timed)]
    if found:
        print("The numbers are wrong, so nothing was timed:", *found, sep="\n", file=sys.stderr)
        return 1
    measured = list(rows())
    with output.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(measured[0]))
        writer.writeheader()
        writer.writerows(measured)
    print(f"Wrote {len(measured)} measurements to {output}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
