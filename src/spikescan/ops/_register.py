"""How a kernel becomes an operator of torch: the only place that knows `torch.library`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

__all__ = ["KernelOp", "must_register", "register"]


class KernelOp:
    """A function on tensors, registered as ``torch.ops.spikescan.<name>``.

    A registered operator survives `torch.compile` and has a gradient, but costs tens of microseconds a call. A single time
    step would spend most of its time there, so a call that nobody differentiates or traces goes straight to the function.
    """

    def __init__(self, name: str, function: Callable[..., Any], fake: Callable[..., Any]) -> None:
        self.function = function
        self.op = torch.library.custom_op(f"spikescan::{name}", function, mutates_args=())
        self.op.register_fake(fake)

    def differentiable(self, save: Callable[[Any, Any, Any], None], backward: Callable[..., Any]) -> None:
        """Register the gradient.

        `save(ctx, inputs, output)` keeps what `backward(ctx, *grads)` needs. Gradients of outputs that nobody used arrive
        as None: filling them with zeros would cost a tensor as large as the membranes.
        """

        def setup(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.set_materialize_grads(False)
            save(ctx, inputs, output)

        self.op.register_autograd(backward, setup_context=setup)

    def __call__(self, *args: Any) -> Any:
        if must_register(args):
            return self.op(*args)
        return self.function(*args)


def must_register(args: tuple[object, ...]) -> bool:
    """Whether autograd, a tracer, or a tensor subclass has to see this call."""
    if torch.compiler.is_compiling():
        return True
    grad = torch.is_grad_enabled()
    for arg in args:
        kind = type(arg)
        if kind is Tensor or kind is Parameter:
            if grad and arg.requires_grad:  # type: ignore[attr-defined]
                return True
        elif isinstance(arg, Tensor):
            return True
    return torch._C._len_torch_dispatch_stack() > 0


def register(name: str, fake: Callable[..., Any]) -> Callable[[Callable[..., Any]], KernelOp]:
    """Decorate a kernel function to make it a `KernelOp`; `fake` gives the shapes of its outputs without computing them."""

    def decorate(function: Callable[..., Any]) -> KernelOp:
        return KernelOp(name, function, fake)

    return decorate
