"""Memory: where vectors are loaded and stored, what a sweep asks for ahead, and tables of parameters."""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import overload

from spikescan.ops._compile import inline, intrinsic
from spikescan.ops._simd._functions import plus
from spikescan.ops._simd._vector import BYTES, ELEMENT, Group, broadcast, call, constant, full

LINE = 64


@intrinsic
def _pointer(context: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), generate


def row(address: Any, size: Any, like: Any) -> Any:
    """The `size` numbers at `address` (`Tensor.data_ptr`), of the type of the number `like`.

    A kernel is given addresses: making an array of each tensor would cost more than a single time step does.
    """
    raise AssertionError("only inside a kernel")


@overload(row)
def _row(address, size, like):
    dtype = numba.np.numpy_support.as_dtype(like)
    return lambda address, size, like: numba.carray(_pointer(address), (size,), dtype)


@intrinsic
def _allocate(context: Any, size: Any) -> Any:
    """The address of `size` bytes that begin at a line of the cache; `_free` it."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        number = args[0].type
        given = context.nrt.allocate(builder, builder.add(args[0], number(2 * LINE)))
        behind = builder.add(builder.ptrtoint(given, number), number(2 * LINE - 1))
        address = builder.and_(behind, number(-LINE))
        before = builder.inttoptr(builder.sub(address, number(8)), given.type.as_pointer())
        builder.store(given, before)
        return address

    return types.int64(types.int64), generate


@intrinsic
def _free(context: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        before = builder.inttoptr(builder.sub(args[0], args[0].type(8)), cgutils.voidptr_t.as_pointer())
        context.nrt.free(builder, builder.load(before))
        return context.get_dummy_value()

    return types.void(types.int64), generate


@inline
def scratch(size, like):
    """Zeros of the type of the array `like`, from the start of a line of the cache on; `release` them.

    Numba's own arrays count who refers to them, by atomic operations, at each call of a function that takes one; and an
    atomic operation waits for all stores before it, past the cache or not.
    """
    numbers = numba.carray(_pointer(_allocate(size * like.itemsize)), (size,), like.dtype)
    numbers[:] = 0.0
    return numbers


@inline
def release(numbers):
    """Give back what `scratch` gave."""
    _free(np.int64(numbers.ctypes.data))


@inline
def move(source, start, target, at, count):
    """Copy `count` numbers from ``source[start:]`` to ``target[at:]``.

    A loop, not one slice assigned to another: that can raise, and Numba would compile how its message is written, for seconds.
    """
    for each in range(count):
        target[at + each] = source[start + each]


@intrinsic
def whole(context: Any, array: Any) -> Any:
    """A full group of neurons, for arrays of this dtype."""
    group = Group(array.dtype, False)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(context.get_value_type(group), ir.Undefined)

    return group(array), generate


@intrinsic
def part(context: Any, array: Any, count: Any) -> Any:
    """A group of which only the first `count` neurons exist."""
    group = Group(array.dtype, True)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = ir.VectorType(ir.IntType(64), group.lanes.count)
        index = ir.Constant(lanes, [ir.Constant(ir.IntType(64), i) for i in range(lanes.count)])
        return builder.icmp_signed("<", index, broadcast(builder, args[1], lanes.count))

    return group(array, types.int64), generate


def _emit_load(context: Any, builder: Any, array_type: Any, array: Any, index: Any, group: Group, mask: Any) -> Any:
    vector = ir.VectorType(ELEMENT[group.lanes.dtype], group.lanes.count)
    size = group.lanes.dtype.bitwidth // 8
    data = context.make_array(array_type)(context, builder, array).data
    pointer = builder.bitcast(builder.gep(data, [index]), vector.as_pointer())
    if group.partial:
        name = f"llvm.masked.load.v{vector.count}f{8 * size}.p0"
        return call(builder, name, vector, [pointer, ir.Constant(ir.IntType(32), size), mask, constant(vector, 0.0)])
    value = builder.load(pointer)
    value.align = size
    return value


def emit_store(
    context: Any,
    builder: Any,
    array_type: Any,
    array: Any,
    index: Any,
    value: Any,
    group: Group,
    mask: Any,
    *,
    past_cache: bool = False,
) -> None:
    size = group.lanes.dtype.bitwidth // 8
    data = context.make_array(array_type)(context, builder, array).data
    pointer = builder.bitcast(builder.gep(data, [index]), value.type.as_pointer())
    if group.partial:
        name = f"llvm.masked.store.v{value.type.count}f{8 * size}.p0"
        call(builder, name, ir.VoidType(), [value, pointer, ir.Constant(ir.IntType(32), size), mask])
    else:
        written = builder.store(value, pointer)
        written.align = 64 if past_cache else size
        if past_cache:
            written.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))


@intrinsic
def load(context: Any, array: Any, index: Any, group: Any) -> Any:
    """The vector at ``array[index : index + WIDTH]``; lanes that do not exist are zero."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _emit_load(context, builder, signature.args[0], args[0], args[1], group, args[2])

    return group.lanes(array, types.intp, group), generate


@intrinsic
def store(context: Any, array: Any, index: Any, value: Any, group: Any) -> Any:
    """Write the vector to ``array[index : index + WIDTH]``, where the lanes exist."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        emit_store(context, builder, signature.args[0], args[0], args[1], args[2], group, args[3])
        return context.get_dummy_value()

    return types.void(array, types.intp, group.lanes, group), generate


@intrinsic
def prefetch(context: Any, array: Any, index: Any, group: Any) -> Any:
    """Ask for the memory at ``array[index : index + WIDTH]`` ahead of its use; harmless beyond the ends of the array.

    Into the second cache: in the first, rows that lie whole pages apart fall into the same sets, and push one another out.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        for line in range(0, BYTES, 64):
            element = line // (group.lanes.dtype.bitwidth // 8)
            at = builder.bitcast(builder.gep(data, [builder.add(args[1], args[1].type(element))]), byte)
            call(builder, "llvm.prefetch.p0", ir.VoidType(), [at, number(0), number(2), number(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp, group), generate


@intrinsic
def _store_past_cache(context: Any, array: Any, index: Any, value: Any, group: Any) -> Any:
    """As `store`, past the cache: for memory aligned to 64 bytes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        emit_store(context, builder, signature.args[0], args[0], args[1], args[2], group, args[3], past_cache=True)
        return context.get_dummy_value()

    return types.void(array, types.intp, group.lanes, group), generate


@intrinsic
def load_rows(context: Any, array: Any, index: Any, stride: Any, rows: Any, group: Any) -> Any:
    """The tuple of vectors at index, index + stride, ...; as many as the tuple `rows` has items."""
    result = types.UniTuple(group.lanes, len(rows))

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vectors, at = [], args[1]
        for _ in range(len(rows)):
            vectors.append(_emit_load(context, builder, signature.args[0], args[0], at, group, args[4]))
            at = builder.add(at, args[2])
        return context.make_tuple(builder, result, vectors)

    return result(array, types.intp, types.intp, rows, group), generate


@intrinsic
def load_numbers(context: Any, array: Any, index: Any, stride: Any, rows: Any) -> Any:
    """The tuple of vectors filled with the numbers at index, index + stride, ...; as many as the tuple `rows` has items."""
    group = Group(array.dtype, False)
    result = types.UniTuple(group.lanes, len(rows))

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        vectors, at = [], args[1]
        for _ in range(len(rows)):
            vectors.append(broadcast(builder, builder.load(builder.gep(data, [at])), group.lanes.count))
            at = builder.add(at, args[2])
        return context.make_tuple(builder, result, vectors)

    return result(array, types.intp, types.intp, rows), generate


@intrinsic
def store_rows(context: Any, array: Any, index: Any, stride: Any, vectors: Any, group: Any) -> Any:
    """Write the vectors to index, index + stride, ..."""
    return types.void(array, types.intp, types.intp, vectors, group), _rows_storer(group, len(vectors))


@intrinsic
def _store_rows_past_cache(context: Any, array: Any, index: Any, stride: Any, vectors: Any, group: Any) -> Any:
    """As `store_rows`, past the cache: for memory aligned to 64 bytes."""
    return types.void(array, types.intp, types.intp, vectors, group), _rows_storer(group, len(vectors), past_cache=True)


def _rows_storer(group: Group, count: int, *, past_cache: bool = False) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array, at, stride, vectors, mask = args
        for i in range(count):
            value = builder.extract_value(vectors, i)
            emit_store(context, builder, signature.args[0], array, at, value, group, mask, past_cache=past_cache)
            at = builder.add(at, stride)
        return context.get_dummy_value()

    return generate


@intrinsic
def occupied(context: Any, vector: Any) -> Any:
    """The lanes that are not zero, as bits of a number; what is no number is not zero."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        differs = builder.fcmp_unordered("!=", args[0], constant(args[0].type, 0.0))
        return builder.zext(builder.bitcast(differs, ir.IntType(vector.count)), ir.IntType(64))

    return types.int64(vector), generate


@intrinsic
def kept(context: Any, vector: Any, group: Any) -> Any:
    """The vector with zeros in the lanes that do not exist."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(args[1], args[0], constant(args[0].type, 0.0)) if group.partial else args[0]

    return vector(vector, group), generate


@intrinsic
def bits_set(context: Any, number: Any) -> Any:
    """How many bits of the number are set."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.int64), generate


@intrinsic
def trailing_zeros(context: Any, number: Any) -> Any:
    """The place of the lowest bit that is set, of a number that has one."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate


@intrinsic
def lowest_cleared(context: Any, number: Any) -> Any:
    """The number without its lowest bit that is set. Numba's own subtraction takes it for granted that no sign overflows."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.and_(args[0], builder.sub(args[0], ir.Constant(args[0].type, 1)))

    return types.int64(types.int64), generate


@inline
def upcoming(ahead, asked, size, tile, step, neurons):
    """Where the next vector of this tile asks for the next tile, and how many vectors of the row there were asked for before.

    In the order of memory, a row of the block, of `size` neurons, after the other: each vector asks for `tile` vectors, one a
    time step. Asking for the same neurons of every row puts too many lines into the same sets of the cache where a step is a
    multiple of a page. From vector to vector: divisions would take a twentieth of a short tile's time.
    """
    vectors = -(-size // step)
    ahead, asked = ahead + tile * step, asked + tile
    while asked >= vectors:
        ahead, asked = ahead + neurons - vectors * step, asked - vectors
    return ahead, asked


@inline
def put(array, index, value, past_cache, group):
    """Write the vector, past the cache if asked to: for aligned memory that nobody reads soon."""
    if past_cache:
        _store_past_cache(array, index, value, group)
    else:
        store(array, index, value, group)


@inline
def put_rows(array, index, stride, vectors, past_cache, group):
    """As `put`, the vectors to index, index + stride, ..."""
    if past_cache:
        _store_rows_past_cache(array, index, stride, vectors, group)
    else:
        store_rows(array, index, stride, vectors, group)


@inline
def load_at(x, window, time, neurons, index, group):
    """The input at `time`; before 0 it stands in the window, which ends at time -1; before that it is zero."""
    if time >= 0:
        return load(x, time * neurons + index, group)
    start = window.size + time * neurons
    if start >= 0:
        return load(window, start + index, group)
    return full(0.0, group)


@inline
def add_rows(table, index, stride, vectors, group):
    """Add the vectors to those at index, index + stride, ..."""
    store_rows(table, index, stride, plus(load_rows(table, index, stride, vectors, group), vectors), group)


@inline
def tabulate(table, first_row, values, rows, channels, space, period, scale):
    """Write parameters ``[channels, rows]``, times `scale`, to rows of a table over the columns of a period of neurons."""
    channel, used = 0, 0
    for column in range(period):
        for each in range(rows):
            table[(first_row + each) * period + column] = values[channel * rows + each] * scale
        used += 1
        if used == space:
            channel, used = (channel + 1) % channels, 0


@inline
def add_columns(totals, sums, rows, start, stop, period, block):
    """Add what a block of neurons summed (`rows` rows of `block`) to the table of parameters (`rows` rows of `period`)."""
    step = BYTES // sums.itemsize
    for each in range(rows):
        column = start % period
        for slot in range(0, stop - start, step):
            group = part(sums, min(step, stop - start - slot))
            at = each * period + column
            store(totals, at, load(totals, at, group) + load(sums, each * block + slot, group), group)
            column += step
            if column >= period:
                column = 0
