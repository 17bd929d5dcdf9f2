"""Kernels one after the other, with arguments that never change: one call into machine code for all of them.

A call of a kernel from Python takes about as long as a step of a hundred neurons. A model on a live stream calls the same
kernels with the same addresses at every step, so those calls are written into one machine-code function.
"""

import ctypes
from collections.abc import Sequence
from typing import Any

import numba
from llvmlite import ir
from numba.core import cgutils
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

__all__ = ["Call", "Program"]

Call = tuple[Any, tuple[Any, ...]]
"""A kernel and all its arguments. Addresses among them must stay valid for as long as the program is run."""

_NAME = "spikescan_program"
_STATUS = ir.IntType(32)
_ADDRESS = ir.IntType(64)


class Program:
    """Calls, in order, as one function without arguments.

    Raises:
        RuntimeError: on a run: a kernel failed, for which it has no reason but that memory is full.
    """

    @global_compiler_lock  # type: ignore[untyped-decorator]
    def __init__(self, calls: Sequence[Call]) -> None:
        context = cpu_target.target_context
        self._library = context.codegen().create_library(_NAME)  # holds the machine code
        module = context.create_module(_NAME)
        function = ir.Function(module, ir.FunctionType(_STATUS, []), _NAME)
        builder = ir.IRBuilder(function.append_basic_block())
        failed = ir.Constant(_STATUS, 0)
        for kernel, arguments in calls:
            failed = builder.or_(failed, _emit(context, builder, kernel, arguments))
        builder.ret(failed)
        self._library.add_ir_module(module)
        self._library.finalize()
        self._run = ctypes.CFUNCTYPE(ctypes.c_int)(self._library.get_pointer_to_function(_NAME))

    def __call__(self) -> None:
        """Run all calls. Not by two threads at once: they would write to the same memory."""
        if self._run():
            raise RuntimeError("A kernel of a compiled step failed; is the memory full?")


def _emit(context: Any, builder: Any, kernel: Any, arguments: tuple[Any, ...]) -> Any:
    """Write one call; its status."""
    signature = tuple(numba.typeof(argument) for argument in arguments)
    kernel.compile(signature)
    compiled = kernel.overloads[signature]
    description = compiled.fndesc
    address = compiled.library.get_pointer_to_function(description.llvm_func_name)
    convention = context.call_conv
    kind = convention.get_function_type(description.restype, description.argtypes)
    # Called by its address: by its name, its instructions would be copied and optimised again.
    callee = builder.inttoptr(ir.Constant(_ADDRESS, address), kind.as_pointer())
    values = [
        context.get_constant_generic(builder, each, argument)
        for each, argument in zip(signature, arguments, strict=True)
    ]
    result, reason = (cgutils.alloca_once(builder, pointer.pointee) for pointer in kind.args[:2])
    packed = convention._get_arg_packer(description.argtypes).as_arguments(builder, values)
    return builder.call(callee, [result, reason, *packed])
