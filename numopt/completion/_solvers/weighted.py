# SPDX-License-Identifier: BSD-3-Clause
"""Weighted low-rank approximation of a fully known matrix."""

import dataclasses
from typing import Any

from numopt._array.namespace import array_namespace, to_numpy
from numopt._validation import (
    check_choice,
    check_ndim,
    check_present,
    check_shape,
    check_values,
    float_arrays,
    message,
)
from numopt.completion._problem import check_rank, observations
from numopt.completion._solvers.complete import complete, make_options
from numopt.completion._solvers.factors import singular_values
from numopt.completion._solvers.fit import fit
from numopt.completion._solvers.result import CompletionResult
from numopt.typing import Array

__all__ = ["weighted_low_rank"]


def weighted_low_rank(
    M: Any,
    weights: Any,
    rank: int,
    *,
    method: str = "auto",
    max_iter: int = 200,
    tol: float = 1e-8,
    random_state: Any = None,
    warn: bool = True,
) -> CompletionResult:
    r"""Best low-rank approximation of a known matrix under weights.

    .. math:: \min_{U, V} \sum_{ij} w_{ij} (M_{ij} - u_i \cdot v_j)^2

    Parameters
    ----------
    M : array of shape (m, n)
        Matrix, without NaN.
    weights : array of shape (m,) or (m, n), or pair of arrays
        Row weights, a weight for every entry, or a pair (p, q) that stands for
        ``p_i q_j``. Row weights and pairs must be positive.
    rank : int
        Number of factors.
    method : {"auto", "closed", "als"}, default="auto"
        "closed" scales by the square roots of the weights and truncates the singular
        value decomposition: exact for row weights and pairs. "als" alternates from
        the closed solution for the best rank-1 approximation of the weights. "auto"
        chooses by the form of the weights.
    max_iter : int, default=200
        Sweeps of "als".
    tol : float, default=1e-8
        Relative decrease of the loss at which "als" stops.
    random_state : int, Generator or None, default=None
        Seed of "als".
    warn : bool, default=True
        Issue a ConvergenceWarning when "als" does not converge.

    Returns
    -------
    CompletionResult
        The factors; ``objective`` is the weighted loss.

    Raises
    ------
    TypeError, ValueError
        On invalid matrices, weights or options.

    References
    ----------
    Hsu et al. 2022, Language model compression with weighted low-rank factorization,
    arXiv 2207.00112 (row weights); Srebro & Jaakkola 2003 (general weights).

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.completion import weighted_low_rank
    >>> M = np.array([[1.0, 0.0], [0.0, 2.0]])
    >>> weighted_low_rank(M, [100.0, 1.0], 1).to_dense().round(6) + 0.0
    array([[1., 0.],
           [0., 0.]])
    """
    check_choice("method", method, ("auto", "closed", "als"))
    xp, (M,) = float_arrays(M=M)
    check_ndim("M", M, 2)
    low, high = check_values("M", M, squared=True)
    rank = check_rank(rank, M.shape)
    p, q, W = _weights(M, weights)
    if method == "closed" and W is not None:
        raise ValueError(
            message("method", "'als' or 'auto' for a weight of every entry", "'closed'")
        )
    if method == "als" and W is None:
        W = p[:, None] * q[None, :]
    if W is None:
        return _closed(M, p, q, rank)
    if p is None:
        A, s, Bt = xp.linalg.svd(W, full_matrices=False)
        # The leading pair of a non-negative matrix has one sign (Perron-Frobenius).
        p, q = xp.abs(A[:, 0]) * s[0], xp.abs(Bt[0, :])
        floor = 1e-6 * float(to_numpy(xp.max(p))), 1e-6 * float(to_numpy(xp.max(q)))
        p, q = p + floor[0], q + floor[1]
    closed = _closed(M, p, q, rank)
    if low == high == 0:
        return closed  # nothing to fit; alternating from zero would divide by zero
    zero = closed.row_bias[:, None], closed.col_bias[:, None]
    start = (
        xp.concat([closed.row_factors, zero[0]], axis=1),
        xp.concat([closed.col_factors, zero[1]], axis=1),
    )
    problem = observations(M, weights=W, name="M")
    options = make_options(
        problem, rank, method="als", max_iter=max_iter, tol=tol,
        random_state=random_state, warn=warn,
    )  # fmt: skip
    return fit(problem, dataclasses.replace(options, warm_start=start))


def _weights(M: Array, weights: Any) -> tuple[Any, Any, Any]:
    """Row and column weights, or a full matrix of weights."""
    if isinstance(weights, tuple) and len(weights) == 2:
        xp, (_, p, q) = float_arrays(M=M, p=weights[0], q=weights[1])
    else:
        xp, arrays = float_arrays(M=M, weights=weights)
        w: Array = arrays[1]
        check_present("weights", w)
        if w.ndim == 2:
            check_shape("weights", w, tuple(M.shape), why="that of M")
            _, largest = check_values("weights", w, nonnegative=True)
            if largest == 0:
                raise ValueError(message("weights", "positive somewhere", "all zero"))
            return None, None, w
        p, q = w, xp.ones_like(M[0, :])
    for name, a, n in (("weights", p, M.shape[0]), ("weights", q, M.shape[1])):
        check_shape(name, a, (n,), why="by the shape of M")
        low, _ = check_values(name, a)
        if not low > 0:
            raise ValueError(message(name, "positive", low))
    return p, q, None


def _closed(M: Array, p: Array, q: Array, rank: int) -> CompletionResult:
    """Truncated decomposition of diag(sqrt p) M diag(sqrt q), scaled back."""
    xp = array_namespace(M)
    left, right = xp.sqrt(p)[:, None], xp.sqrt(q)[:, None]
    scaled = complete(left * M * right.T, rank)
    row_factors = scaled.row_factors / left
    col_factors = scaled.col_factors / right
    off = M - row_factors @ col_factors.T
    size = float(to_numpy(xp.sum(p[:, None] * M * M * q[None, :])))
    return dataclasses.replace(
        scaled,
        row_factors=row_factors,
        col_factors=col_factors,
        singular_values=singular_values(row_factors, col_factors),
        objective=float(to_numpy(xp.sum(p[:, None] * off * off * q[None, :]))),
        relative_residual=scaled.relative_residual if size else 0.0,
        message="closed form by the scaled singular value decomposition",
    )
