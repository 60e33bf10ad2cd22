# SPDX-License-Identifier: BSD-3-Clause
"""Hot loops of sparse Bayesian learning, by formula."""

import numpy as np

from numopt._kernels.dispatch import sequential_kernel

__all__ = ["column_moments", "evidence_ascent", "gram_rows"]

evidence_ascent = sequential_kernel(
    "evidence_ascent",
    """Change one atom at a time while log evidence plus log prior grows.

    With ``C = I/beta + A diag(1/alpha) A^H`` and, for every atom, ``S_j = a_j^H C^-1
    a_j`` and ``Q_j = a_j^H C^-1 y``, the best addition (Tipping and Faul 2003, eqs.
    26-37) is made while one gains more than ``tol``, up to a few. Then the active
    atoms are re-estimated and deleted, the best first, and the noise precision is
    updated until neither pays; that asks for nothing but their own products. At last
    ``S`` and ``Q`` are computed afresh. State arrays named ``work_*`` are updated in
    place; the answer is a code saying why it returned.
    """,
    numpy="numopt.sbl._kernels_cpu.ascent:evidence_ascent",
)

gram_rows = sequential_kernel(
    "gram_rows",
    """Rows ``d_j (a_j - mean_j)^H A diag(d)`` of some atoms j, appended to a pool.""",
    numpy="numopt.sbl._kernels_cpu.products:gram_rows",
)

column_moments = sequential_kernel(
    "column_moments",
    """Means, energies and products with y of columns, centred on request.""",
    numpy="numopt.sbl._kernels_cpu.products:column_moments",
)


@column_moments.example
def _moments(rng, dtype, size):
    A = rng.standard_normal((size, 5)).astype(dtype)
    A.flags.writeable = False  # as callers do: one compiled version
    y = rng.standard_normal(size)
    y.flags.writeable = False
    return A, y, size > 0


@gram_rows.example
def _rows(rng, dtype, size):
    A = rng.standard_normal((size + 4, 6))
    A.flags.writeable = False
    pool, made = np.zeros((6, 6)), np.array([1])
    d, chosen = rng.random(6), np.array([4, 1])
    return A, A.mean(axis=0), d, chosen, pool, np.array([0, -1, -1, -1, -1, -1]), made


@evidence_ascent.example
def _ascent(rng, dtype, size):
    n, p = size + 4, min(size, 40) + 2
    A = rng.standard_normal((n, p))
    A.flags.writeable = False
    y = 2 * A[:, :2].sum(axis=1) + 0.1 * rng.standard_normal(n)
    d = np.sqrt(n / np.sum(A * A, axis=0))
    B = (A.T @ y * d)[None, :]
    m, beta = min(n, p), 10.0
    return (
        A,
        np.zeros(p),
        d,
        B,
        np.zeros((p, p)),
        np.full(p, -1),
        np.array([0]),
        np.zeros(p),
        np.full(p, -1),
        np.zeros(m, np.int64),
        np.zeros(m),
        np.zeros((1, m)),
        np.zeros((m, m)),
        np.full(p, beta * n),
        beta * B,
        np.array([beta, n, y @ y, 0.5, -1, 1e-5, 1, 1e-6, 1, 0, 0, 0, beta * y @ y, p]),
        np.array([0, 0, 0]),
        20,
    )
