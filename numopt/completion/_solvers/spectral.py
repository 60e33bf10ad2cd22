# SPDX-License-Identifier: BSD-3-Clause
"""Starts: truncated singular value decomposition of the known entries."""

import math
import warnings
from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt._array.random import as_generator, standard_normal
from numopt._iterate.stopping import _stacklevel
from numopt._validation import check_real, check_values, float_arrays, message
from numopt.completion._kernels.als import line_sums
from numopt.completion._problem import Observations, check_rank, observations
from numopt.completion._solvers.factors import thin_qr
from numopt.typing import Array

__all__ = ["clip_rows", "incoherence", "spectral_init", "truncated_svd"]

OVERSAMPLING = 10
POWER_PASSES = 3
#: Rows are clipped at this multiple of the 99.9 % quantile of row norms.
CLIP_FACTOR = 3.0
#: Clipping that would remove more of the squared norm than this is left out.
CLIP_SHARE = 0.1


def truncated_svd(
    problem: Observations,
    values: Array,
    rank: int,
    rng: Any,
    *,
    passes: int = POWER_PASSES,
) -> tuple[Array, Array, Array]:
    """Leading singular triplets (U, s, V) of the matrix with ``values`` at the entries.

    ``values`` are in row-major order, zero elsewhere; randomised subspace iteration
    (Halko, Martinsson & Tropp 2011, algorithm 4.4).
    """
    xp, where = problem.xp, device(values)
    m, n = problem.shape
    by_row, by_col = problem.by_row, problem.by_col
    by_column = xp.take(values, by_col.order)
    width = min(rank + OVERSAMPLING, m, n)

    def forward(X: Array) -> Array:
        """Matrix times a block."""
        return line_sums(by_row.indptr, by_row.indices, values, X)

    def backward(X: Array) -> Array:
        """Transposed matrix times a block."""
        return line_sums(by_col.indptr, by_col.indices, by_column, X)

    X = standard_normal(rng, (n, width), xp=xp, dtype=values.dtype, device=where)
    Q = thin_qr(forward(X))[0]
    for _ in range(passes):
        Q = thin_qr(forward(thin_qr(backward(Q))[0]))[0]
    B, R = thin_qr(backward(Q))
    A, s, Ct = xp.linalg.svd(R.T, full_matrices=False)
    return Q @ A[:, :rank], s[:rank], B @ Ct[:rank, :].T


def clip_rows(U: Array, bound: float | None, *, warn: bool = False) -> Array:
    """Zero the entries of orthonormal ``U`` above a bound and orthonormalise again.

    ``bound`` is the incoherence mu: entries above 2 sqrt(mu k / m) go (Jain,
    Netrapalli & Sanghavi 2013, algorithm 2, step 4). None takes three times the
    99.9 % quantile of the row norms. Nothing is clipped when more than a tenth of the
    squared norm would go; ``warn`` says so then.
    """
    xp = array_namespace(U)
    m, k = U.shape
    if bound is None:
        norms = to_numpy(xp.sqrt(xp.sum(U * U, axis=1)))
        limit = CLIP_FACTOR * float(np.quantile(norms, 0.999))
    else:
        limit = 2.0 * math.sqrt(bound * k / m)
    kept = xp.where(xp.abs(U) > limit, xp.zeros_like(U), U)
    lost = float(to_numpy(xp.sum((U - kept) ** 2)))
    if lost > CLIP_SHARE * k and warn:
        warnings.warn(
            "the rows of the data are coherent: clipping the spectral start would "
            f"remove {lost / k:.0%} of it and was left out",
            UserWarning,
            stacklevel=_stacklevel(),
        )
    if lost == 0.0 or lost > CLIP_SHARE * k:
        return U
    return thin_qr(kept)[0]


def incoherence(Q: Any) -> float:
    r"""Incoherence of the column space of ``Q``.

    .. math:: \\mu = \\frac{m}{k} \\max_i |q_i|^2

    for an orthonormal basis with rows q_i: 1 when all rows carry the same weight,
    m / k when a single row carries a direction alone.

    Parameters
    ----------
    Q : array of shape (m, k)
        Any basis, k <= m; it is orthonormalised first.

    Returns
    -------
    float
        Incoherence, between 1 and m / k.

    Raises
    ------
    ValueError
        When ``Q`` is not a tall matrix.

    References
    ----------
    Candès & Recht 2009, Exact matrix completion via convex optimization, definition
    1.2.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.completion import incoherence
    >>> incoherence(np.ones((4, 1)))
    1.0
    """
    xp, (Q,) = float_arrays(Q=Q)
    check_values("Q", Q)
    if Q.ndim != 2 or Q.shape[0] < Q.shape[1] or Q.shape[1] == 0:
        raise ValueError(
            message("Q", "of shape (m, k) with m >= k >= 1", f"{tuple(Q.shape)}")
        )
    basis = thin_qr(Q)[0]
    top = float(to_numpy(xp.max(xp.sum(basis * basis, axis=1))))
    m, k = Q.shape
    return m / k * top


def spectral_init(
    X: Any,
    rank: int,
    *,
    shape: tuple[int, int] | None = None,
    clip_incoherence: float | None = None,
    random_state: Any = None,
) -> tuple[Array, Array, Array]:
    """Truncated singular value decomposition of the known entries, rescaled.

    Decomposes ``P(Y) / p`` where P keeps the known entries and p is their share: an
    unbiased picture of Y (Jain, Netrapalli & Sanghavi 2013).

    Parameters
    ----------
    X : array with NaN, sparse matrix or ``(rows, cols, values)``
        Known entries, as in :func:`complete`.
    rank : int
        Number of triplets.
    shape : tuple of int, default=None
        Shape (m, n) for triplets.
    clip_incoherence : float, default=None
        Incoherence above which entries of U are zeroed; None clips at three times the
        99.9 % quantile of the row norms.
    random_state : int, Generator or None, default=None
        Seed of the random range finder.

    Returns
    -------
    U : array of shape (m, rank)
        Orthonormal left factors, clipped.
    s : array of shape (rank,)
        Singular values, descending.
    V : array of shape (n, rank)
        Orthonormal right factors.

    Raises
    ------
    TypeError, ValueError
        On invalid data or rank.

    Warns
    -----
    UserWarning
        When clipping would remove more than a tenth of U: the rows are coherent, and
        U is returned as it is.

    References
    ----------
    Jain, Netrapalli & Sanghavi 2013, Low-rank matrix completion using alternating
    minimization, arXiv 1212.0467.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.completion import spectral_init
    >>> U, s, V = spectral_init(np.outer([1.0, 2.0], [3.0, 4.0]), 1, random_state=0)
    >>> round(float(s[0]), 6)
    11.18034
    """
    problem = observations(X, shape=shape)
    rank = check_rank(rank, problem.shape)
    if clip_incoherence is not None:
        clip_incoherence = check_real("clip_incoherence", clip_incoherence, low=1)
    m, n = problem.shape
    share = problem.n_observed / (m * n)
    U, s, V = truncated_svd(
        problem, problem.by_row.values, rank, as_generator(random_state)
    )
    return clip_rows(U, clip_incoherence, warn=True), s / share, V
