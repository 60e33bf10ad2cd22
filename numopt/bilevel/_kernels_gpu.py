# SPDX-License-Identifier: BSD-3-Clause
"""CuPy bodies of the stencils; see ``_kernels`` for the formulas."""

import cupy

from numopt._kernels.cuda import raw_module

__all__ = [
    "experts_cross",
    "experts_curvature",
    "experts_gradient",
    "experts_products",
    "experts_third",
    "tv_curvature",
    "tv_gradient",
    "tv_products",
]

_THREADS = 256
_MAX_BLOCKS = 65_535


def _run(name, dtype, count, args):
    """Launch one thread an output entry; nothing for an empty output."""
    if count == 0:
        return
    module = raw_module("numopt.bilevel", "stencils.cu", dtype.name)
    blocks = min(-(-count // _THREADS), _MAX_BLOCKS)
    module.get_function(name)((blocks,), (_THREADS,), args)


def _sizes(*sizes):
    """Sizes as the 64-bit integers that the kernels take."""
    return tuple(cupy.int64(size) for size in sizes)


# ----------------------------------------------------------------- total variation
def tv_gradient(x, y, lam, nu, isotropic):
    """Values per image and gradient."""
    x, y = cupy.ascontiguousarray(x), cupy.ascontiguousarray(y)
    out, terms, real = cupy.empty_like(x), cupy.empty_like(x), x.dtype.type
    scalars = (real(lam), real(nu * nu), cupy.int32(isotropic))
    _run(
        "tv_gradient", x.dtype, x.size, (x, y, *scalars, out, terms, *_sizes(*x.shape))
    )
    return terms.sum(axis=(1, 2), dtype=cupy.float64), out


def tv_curvature(x, nu, isotropic):
    """Entries of the Hessian of phi."""
    x = cupy.ascontiguousarray(x)
    out = cupy.empty((3, *x.shape), x.dtype)
    args = (x, x.dtype.type(nu * nu), cupy.int32(isotropic), out, *_sizes(*x.shape))
    _run("tv_curvature", x.dtype, x.size, args)
    return out


def tv_products(v, a, lam):
    """Hessian product."""
    v, a = cupy.ascontiguousarray(v), cupy.ascontiguousarray(a)
    out = cupy.empty_like(v)
    args = (v, a, v.dtype.type(lam), out, *_sizes(*v.shape))
    _run("tv_products", v.dtype, v.size, args)
    return out


# ---------------------------------------------------------------- fields of experts
def _shape(x, filters):
    """(B, K, k, H, W) of a padded batch and filters."""
    B, height, width = x.shape
    K, k = filters.shape[:2]
    return B, K, k, height - k + 1, width - k + 1


def _respond(x, filters):
    """Responses (B, K, H, W)."""
    x, filters = cupy.ascontiguousarray(x), cupy.ascontiguousarray(filters)
    B, K, k, H, W = _shape(x, filters)
    out = cupy.empty((B, K, H, W), x.dtype)
    _run("respond", x.dtype, out.size, (x, filters, out, *_sizes(B, K, k, H, W)))
    return out


def _gather(p, filters, like):
    """Adjoint of the responses."""
    p, filters = cupy.ascontiguousarray(p), cupy.ascontiguousarray(filters)
    out = cupy.empty(like.shape, p.dtype)
    sizes = _sizes(*_shape(like, filters))
    _run("gather", p.dtype, out.size, (p, filters, out, *sizes))
    return out


def _wide(one):
    """A number of each filter, along the axis of the filters."""
    return one[None, :, None, None]


def experts_gradient(x, filters, a, b):
    """Values per image and gradient."""
    u = _respond(x, filters)
    phi = cupy.sqrt(u * u + _wide(b * b))
    terms = _wide(a) * (phi - _wide(b))
    values = terms.sum(axis=(1, 2, 3), dtype=cupy.float64)
    return values, _gather(_wide(a) * u / phi, filters, x)


def experts_curvature(x, filters, a, b):
    """Weights of the Hessian."""
    u = _respond(x, filters)
    square = u * u + _wide(b * b)
    return _wide(a * b * b) / (square * cupy.sqrt(square))


def experts_products(v, filters, weights):
    """Hessian product."""
    return _gather(weights * _respond(v, filters), filters, v)


def experts_cross(x, q, filters, a, b):
    """Derivatives in log a, log b and the taps."""
    _, _, k, H, W = _shape(x, filters)
    u, v = _respond(x, filters), _respond(q, filters)
    square = u * u + _wide(b * b)
    phi = cupy.sqrt(square)
    p = _wide(a) * u / phi
    w = _wide(a * b * b) / (square * phi) * v
    axes = {"axis": (0, 2, 3), "dtype": cupy.float64}
    sums = [(p * v).sum(**axes), -(w * u).sum(**axes)]
    for i in range(k):
        for j in range(k):
            window = (slice(None), None, slice(i, i + H), slice(j, j + W))
            sums.append((p * q[window] + w * x[window]).sum(**axes))
    return cupy.stack(sums, axis=1)


def experts_third(x, q, filters, b, radius):
    """Largest third derivative along q."""
    u = cupy.abs(_respond(x, filters)) - _wide(radius)
    u = cupy.maximum(u, _wide(b) / 2)
    square = u * u + _wide(b * b)
    third = 3 * _wide(b * b) * u / (square * square * cupy.sqrt(square))
    along = cupy.abs(_respond(q, filters)) * third
    return along.max(axis=(0, 2, 3)) if along.size else cupy.zeros_like(b)
