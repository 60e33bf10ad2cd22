# SPDX-License-Identifier: BSD-3-Clause
"""Hot loops of sparse Bayesian learning, by formula."""

import numpy as np

from numopt._kernels.dispatch import sequential_kernel

__all__ = ["column_moments", "evidence_ascent"]

evidence_ascent = sequential_kernel(
    "evidence_ascent",
    """Change one atom at a time while log evidence plus log prior grows.

    With ``C = I/beta + A diag(1/alpha) A^H`` and, for every atom, ``S_j = a_j^H C^-1
    a_j`` and ``Q_j = a_j^H C^-1 y``, the best of all additions, re-estimations and
    deletions (Tipping and Faul 2003, eqs. 26-37) is taken until its gain is below
    ``tol`` or the round is full; then the noise precision is updated and everything
    is computed afresh from the Gram rows of the active atoms. State arrays named
    ``work_*`` are updated in place; the answer is a code saying why it returned.
    """,
    numpy="numopt.sbl._kernels_cpu:evidence_ascent",
)

column_moments = sequential_kernel(
    "column_moments",
    """Sums over rows of ``A_ij - shift_j`` and of its squares, in one pass.""",
    numpy="numopt.sbl._kernels_cpu:column_moments",
)


@column_moments.example
def _moments(rng, dtype, size):
    A = rng.standard_normal((size, 5)).astype(dtype)
    A.flags.writeable = False  # as callers do: one compiled version
    return A, rng.standard_normal(5)


@evidence_ascent.example
def _ascent(rng, dtype, size):
    n, p = size + 4, min(size, 40) + 2
    A = rng.standard_normal((n, p))
    y = 2 * A[:, :2].sum(axis=1) + 0.1 * rng.standard_normal(n)
    d = np.sqrt(n / np.sum(A * A, axis=0))
    B = (A.T @ y * d)[None, :]
    m, beta = min(n, p), 10.0
    return (
        d,
        B,
        (A * d).T @ (A * d),
        np.arange(p),
        np.zeros(p),
        np.full(p, -1),
        np.zeros(m, np.int64),
        np.zeros(m),
        np.zeros((1, m)),
        np.zeros((m, m)),
        np.full(p, beta * n),
        beta * B,
        np.array(
            [beta, n, y @ y, 0.5, -1, 1e-5, 1, 1e-6, 1, 0, 0, 0, 0, beta * y @ y, p]
        ),
        np.array([0, 0]),
        20,
    )
