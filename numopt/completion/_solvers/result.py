# SPDX-License-Identifier: BSD-3-Clause
"""The fitted low-rank model and what can be asked of it."""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, device, is_array, to_numpy
from numopt._iterate.result import SolverResult
from numopt._validation import check_choice, check_flag, check_real, message
from numopt.completion._kernels.als import nonnegative_lines, ridge_lines
from numopt.completion._kernels.bayes import posterior_lines
from numopt.completion._problem import Observations, Penalty, observations
from numopt.completion._solvers.factors import singular_values, split
from numopt.typing import Array

__all__ = ["BIASES", "CompletionResult", "Posterior"]

#: Rounds of coordinate descent for a new non-negative row.
FOLD_IN_PASSES = 300

BIASES = ("none", "row", "col", "both")


@dataclasses.dataclass(frozen=True, eq=False)
class Posterior:
    """Gaussian posterior of factors and biases (variational Bayes); d = rank + 1.

    Parameters
    ----------
    row_cov : array of shape (m, d, d)
        Covariances of factor and bias of the rows, the bias last.
    col_cov : array of shape (n, d, d)
        The same of the columns.
    row_precision : array of shape (d,)
        Precisions of the prior of the rows.
    col_precision : array of shape (d,)
        Precisions of the prior of the columns.
    noise_variance : float
        Variance of the noise.

    Examples
    --------
    >>> from numopt.completion import complete
    >>> from numopt.datasets import make_low_rank
    >>> rows, cols, values, *_ = make_low_rank(30, 20, 1, noise=0.1, random_state=0)
    >>> result = complete((rows, cols, values), 2, alpha="auto", random_state=0)
    >>> result.posterior.row_cov.shape
    (30, 3, 3)
    """

    row_cov: Array
    col_cov: Array
    row_precision: Array
    col_precision: Array
    noise_variance: float


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class CompletionResult(SolverResult):
    """A low-rank model fitted by :func:`complete`.

    The model is ``intercept + row_bias_i + col_bias_j + row_factors_i . col_factors_j``

    Parameters
    ----------
    n_iter : int
        Number of iterations.
    converged : bool
        Whether the stopping measure reached ``tol``.
    message : str
        Why the solver stopped.
    status : str
        "converged", "max_iter", "callback", "stalled" or "diverged".
    history : dict of str to ndarray
        One entry a check: "n_iter", "time", "objective", "residual",
        "relative_residual", "inner_iter", "rank", "damping", "validation_rmse".
    row_factors : array of shape (m, k)
        Factors U of the rows.
    col_factors : array of shape (n, k)
        Factors V of the columns.
    singular_values : array of shape (k,)
        Singular values of ``U V^T``, descending.
    intercept : float
        Weighted mean of the known values where a bias is fitted, else 0.
    row_bias : array of shape (m,)
        Biases of the rows; zeros where none are fitted.
    col_bias : array of shape (n,)
        Biases of the columns; zeros where none are fitted.
    rank : int
        Number of factors k.
    objective : float
        Penalised loss at the solution.
    relative_residual : float
        Norm of the residual of the known entries relative to that of the values.
    outlier_mask : ndarray of bool of shape (N,) or None
        Known entries flagged as outliers by the robust losses, in the order of input
        (row-major for matrices).
    underdetermined_rows : ndarray of int
        Rows with fewer known entries than ``rank``.
    underdetermined_cols : ndarray of int
        Columns with fewer known entries than ``rank``.
    alpha : float
        Ridge penalty of the factors; NaN when it is chosen by evidence.
    alpha_bias : float
        Ridge penalty of the biases.
    alpha_scaling : str
        "constant" or "count".
    bias : str
        "none", "row", "col" or "both".
    noise_variance : float or None
        Estimated noise variance (method "vb").
    posterior : Posterior or None
        Posterior covariances (method "vb").
    nonnegative : bool
        Whether the factors are kept non-negative.
    rank_path : dict of int to float, or None
        Held-out error of each rank that was tried (``rank="auto"``).

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.completion import complete
    >>> X = np.outer([1.0, 2.0, 3.0], [1.0, 1.0, 2.0])
    >>> X[0, 2] = np.nan
    >>> result = complete(X, rank=1)
    >>> result.predict([0], [2]).round(6)
    array([2.])
    """

    row_factors: Array
    col_factors: Array
    singular_values: Array
    intercept: float
    row_bias: Array
    col_bias: Array
    rank: int
    objective: float
    relative_residual: float
    outlier_mask: np.ndarray | None
    underdetermined_rows: np.ndarray
    underdetermined_cols: np.ndarray
    alpha: float
    alpha_bias: float
    alpha_scaling: str
    bias: str
    noise_variance: float | None = None
    posterior: Posterior | None = None
    nonnegative: bool = False
    rank_path: dict[int, float] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (m, n) of the completed matrix."""
        return self.row_factors.shape[0], self.col_factors.shape[0]

    def predict(self, rows: Any, cols: Any, *, return_std: bool = False) -> Any:
        """Return the entries at ``(rows, cols)``.

        Parameters
        ----------
        rows, cols : array-like of int of shape (q,)
            Places.
        return_std : bool, default=False
            Also return the predictive standard deviation (method "vb" only).

        Returns
        -------
        array of shape (q,), or a pair of them
            Values of the model, and their standard deviations.

        Raises
        ------
        ValueError
            When an index is out of range or no posterior is known.
        """
        check_flag("return_std", return_std)
        xp, where = array_namespace(self.row_factors), device(self.row_factors)
        i = _places("rows", rows, self.shape[0], xp, where)
        j = _places("cols", cols, self.shape[1], xp, where)
        if i.shape != j.shape:
            raise ValueError(
                message("cols", f"of shape {tuple(i.shape)}", f"{tuple(j.shape)}")
            )
        U = xp.take(self.row_factors, i, axis=0)
        V = xp.take(self.col_factors, j, axis=0)
        bias = xp.take(self.row_bias, i) + xp.take(self.col_bias, j)
        mean = self.intercept + bias + xp.sum(U * V, axis=1)
        if not return_std:
            return mean
        if self.posterior is None:
            raise ValueError(
                message("return_std", "False unless the method is 'vb'", True)
            )
        return mean, xp.sqrt(self._variance(i, j, U, V))

    def _variance(self, i: Array, j: Array, U: Array, V: Array) -> Array:
        """Noise plus posterior variance of u.v + b + c."""
        xp = array_namespace(U)
        post, k = self.posterior, self.rank
        assert post is not None
        S = xp.take(post.row_cov, i, axis=0)
        T = xp.take(post.col_cov, j, axis=0)
        one = xp.ones_like(U[:, :1])
        f, g = xp.concat([V, one], axis=1), xp.concat([U, one], axis=1)
        spread = xp.sum(f[:, None, :] * S * f[:, :, None], axis=(1, 2))
        spread = spread + xp.sum(g[:, None, :] * T * g[:, :, None], axis=(1, 2))
        cross = xp.sum(S[:, :k, :k] * T[:, :k, :k], axis=(1, 2))
        return post.noise_variance + spread + cross

    def to_dense(self) -> Array:
        """Return the whole matrix of the model, (m, n)."""
        low_rank = self.row_factors @ self.col_factors.T
        bias = self.row_bias[:, None] + self.col_bias[None, :]
        return low_rank + bias + self.intercept

    def fold_in(
        self, X_new: Any, alpha: float | None = None, bias: str | None = None
    ) -> "CompletionResult":
        """Fit new rows to the columns of this model.

        Parameters
        ----------
        X_new : array with NaN, sparse matrix or ``(rows, cols, values)``
            Known entries of the new rows, with the columns of the model.
        alpha : float, default=None
            Ridge penalty; None means that of the model.
        bias : {"none", "row", "col", "both"}, default=None
            Which biases to use; None means those of the model.

        Returns
        -------
        CompletionResult
            Model of the new rows; the columns are shared. Rows of the training data
            give the fitted rows again.

        Raises
        ------
        ValueError
            When the columns do not match or values are not finite.
        """
        n = self.shape[1]
        if isinstance(X_new, tuple) and len(X_new) == 3:
            top = to_numpy(X_new[0])
            size = (int(top.max()) + 1 if top.shape[0] else 1, n)
            problem = observations(X_new, shape=size, name="X_new")
        else:
            problem = observations(X_new, name="X_new")
        if problem.shape[1] != n:
            raise ValueError(
                message("X_new", f"of {n} columns", f"shape {problem.shape}")
            )
        bias = self.bias if bias is None else check_choice("bias", bias, BIASES)
        alpha = self.alpha if alpha is None else check_real("alpha", alpha, low=0)
        if self.posterior is not None and math.isnan(alpha):
            return self._fold_in_posterior(problem)
        P, Q, loss = self._solve_rows(problem, alpha, bias)
        return self._for_rows(problem, P, Q, loss, alpha=alpha, bias=bias)

    def _solve_rows(
        self, problem: Observations, alpha: float, bias: str
    ) -> tuple[Array, Array, Array]:
        """Exact ridge regressions of the rows on the fitted columns."""
        xp = problem.xp
        V = self.col_factors
        c = self.col_bias if bias in ("col", "both") else xp.zeros_like(self.col_bias)
        Q = xp.concat([V, c[:, None]], axis=1)
        centred = problem.shifted(self.intercept)
        alpha_bias = alpha if math.isnan(self.alpha_bias) else self.alpha_bias
        penalty = Penalty(alpha, alpha_bias, self.alpha_scaling)
        side = centred.by_row
        if self.nonnegative:
            shape = (side.n_lines, self.rank + 1)
            start = xp.zeros(shape, dtype=V.dtype, device=device(V))
            P, loss = nonnegative_lines(
                side.indptr, side.indices, xp.astype(side.values, V.dtype),
                xp.astype(side.weights, V.dtype), Q,
                xp.astype(penalty.lines(side)[0], V.dtype), start, FOLD_IN_PASSES,
            )  # fmt: skip
            return P, Q, loss
        P, loss = ridge_lines(
            side.indptr, side.indices, xp.astype(side.values, V.dtype),
            xp.astype(side.weights, V.dtype), Q,
            *(xp.astype(a, V.dtype) for a in penalty.lines(side)),
            bias in ("row", "both"),
        )  # fmt: skip
        return P, Q, loss

    def _fold_in_posterior(self, problem: Observations) -> "CompletionResult":
        """E-step of the new rows under the posterior of the columns."""
        xp = problem.xp
        P, S, loss = _fold_in_rows(self, problem)
        Q = xp.concat([self.col_factors, self.col_bias[:, None]], axis=1)
        assert self.posterior is not None
        posterior = dataclasses.replace(self.posterior, row_cov=S)
        found = self._for_rows(problem, P, Q, loss, alpha=self.alpha, bias=self.bias)
        return dataclasses.replace(found, posterior=posterior)

    def _for_rows(
        self, problem: Observations, P: Array, Q: Array, loss: Array, **options: Any
    ) -> "CompletionResult":
        """Return this model with other rows."""
        from numopt.completion._solvers.factors import relative_residual

        U, b = split(P)
        V, c = split(Q)
        xp = problem.xp
        values = problem.by_row.values - self.intercept
        return dataclasses.replace(
            self,
            row_factors=U,
            row_bias=b,
            col_bias=c,
            singular_values=singular_values(U, V),
            objective=float(to_numpy(xp.sum(loss))),
            relative_residual=relative_residual(
                problem.with_values(values), P, Q, self.intercept
            ),
            outlier_mask=None,
            n_iter=1,
            converged=True,
            status="converged",
            message="rows folded in by exact solves",
            history={},
            underdetermined_rows=short_lines(problem.by_row, self.rank),
            **options,
        )


def short_lines(side: Any, rank: int) -> np.ndarray:
    """Lines with fewer than ``rank`` observations."""
    return np.flatnonzero(to_numpy(side.counts) < rank)


def _places(name: str, x: Any, extent: int, xp: Any, where: Any) -> Array:
    """Indices as an array of the model, inside its extent."""
    a = x if is_array(x) else xp.asarray(np.asarray(x), device=where)
    if a.ndim != 1 or not xp.isdtype(a.dtype, "integral"):
        raise ValueError(message(name, "a vector of integers", f"{a.dtype} {a.shape}"))
    if a.shape[0]:
        low, high = int(to_numpy(xp.min(a))), int(to_numpy(xp.max(a)))
        if low < 0 or high >= extent:
            bad = low if low < 0 else high
            raise ValueError(message(name, f"indices in 0..{extent - 1}", bad))
    return a


def _fold_in_rows(
    model: CompletionResult, problem: Observations
) -> tuple[Array, Array, Array]:
    """Posterior of new rows given that of the columns."""
    post = model.posterior
    assert post is not None
    xp, side = problem.xp, problem.by_row
    V = model.col_factors
    Q = xp.concat([V, model.col_bias[:, None]], axis=1)
    return posterior_lines(
        side.indptr, side.indices,
        xp.astype(side.values, V.dtype) - model.intercept,
        xp.astype(side.weights, V.dtype), Q, post.col_cov, post.row_precision,
        post.noise_variance, model.bias in ("row", "both"),
    )  # fmt: skip
