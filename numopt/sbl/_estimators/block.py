# SPDX-License-Identifier: BSD-3-Clause
"""Linear regression that finds blocks of features."""

import numbers
from typing import Any, Self

import numpy as np

from numopt._docstring import fill_docstring
from numopt._estimator.sklearn_compat import Interval, StrOptions, fit_context
from numopt._validation import check_groups
from numopt.sbl._estimators.centring import centred, check_weights
from numopt.sbl._estimators.linear import CONSTRAINTS, LINEAR_DOCS, LinearSBL
from numopt.sbl._solvers.block import (
    CORRELATIONS,
    METHODS,
    solve_blocks,
)
from numopt.sbl._solvers.block_solver import BlockSolver

__all__ = ["BlockSBLRegressor"]


@fill_docstring(**LINEAR_DOCS)
class BlockSBLRegressor(LinearSBL):
    """Linear regression that finds blocks of features and gives error bars.

    Parameters
    ----------
    groups : int, list of index lists or array-like of shape (p,), default=1
        Size of consecutive blocks, the blocks, or a label for each feature.
    method : {"bo", "em"}, default="bo"
        Solver, as in :func:`numopt.sbl.block_sbl`.
    intra_corr : {"ar1", "full", "none"}, default="ar1"
        Correlation of the coefficients within a block.
    fit_intercept : bool, default=True
        Whether to centre the data.
    noise_var : float, default=None
        Noise variance; None learns it.
    max_iter : int, default=300
        Limit of iterations.
    tol : float, default=1e-4
        Relative change at convergence.
    prune_tol : float, default=1e-4
        Blocks below this part of the largest variance are dropped.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.

    Attributes
    ----------
    coef_ : ndarray of shape (p,)
        Posterior mean; exactly zero for blocks left out.
    intercept_ : float
        Intercept.
    active_ : ndarray of int of shape (m,)
        Features of the blocks that are in, sorted.
    sigma_ : ndarray of shape (m, m)
        Posterior covariance of the coefficients of ``active_``.
    {fitted}
    result_ : BlockSBLResult
        The whole result for the centred data.
    {names}

    See Also
    --------
    numopt.sbl.block_sbl : The function behind it.
    numopt.sbl.SBLRegressor : Without blocks.

    Notes
    -----
    Features of a block should have comparable units: they are not rescaled one by one.
    Weights of samples count as repetitions.

    References
    ----------
    Z. Zhang and B. D. Rao, "Extension of SBL algorithms for the recovery of block
    sparse signals with intra-block correlation", IEEE TSP 61, 2013.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.sbl import BlockSBLRegressor
    >>> X = np.random.default_rng(0).standard_normal((40, 12))
    >>> model = BlockSBLRegressor(groups=3).fit(X, X[:, 3:6].sum(axis=1) + 2.0)
    >>> model.active_, round(model.intercept_, 3)
    (array([3, 4, 5]), 2.0)
    """

    _parameter_constraints: dict[str, Any] = {
        "groups": [
            Interval(numbers.Integral, 1, None, closed="left"),
            list,
            tuple,
            "array-like",
        ],
        "method": [StrOptions(set(METHODS))],
        "intra_corr": [StrOptions(set(CORRELATIONS))],
        "max_iter": [Interval(numbers.Integral, 1, None, closed="left")],
        "prune_tol": [Interval(numbers.Real, 0, 1, closed="both")],
        **{k: CONSTRAINTS[k] for k in ("fit_intercept", "noise_var", "tol", "verbose")},
    }

    def __init__(
        self,
        groups: Any = 1,
        *,
        method: str = "bo",
        intra_corr: str = "ar1",
        fit_intercept: bool = True,
        noise_var: float | None = None,
        max_iter: int = 300,
        tol: float = 1e-4,
        prune_tol: float = 1e-4,
        verbose: int = 0,
    ) -> None:
        self.groups = groups
        self.method = method
        self.intra_corr = intra_corr
        self.fit_intercept = fit_intercept
        self.noise_var = noise_var
        self.max_iter = max_iter
        self.tol = tol
        self.prune_tol = prune_tol
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array or sparse matrix of shape (n, p)
            Features; sparse ones are made dense.
        y : array of shape (n,)
            Target.
        sample_weight : array of shape (n,), default=None
            Weights; a weight of two is a sample given twice.

        Returns
        -------
        BlockSBLRegressor
            The fitted estimator.
        """
        X, y, sums = self._validated(X, y)
        groups = check_groups(self.groups, X.shape[1])
        weights = check_weights(sample_weight, X)
        Y = np.asarray(y, np.float64)[:, None]
        data = centred(X, Y, weights, self.fit_intercept, implicit=False, sums=sums)
        solver = BlockSolver(
            self.method, self.intra_corr, self.prune_tol, self.noise_var
        )
        result = solve_blocks(
            data.problem,
            groups,
            solver,
            tol=self.tol,
            max_iter=self.max_iter,
            verbose=self.verbose,
        )
        self._keep(result, data)
        self.coef_ = result.coef.reshape(-1)
        self.intercept_ = float(self._offset[0])
        return self

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predict, with the standard deviation of a new observation on request.

        Parameters
        ----------
        X : array or sparse matrix of shape (n, p)
            Features.
        return_std : bool, default=False
            Whether to return standard deviations, noise included.

        Returns
        -------
        ndarray of shape (n,), or two of them
            Predictions, and standard deviations with ``return_std``.
        """
        return self._predict(X, return_std)
