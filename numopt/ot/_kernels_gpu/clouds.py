# SPDX-License-Identifier: BSD-3-Clause
"""CuPy bodies of the passes over two clouds; costs are made in registers.

Every pair is computed: leaves, which tell other bodies what to leave out, are not used.
"""

import cupy

from numopt._kernels.cuda import raw_module

__all__ = [
    "cloud_apply",
    "cloud_cost",
    "cloud_gradient",
    "cloud_pass",
    "cloud_product",
]

_THREADS = 256
#: Rows summed by one thread; enough slabs to fill the device, few enough to add up.
_SLAB = 512
#: Most blocks of a grid: rows beyond are taken by the same blocks.
_BLOCKS = 65_535


class _Pair:
    """Two clouds with potentials, as the device functions take them."""

    def __init__(self, coupling):
        X, _, _, _, Y, _, _, _, metric, _, gamma, phi, log_a, _, inv_eps, _ = coupling
        self.dtype, self.n, self.m = gamma.dtype, X.shape[0], Y.shape[1]
        self.phi, self.log_a = phi, log_a
        self.inv_eps = cupy.float64(inv_eps)
        self.points = cupy.ascontiguousarray(X), cupy.ascontiguousarray(Y), gamma
        self.sizes = (
            cupy.int64(self.n),
            cupy.int64(self.m),
            cupy.int32(X.shape[1]),
            cupy.int32(metric),
        )
        self._module = raw_module("numopt.ot", "clouds.cu", self.dtype.name)

    def run(self, name, grid, phi, *arguments):
        """Run a device function on a grid of blocks."""
        if min(grid) > 0:
            function = self._module.get_function(name)
            function(grid, (_THREADS,), (*self.points, phi, *arguments))

    def by_row(self, name, out, *arguments):
        """Run one that fills the rows of ``out``."""
        self.run(name, (min(self.n, _BLOCKS),), self.phi, *arguments)
        return out

    def applied(self, V):
        """P V in double precision."""
        V = cupy.ascontiguousarray(V)
        out = cupy.empty((self.n, V.shape[1]), cupy.float64)
        width = cupy.int32(V.shape[1])
        return self.by_row("cloud_apply", out, V, self.inv_eps, out, *self.sizes, width)

    def columns(self, phi, weight):
        """Sum of P_ij weight_i over the rows, in slabs."""
        slabs = (self.n + _SLAB - 1) // _SLAB
        part = cupy.empty((slabs, self.m), cupy.float64)
        grid = (self.m + _THREADS - 1) // _THREADS, slabs
        more = weight, self.inv_eps, part, *self.sizes, cupy.int64(_SLAB)
        self.run("cloud_columns", grid, phi, *more)
        return part.sum(axis=0).astype(self.dtype)


def cloud_pass(*arguments):
    """Row update and column sums: two sweeps over the pairs."""
    *coupling, omega = arguments
    pair = _Pair(coupling)
    out = cupy.empty_like(pair.phi)
    scalars = pair.inv_eps, cupy.float64(omega)
    pair.by_row("cloud_rows", out, pair.log_a, *scalars, out, *pair.sizes)
    return out, pair.columns(out, cupy.ones(pair.n, cupy.float64))


def cloud_product(*arguments):
    """Product with P^T diag(weight) P: a sweep for each factor."""
    *coupling, weight, x = arguments
    pair = _Pair(coupling)
    return pair.columns(pair.phi, weight * pair.applied(x[:, None])[:, 0])


def cloud_apply(*arguments):
    """Product with P."""
    *coupling, V = arguments
    return _Pair(coupling).applied(V).astype(V.dtype)


def cloud_cost(*coupling):
    """Transport cost by row."""
    pair = _Pair(coupling)
    out = cupy.empty_like(pair.phi)
    return pair.by_row("cloud_cost", out, pair.inv_eps, out, *pair.sizes)


def cloud_gradient(*coupling):
    """Gradient in the points of the rows."""
    pair = _Pair(coupling)
    out = cupy.empty_like(pair.points[0])
    return pair.by_row("cloud_gradient", out, pair.inv_eps, out, *pair.sizes)
