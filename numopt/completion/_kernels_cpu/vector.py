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

__all__ = [
    "LANES",
    "LINE_BYTES",
    "add_squares",
    "axpy",
    "copy",
    "dot",
    "gram_tile",
    "normal_pass",
    "padded",
    "prefetch",
    "solve_tile",
    "weighted_sum",
]

LANES = 8
#: Bytes of a cache line.
LINE_BYTES = 64


def padded(d):
    """Round up to a multiple of ``LANES``."""
    return -(-d // LANES) * LANES


def _scalar(context, array_type):
    """Type of an entry."""
    return context.get_value_type(array_type.dtype)


def _vector(context, array_type, lanes=LANES):
    """Type of some entries side by side."""
    return ir.VectorType(_scalar(context, array_type), lanes)


def _pointer(context, builder, array_type, value, offset, vector):
    """Pointer to a vector that begins at an element offset."""
    data = context.make_array(array_type)(context, builder, value).data
    return builder.bitcast(builder.gep(data, [offset]), vector.as_pointer())


def _size(vector):
    """Bytes of an entry of a vector type."""
    return 8 if isinstance(vector.element, ir.DoubleType) else 4


def _load(builder, pointer, vector):
    """Load a vector that need not be aligned."""
    return builder.load(pointer, align=_size(vector))


def _store(builder, value, pointer):
    """Store a vector that need not be aligned."""
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
def prefetch(typingctx, source, start, n):
    """Ask for the cache lines of source[start:start+n]; any offset is allowed."""

    def codegen(context, builder, signature, args):
        source_type = signature.args[0]
        source_value, start, n = args
        data = context.make_array(source_type)(context, builder, source_value).data
        byte_pointer, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
        ask = builder.module.declare_intrinsic(
            "llvm.prefetch",
            [byte_pointer],
            ir.FunctionType(ir.VoidType(), [byte_pointer, i32, i32, i32]),
        )
        size = context.get_abi_sizeof(_scalar(context, source_type))
        step = context.get_constant(types.intp, LINE_BYTES // size)
        one = context.get_constant(types.intp, LINE_BYTES // size - 1)
        lines = builder.sdiv(builder.add(n, one), step)
        with cgutils.for_range(builder, lines) as loop:
            place = builder.gep(
                data, [builder.add(start, builder.mul(loop.index, step))]
            )
            # For reading (0), into the second level (2), as data (1).
            builder.call(
                ask, [builder.bitcast(place, byte_pointer), i32(0), i32(2), i32(1)]
            )
        return context.get_dummy_value()

    i = types.intp
    return types.void(source, i, i), codegen


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
def weighted_sum(
    typingctx, out, at, factors, rows, begin, end, source, width, j, lanes
):
    """out[at:at+lanes] = sum over begin <= t < end of factors[t] * row rows[t].

    A row is source[width * rows[t] + j :][:lanes]; ``lanes`` is the literal 8 or 32.
    """
    if not isinstance(lanes, types.IntegerLiteral):
        raise RequireLiteralValue("`lanes` must be a literal")
    parts = lanes.literal_value // LANES

    def codegen(context, builder, signature, args):
        out_type, _, factors_type, rows_type, _, _, source_type = signature.args[:7]
        out_value, at, factors, rows, begin, end, source_value, width, j, _ = args
        vector = _vector(context, source_type)

        def entry(array_type, value, t):
            """Scalar of an array."""
            data = context.make_array(array_type)(context, builder, value).data
            return builder.load(builder.gep(data, [t]))

        sums = [cgutils.alloca_once(builder, vector) for _ in range(parts)]
        for kept in sums:
            builder.store(ir.Constant(vector, None), kept)
        with cgutils.for_range_slice(
            builder, begin, end, context.get_constant(types.intp, 1), inc=True
        ) as (t, _):
            row = entry(rows_type, rows, t)
            if row.type.width < width.type.width:
                row = builder.sext(row, width.type)
            first = builder.add(builder.mul(row, width), j)
            factor = _splat(builder, entry(factors_type, factors, t), vector)
            for p, kept in enumerate(sums):
                place = builder.add(first, context.get_constant(types.intp, p * LANES))
                pointer = _pointer(
                    context, builder, source_type, source_value, place, vector
                )
                total = _fused(
                    builder, factor, _load(builder, pointer, vector), builder.load(kept)
                )
                builder.store(total, kept)
        for p, kept in enumerate(sums):
            place = builder.add(at, context.get_constant(types.intp, p * LANES))
            pointer = _pointer(context, builder, out_type, out_value, place, vector)
            _store(builder, builder.load(kept), pointer)
        return context.get_dummy_value()

    i = types.intp
    return types.void(out, i, factors, rows, i, i, source, i, i, lanes), codegen


@intrinsic
def gram_tile(typingctx, rows, n, width, i, j, out, lanes, subtract):
    """Add (or subtract) sum over r < n of r[i:i+8] r[j:j+lanes]^T to a tile of ``out``.

    ``rows`` holds n rows and ``out`` a square matrix, both of ``width`` columns; the
    tile is out[i:i+8, j:j+lanes]. ``lanes`` is the literal 8 or 16, ``subtract`` a
    literal flag.
    """
    if not isinstance(lanes, types.IntegerLiteral):
        raise RequireLiteralValue("`lanes` must be a literal")
    if not isinstance(subtract, types.BooleanLiteral):
        raise RequireLiteralValue("`subtract` must be a literal")
    count, negative = lanes.literal_value, subtract.literal_value

    def codegen(context, builder, signature, args):
        rows_type, out_type = signature.args[0], signature.args[5]
        rows_value, n, width, i, j, out_value, _, _ = args
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
            if negative:
                wide = builder.fneg(wide)
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
    return types.void(rows, i8, i8, i8, i8, out, lanes, subtract), codegen


def _horizontal_sum(builder, value):
    """Sum of the lanes of a vector, by halves."""
    i32 = ir.IntType(32)
    lanes = value.type.count
    while lanes > 1:
        lanes //= 2
        mask = ir.Constant(ir.VectorType(i32, lanes), list(range(lanes)))
        upper = ir.Constant(ir.VectorType(i32, lanes), list(range(lanes, 2 * lanes)))
        none = ir.Constant(value.type, ir.Undefined)
        value = builder.fadd(
            builder.shuffle_vector(value, none, mask),
            builder.shuffle_vector(value, none, upper),
        )
    return builder.extract_element(value, i32(0))


@intrinsic
def dot(typingctx, a, at, b, start, n):
    """Sum of a[at:at+n] * b[start:start+n], n a multiple of eight."""

    def codegen(context, builder, signature, args):
        a_type, _, b_type, _, _ = signature.args
        vector = _vector(context, a_type)
        a_value, at, b_value, start, n = args
        eight = context.get_constant(types.intp, LANES)
        kept = cgutils.alloca_once(builder, vector)
        builder.store(ir.Constant(vector, None), kept)
        with cgutils.for_range(builder, builder.sdiv(n, eight)) as loop:
            shift = builder.mul(loop.index, eight)
            left = _pointer(
                context, builder, a_type, a_value, builder.add(at, shift), vector
            )
            right = _pointer(
                context, builder, b_type, b_value, builder.add(start, shift), vector
            )
            total = _fused(
                builder,
                _load(builder, left, vector),
                _load(builder, right, vector),
                builder.load(kept),
            )
            builder.store(total, kept)
        return _horizontal_sum(builder, builder.load(kept))

    i = types.intp
    return a.dtype(a, i, b, i, i), codegen


@intrinsic
def solve_tile(typingctx, G, width, i, j, factor, lanes):
    """Solve R^T X = G[i:i+8, j:j+lanes] in place for an upper triangle R.

    ``factor`` (64,) holds R row by row, with the reciprocals of its diagonal;
    ``lanes`` is the literal 8 or 16, ``width`` the number of columns of G.
    """
    if not isinstance(lanes, types.IntegerLiteral):
        raise RequireLiteralValue("`lanes` must be a literal")
    count = lanes.literal_value

    def codegen(context, builder, signature, args):
        G_type, factor_type = signature.args[0], signature.args[4]
        G_value, width, i, j, factor_value, _ = args
        vector = _vector(context, G_type, count)
        size = _size(vector)
        data = context.make_array(factor_type)(context, builder, factor_value).data

        def entry(p, q):
            """Entry of the factor in every lane."""
            place = builder.gep(data, [context.get_constant(types.intp, 8 * p + q)])
            return _splat(builder, builder.load(place, align=size), vector)

        targets, lines = [], []
        for r in range(LANES):
            line = builder.add(i, context.get_constant(types.intp, r))
            offset = builder.add(builder.mul(line, width), j)
            target = _pointer(context, builder, G_type, G_value, offset, vector)
            targets.append(target)
            lines.append(_load(builder, target, vector))
        for p in range(LANES):
            lines[p] = builder.fmul(lines[p], entry(p, p))
            negative = builder.fneg(lines[p])
            for q in range(p + 1, LANES):
                lines[q] = _fused(builder, entry(p, q), negative, lines[q])
        for line, target in zip(lines, targets, strict=True):
            _store(builder, line, target)
        return context.get_dummy_value()

    n = types.intp
    return types.void(G, n, n, n, factor, lanes), codegen


@intrinsic
def add_squares(typingctx, rows, first, n, width, out):
    """Add the squares of the ``n`` rows (1 or 4) from ``first`` to ``out``.

    Rows and ``out`` have ``width`` columns, a multiple of eight.
    """
    if not isinstance(n, types.IntegerLiteral):
        raise RequireLiteralValue("`n` must be a literal")
    count = n.literal_value

    def codegen(context, builder, signature, args):
        rows_type, out_type = signature.args[0], signature.args[4]
        rows_value, first, _, width, out_value = args
        vector = _vector(context, rows_type)
        eight = context.get_constant(types.intp, LANES)
        with cgutils.for_range(builder, builder.sdiv(width, eight)) as loop:
            shift = builder.mul(loop.index, eight)
            target = _pointer(context, builder, out_type, out_value, shift, vector)
            total = _load(builder, target, vector)
            for r in range(count):
                line = builder.add(first, context.get_constant(types.intp, r))
                at = builder.add(builder.mul(line, width), shift)
                pointer = _pointer(context, builder, rows_type, rows_value, at, vector)
                value = _load(builder, pointer, vector)
                total = _fused(builder, value, value, total)
            _store(builder, total, target)
        return context.get_dummy_value()

    i = types.intp
    return types.void(rows, i, n, i, out), codegen


@intrinsic
def normal_pass(typingctx, rows, first, n, width, p, out):
    """Add rows^T (rows p) of the ``n`` rows (1 or 4) from ``first`` to ``out``.

    Rows, ``p`` and ``out`` have ``width`` columns, a multiple of eight. Returns
    |rows p|^2. Four rows at a time read and write ``out`` once.
    """
    if not isinstance(n, types.IntegerLiteral):
        raise RequireLiteralValue("`n` must be a literal")
    count = n.literal_value

    def codegen(context, builder, signature, args):
        rows_type, out_type = signature.args[0], signature.args[5]
        rows_value, first, _, width, p_value, out_value = args
        p_type = signature.args[4]
        vector = _vector(context, rows_type)
        eight = context.get_constant(types.intp, LANES)
        blocks = builder.sdiv(width, eight)
        bases = []
        for r in range(count):
            line = builder.add(first, context.get_constant(types.intp, r))
            bases.append(builder.mul(line, width))
        sums = [cgutils.alloca_once(builder, vector) for _ in range(count)]
        for kept in sums:
            builder.store(ir.Constant(vector, None), kept)

        def row(r, shift):
            """Vector of a row."""
            at = builder.add(bases[r], shift)
            pointer = _pointer(context, builder, rows_type, rows_value, at, vector)
            return _load(builder, pointer, vector)

        with cgutils.for_range(builder, blocks) as loop:
            shift = builder.mul(loop.index, eight)
            q = _load(
                builder,
                _pointer(context, builder, p_type, p_value, shift, vector),
                vector,
            )
            for r, kept in enumerate(sums):
                total = _fused(builder, row(r, shift), q, builder.load(kept))
                builder.store(total, kept)
        factors = [_horizontal_sum(builder, builder.load(kept)) for kept in sums]
        wide = [_splat(builder, factor, vector) for factor in factors]
        with cgutils.for_range(builder, blocks) as loop:
            shift = builder.mul(loop.index, eight)
            target = _pointer(context, builder, out_type, out_value, shift, vector)
            total = _load(builder, target, vector)
            for r in range(count):
                total = _fused(builder, wide[r], row(r, shift), total)
            _store(builder, total, target)
        square = builder.fmul(factors[0], factors[0])
        for factor in factors[1:]:
            square = builder.fadd(square, builder.fmul(factor, factor))
        return square

    i = types.intp
    return rows.dtype(rows, i, n, i, p, out), codegen
