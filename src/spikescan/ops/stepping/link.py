"""Kernels one after the other, with arguments that never change: one call into machine code for all of them.

A call of a kernel from Python takes about as long as a step of a hundred neurons. A model on a live stream calls the same
kernels with the same addresses at every step, so those calls are written into one machine-code function.
"""

import ctypes
from collections.abc import Sequence
from typing import Any

import llvmlite.binding as llvm
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
_BYTE = ir.IntType(8).as_pointer()


Memory = tuple[int, int]
"""An address, and how many bytes lie there."""


class Program:
    """Calls, in order, as one function of two addresses: it copies the input from the first and the output to the second.

    Args:
        calls: of kernels.
        x: where the calls read their input.
        y: where they write their output.
    """

    @global_compiler_lock  # type: ignore[untyped-decorator]
    def __init__(self, calls: Sequence[Call], x: Memory, y: Memory) -> None:
        context = cpu_target.target_context
        module = context.create_module(_NAME)
        function = ir.Function(module, ir.FunctionType(_STATUS, [_ADDRESS, _ADDRESS]), _NAME)
        builder = ir.IRBuilder(function.append_basic_block())
        source, target = function.args
        failed = ir.Constant(_STATUS, 0)
        _copy(builder, _ADDRESS(x[0]), source, x[1])
        for kernel, arguments in calls:
            failed = builder.or_(failed, _emit(context, builder, kernel, arguments))
        _copy(builder, target, _ADDRESS(y[0]), y[1])
        builder.ret(failed)
        # An engine of its own, whose machine code goes when the program does: Numba's keeps all that it was ever given.
        target = llvm.Target.from_triple(module.triple).create_target_machine(jit=True)
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(str(module)), target)
        self._engine.finalize_object()
        prototype = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        self.run = prototype(self._engine.get_function_address(_NAME))
        """Runs all calls; not 0 if one failed, whose only reason is that memory is full. Not for two threads at once."""


def _copy(builder: Any, target: Any, source: Any, size: int) -> None:
    cgutils.raw_memcpy(builder, *(builder.inttoptr(each, _BYTE) for each in (target, source)), _ADDRESS(size), 1)


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
