"""Plain torch: the DSN's equation, its recurrence by a loop or by torch's associative scan."""

from collections.abc import Callable

import torch
import work
from torch import Tensor, nn
from torch.nn import functional
from workers.on_torch import Layer, Ramp, loader
from workers.protocol import serve


def build(variant: str, task: str, learnt: dict[str, nn.Parameter]) -> Layer:
    """A DSN with these weights."""
    if task != "dsn":
        raise ValueError(f"no such task: {task}")
    recurrence = by_loop if variant.endswith("loop") else by_scan

    def run(x: Tensor) -> Tensor:
        return Ramp.apply(recurrence(*_decay_and_drive(torch.cat([x.new_zeros(work.ORDER - 1, *x.shape[1:]), x]))))

    def _decay_and_drive(padded: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = padded[work.ORDER - 1 :], learnt["weight"]
        taps = (weight[:, i] * padded[i : i + len(x)] for i in range(work.ORDER))
        log_decay = functional.logsigmoid(sum(taps, start=learnt["bias"])) / work.DSN_TAU
        return log_decay.exp(), -torch.expm1(log_decay) * x

    def start() -> Callable[[Tensor], Tensor]:
        window: list[Tensor] = []
        state: Tensor | None = None

        def step(x_t: Tensor) -> Tensor:
            nonlocal window, state
            window = [*(window or [torch.zeros_like(x_t)] * (work.ORDER - 1)), x_t]
            decay, drive = _decay_and_drive(torch.stack(window))
            state = drive[0] if state is None else decay[0] * state + drive[0]
            window = window[1:]
            return Ramp.apply(state)

        return step

    return Layer(run, learnt, start)


def by_loop(decay: Tensor, drive: Tensor) -> Tensor:
    """`unbind`, since the backward of an index is quadratic in T."""
    state, states = torch.zeros_like(drive[0]), []
    for decay_t, drive_t in zip(decay.unbind(0), drive.unbind(0), strict=True):
        state = decay_t * state + drive_t
        states.append(state)
    return torch.stack(states)


def by_scan(decay: Tensor, drive: Tensor) -> Tensor:
    """In the mode that runs on a CPU."""
    from torch._higher_order_ops.associative_scan import associative_scan  # seconds, which the loop need not wait for

    def combine(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return a[0] * b[0], b[0] * a[1] + b[1]

    return associative_scan(combine, (decay, drive), dim=0, combine_mode="generic")[1]


if __name__ == "__main__":
    serve(loader(build))
