# SPDX-License-Identifier: BSD-3-Clause
"""Hot loops of sparse Bayesian learning, by formula."""

import numpy as np

from numopt._kernels.dispatch import sequential_kernel

__all__ = ["centre_columns", "column_energies", "evidence_ascent"]

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

centre_columns = sequential_kernel(
    "centre_columns",
    """Weighted centring of rows and columns in two passes over the data.

    ``Z = sqrt(w) (X - mean)``, ``R = sqrt(w) (Y - mean)`` with weighted means (zero
    unless ``centre``); returns ``Z, R, x_mean, y_mean, raw`` where ``raw_j`` is the
    weighted mean square of column j before centring.
    """,
    numpy="numopt.sbl._kernels_cpu:centre_columns",
)

column_energies = sequential_kernel(
    "column_energies",
    """Sums of squared moduli ``sum_i |A_ij|^2`` of the columns of a C-order matrix.""",
    numpy="numopt.sbl._kernels_cpu:column_energies",
)


@column_energies.example
def _energies(rng, dtype, size):
    A = rng.standard_normal((size, 5)).astype(dtype)
    A.flags.writeable = False
    return (A,)


@centre_columns.example
def _centre(rng, dtype, size):
    X = rng.standard_normal((size, 4)).astype(dtype)
    Y = rng.standard_normal((size, 2)).astype(dtype)
    return X, Y, np.ones(size, dtype), True


@evidence_ascent.example
def _ascent(rng, dtype, size):
    n, p = size + 4, min(size, 40) + 2
    A = rng.standard_normal((n, p))
    y = 2 * A[:, :2].sum(axis=1) + 0.1 * rng.standard_normal(n)
    energy = np.sum(A * A, axis=0)
    d = np.sqrt(n / energy)
    B = (A.T @ y * d)[None, :]
    m, beta = min(n, p), 10.0
    A.flags.writeable = False  # as in the solver: one compiled version
    return (
        A,
        d,
        B,
        np.zeros((m, p)),
        np.full(p, -1),
        np.full(p, -1),
        np.zeros(m, np.int64),
        np.zeros(m),
        np.zeros((1, m)),
        np.zeros((m, m)),
        np.full(p, beta * n),
        beta * B,
        np.array([beta, n, y @ y, 0.5, -1.0, 1e-5, 1.0, 1e-6, 1.0, 0, 0, 0, 0]),
        np.zeros(3, np.int64),
        20,
    )
