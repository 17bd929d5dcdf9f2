"""A vector of neurons for Numba kernels: `Lanes`, `BYTES` of them, and the arithmetic on it.

A kernel written on `Lanes` reads like the equation of one neuron and runs on 32 of them with AVX-512, else on 16 (half as many
in float64). LLVM cuts the vector to the registers of the processor, so the same kernel serves AVX2, AVX-512 and NEON, and
two or more registers in flight hide the latency of a chain of dependent operations. On AVX-512 32 lanes ran 1.4 times as fast
as 16; on AVX2 the backward of a DSN took 1.3 to 1.9 times as long with 32 as with 16, which its registers can hold.

Bits: every operation here is either exactly rounded by IEEE 754 (+, -, *, /, fma, comparisons) or a fixed sequence of such
operations (`exp2` and its relatives). Nothing is contracted, reassociated or taken from a vector library, so the result
for a neuron does not depend on its lane, on the width of the registers or on what stands beside it. Neurons left over at
the end run through the same operations, in a group whose loads and stores are masked.

Compile time: a function marked `traced` is plain Python that runs while a kernel is compiled and writes LLVM instructions
through `Vector`; Numba sees one call. The same functions as Numba overloads took ten times as long to compile.
"""

from spikescan.ops._simd._functions import (
    LOG2_E,
    axpy,
    axpys,
    choose,
    clamped,
    exp2_of,
    fma,
    log1p_unit,
    pushed,
    select,
    split_exp2,
    summed,
    times,
    times_conjugate,
)
from spikescan.ops._simd._memory import (
    add_columns,
    add_rows,
    bits_set,
    emit_store,
    kept,
    load,
    load_at,
    load_numbers,
    load_rows,
    lowest_cleared,
    move,
    occupied,
    part,
    prefetch,
    put,
    put_rows,
    release,
    row,
    scratch,
    store,
    store_rows,
    tabulate,
    trailing_zeros,
    upcoming,
    whole,
)
from spikescan.ops._simd._vector import BYTES, Scalar, Vector, from_llvm, full, static, to_llvm, traced

__all__ = [
    "BYTES",
    "LOG2_E",
    "Scalar",
    "Vector",
    "add_columns",
    "add_rows",
    "axpy",
    "axpys",
    "bits_set",
    "choose",
    "clamped",
    "emit_store",
    "exp2_of",
    "fma",
    "from_llvm",
    "full",
    "kept",
    "load",
    "load_at",
    "load_numbers",
    "load_rows",
    "log1p_unit",
    "lowest_cleared",
    "move",
    "occupied",
    "part",
    "prefetch",
    "pushed",
    "put",
    "put_rows",
    "release",
    "row",
    "scratch",
    "select",
    "split_exp2",
    "static",
    "store",
    "store_rows",
    "summed",
    "tabulate",
    "times",
    "times_conjugate",
    "to_llvm",
    "traced",
    "trailing_zeros",
    "upcoming",
    "whole",
]
