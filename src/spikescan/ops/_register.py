"""How a kernel becomes an operator of torch: the only place that knows `torch.library`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter

from spikescan.errors import InputError

__all__ = ["KernelOp", "is_plain", "must_register", "register"]


class KernelOp:
    """A function on tensors, registered as ``torch.ops.spikescan.<name>``.

    A registered operator survives `torch.compile` and has a gradient, but costs a tenth of a millisecond a call. A single time
    step would spend most of its time there, so a call that nobody differentiates or traces goes straight to the function, and
    one that is only differentiated to an `autograd.Function` with the same gradient.
    """

    def __init__(self, name: str, function: Callable[..., Any], fake: Callable[..., Any]) -> None:
        self.function = function
        self.op = torch.library.custom_op(f"spikescan::{name}", function, mutates_args=())
        self.op.register_fake(fake)
        self._differentiated: type[torch.autograd.Function] | None = None

    def differentiable(self, save: Callable[[Any, Any, Any], None], backward: Callable[..., Any]) -> None:
        """Register the gradient.

        `save(ctx, inputs, output)` keeps what `backward(ctx, *grads)` needs. Gradients of outputs that nobody used arrive
        as None: filling them with zeros would cost a tensor as large as the membranes.
        """

        def setup(ctx: Any, inputs: Any, output: Any) -> None:
            ctx.set_materialize_grads(False)
            save(ctx, inputs, output)

        self.op.register_autograd(backward, setup_context=setup)
        self._differentiated = _differentiated(self.function, setup, backward)

    def __call__(self, *args: Any) -> Any:
        if not must_register(args):
            return self.function(*args)
        if not torch.compiler.is_compiling():
            _refuse_derivatives()
        if self._differentiated is None or _is_traced(args):
            return self.op(*args)
        return self._differentiated.apply(*args)  # type: ignore[no-untyped-call]


def _differentiated(
    function: Callable[..., Any], setup: Callable[[Any, Any, Any], None], backward: Callable[..., Any]
) -> type[torch.autograd.Function]:
    """The function with its gradient, for calls in eager mode."""

    class Differentiated(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *args: Any) -> Any:
            output = function(*args)
            setup(ctx, args, output)
            return output

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return backward(ctx, *grads)

    return Differentiated


def _is_traced(args: tuple[object, ...]) -> bool:
    """Whether something beside autograd has to see this call: a compiler, a transform, a mode, or what a tensor stands for."""
    return _is_watched() or any(
        isinstance(arg, Tensor) and (type(arg) not in (Tensor, Parameter) or _is_lazy(arg)) for arg in args
    )


def _refuse_derivatives() -> None:
    """Raise if a derivative is under way that an operator does not have: some of them torch would take for zero.

    Raises:
        InputError: a derivative forward, or a transform of torch.func other than `vmap`.
    """
    transforms = torch._C._functorch.get_interpreter_stack() or []
    vmap = torch._C._functorch.TransformType.Vmap
    if forward_ad._current_level >= 0 or any(transform.key() != vmap for transform in transforms):
        raise InputError(
            "The kernels of spikescan have no derivative for torch.func (grad, vjp, jvp, ...) and none in forward mode. Call "
            "loss.backward() or torch.autograd.grad(loss, inputs); torch.vmap works."
        )


def _is_lazy(arg: Tensor) -> bool:
    """Whether the memory does not hold the numbers themselves: torch conjugates and negates some views only when it must.

    The dispatcher does it before it calls an operator; a kernel that is given an address would read what lies there.
    """
    return arg.is_neg() or arg.is_conj()


def must_register(args: tuple[object, ...]) -> bool:
    """Whether autograd, a tracer, a tensor subclass or one that is not yet computed has to see this call."""
    if _is_watched():
        return True
    grad = torch.is_grad_enabled()
    for arg in args:
        kind = type(arg)
        if kind is Tensor or kind is Parameter:
            if (grad and arg.requires_grad) or _is_lazy(arg):  # type: ignore[attr-defined,arg-type]
                return True
        elif isinstance(arg, Tensor):
            return True
    return False


def is_plain(*tensors: Tensor) -> bool:
    """Whether a CPU kernel can read these tensors as they lie, and nobody differentiates or traces the call.

    What is not plain takes the general way, which copies what it must and names what does not fit. All in one loop: a single
    step spends as long here as in its kernel.
    """
    if _is_watched():
        return False
    dtype = getattr(tensors[0], "dtype", None)
    if dtype is not torch.float32 and dtype is not torch.float64:
        return False
    grad = torch.is_grad_enabled()
    for tensor in tensors:
        kind = type(tensor)
        if (
            (kind is not Tensor and kind is not Parameter)
            or tensor.dtype is not dtype
            or not tensor.is_cpu
            or (grad and tensor.requires_grad)
            or tensor.is_neg()  # of real numbers all that `_is_lazy` asks
            or not tensor.is_contiguous()
        ):
            return False
    return True


def _is_watched() -> bool:
    """Whether a compiler, a transform or a mode has to see this call, whatever the tensors."""
    return (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or torch._C._len_torch_dispatch_stack() > 0
    )


def register(name: str, fake: Callable[..., Any]) -> Callable[[Callable[..., Any]], KernelOp]:
    """Decorate a kernel function to make it a `KernelOp`; `fake` gives the shapes of its outputs without computing them."""

    def decorate(function: Callable[..., Any]) -> KernelOp:
        return KernelOp(name, function, fake)

    return decorate
