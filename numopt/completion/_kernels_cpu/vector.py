# SPDX-License-Identifier: BSD-3-Clause
"""Explicit vectors of eight numbers: register tiles that compilers do not find.

All offsets are in elements of flat C-contiguous arrays; rows are padded to multiples
of eight, so that no loop has a remainder.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import RequireLiteralValue
from numba.extending import intrinsic

__all__ = ["LANES", "axpy", "copy", "gram_tile", "padded"]

LANES = 8


def padded(d):
    """Round up to a multiple of ``LANES``."""
    return -(-d // LANES) * LANES


def _scalar(context, array_type):
    return context.get_value_type(array_type.dtype)


def _vector(context, array_type, lanes=LANES):
    return ir.VectorType(_scalar(context, array_type), lanes)


def _pointer(context, builder, array_type, value, offset, vector):
    """Pointer to a vector that begins at an element offset."""
    data = context.make_array(array_type)(context, builder, value).data
    return builder.bitcast(builder.gep(data, [offset]), vector.as_pointer())


def _size(vector):
    return 8 if isinstance(vector.element, ir.DoubleType) else 4


def _load(builder, pointer, vector):
    return builder.load(pointer, align=_size(vector))


def _store(builder, value, pointer):
    builder.store(value, pointer, align=_size(value.type))


def _splat(builder, scalar, vector):
    """Vector with one scalar in every lane."""
    i32 = ir.IntType(32)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, i32(0))
    zeros = ir.Constant(ir.VectorType(i32, vector.count), [0] * vector.count)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)


def _fused(builder, a, b, c):
    """A * b + c, contracted to one instruction."""
    return builder.fadd(builder.fmul(a, b, flags=("contract",)), c, flags=("contract",))


@intrinsic
def copy(typingctx, out, at, source, start, n):
    """out[at:at+n] = source[start:start+n], n a multiple of eight."""

    def codegen(context, builder, signature, args):
        out_type, _, source_type, _, _ = signature.args
        vector = _vector(context, source_type)
        out_value, at, source_value, start, n = args
        eight = context.get_constant(types.intp, LANES)
        blocks = builder.sdiv(n, eight)
        with cgutils.for_range(builder, blocks) as loop:
            shift = builder.mul(loop.index, eight)
            p = _pointer(
                context,
                builder,
                source_type,
                source_value,
                builder.add(start, shift),
                vector,
            )
            q = _pointer(
                context, builder, out_type, out_value, builder.add(at, shift), vector
            )
            _store(builder, _load(builder, p, vector), q)
        return context.get_dummy_value()

    i = types.intp
    return types.void(out, i, source, i, i), codegen


@intrinsic
def axpy(typingctx, out, at, factor, source, start, n):
    """out[at:at+n] += factor * source[start:start+n], n a multiple of eight."""

    def codegen(context, builder, signature, args):
        out_type, _, _, source_type, _, _ = signature.args
        vector = _vector(context, source_type)
        out_value, at, factor, source_value, start, n = args
        wide = _splat(builder, factor, vector)
        eight = context.get_constant(types.intp, LANES)
        with cgutils.for_range(builder, builder.sdiv(n, eight)) as loop:
            shift = builder.mul(loop.index, eight)
            p = _pointer(
                context,
                builder,
                source_type,
                source_value,
                builder.add(start, shift),
                vector,
            )
            q = _pointer(
                context, builder, out_type, out_value, builder.add(at, shift), vector
            )
            value = _fused(
                builder, wide, _load(builder, p, vector), _load(builder, q, vector)
            )
            _store(builder, value, q)
        return context.get_dummy_value()

    i = types.intp
    return types.void(out, i, source.dtype, source, i, i), codegen


@intrinsic
def gram_tile(typingctx, rows, n, width, i, j, out, lanes):
    """out[i:i+8, j:j+lanes] = sum over rows r < n of r[i:i+8] r[j:j+lanes]^T.

    ``rows`` holds n rows and ``out`` a square matrix, both of ``width`` columns; the
    sum is added to ``out``. ``lanes`` is the literal 8 or 16.
    """
    if not isinstance(lanes, types.IntegerLiteral):
        raise RequireLiteralValue("`lanes` must be a literal")
    count = lanes.literal_value

    def codegen(context, builder, signature, args):
        rows_type, out_type = signature.args[0], signature.args[5]
        rows_value, n, width, i, j, out_value, _ = args
        vector = _vector(context, rows_type, count)
        data = context.make_array(rows_type)(context, builder, rows_value).data
        sums, targets = [], []
        for r in range(LANES):
            line = builder.add(i, context.get_constant(types.intp, r))
            offset = builder.add(builder.mul(line, width), j)
            target = _pointer(context, builder, out_type, out_value, offset, vector)
            kept = cgutils.alloca_once(builder, vector)
            builder.store(_load(builder, target, vector), kept)
            sums.append(kept)
            targets.append(target)
        with cgutils.for_range(builder, n) as loop:
            base = builder.mul(loop.index, width)
            right = builder.gep(data, [builder.add(base, j)])
            wide = _load(builder, builder.bitcast(right, vector.as_pointer()), vector)
            left = builder.gep(data, [builder.add(base, i)])
            for r in range(LANES):
                place = builder.gep(left, [context.get_constant(types.intp, r)])
                factor = _splat(
                    builder, builder.load(place, align=_size(vector)), vector
                )
                builder.store(
                    _fused(builder, factor, wide, builder.load(sums[r])), sums[r]
                )
        for kept, target in zip(sums, targets, strict=True):
            _store(builder, builder.load(kept), target)
        return context.get_dummy_value()

    i8 = types.intp
    return types.void(rows, i8, i8, i8, i8, out, lanes), codegen
