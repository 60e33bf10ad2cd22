# SPDX-License-Identifier: BSD-3-Clause
"""The public block solver: validate the partition, then iterate."""

import dataclasses
from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace
from numopt._iterate.loop import iterate
from numopt._validation import (
    check_callback,
    check_choice,
    check_flag,
    check_groups,
    check_int,
    check_real,
)
from numopt.sbl._problem import SBLProblem, has_signal, make_problem
from numopt.sbl._solvers.block_solver import BlockProblem, BlockSolver
from numopt.sbl._solvers.result import SBLResult, zero_fields
from numopt.typing import Array, Callback

__all__ = ["BlockSBLResult", "block_sbl", "solve_blocks"]

METHODS = ("bo", "em")
CORRELATIONS = ("ar1", "full", "none")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BlockSBLResult(SBLResult):
    """Posterior of a block-sparse Bayesian model.

    Parameters
    ----------
    n_iter : int
        Number of iterations.
    converged : bool
        Whether ``tol`` was reached.
    message : str
        Why the solver stopped.
    status : str
        As in :class:`numopt.SolverResult`.
    history : dict of str to ndarray
        As in :class:`SBLResult`.
    coef : array of shape (p,) or (p, L)
        Posterior mean; exactly zero outside ``active``.
    gamma : array of shape (p,)
        Prior variances of the atoms.
    noise_var : float
        Noise variance.
    log_evidence : float
        Log evidence in nats, constants and correlations included.
    active : array of int of shape (m,)
        Indices of the atoms of the blocks that are in, sorted.
    cov : array of shape (m, m)
        Posterior covariance of the active coefficients.
    posterior_var : array of shape (p,)
        Posterior variances; zero outside ``active``.
    group_gamma : array of shape (n_groups,)
        Prior variances of the blocks, in the order of ``groups``.
    intra_corr : dict of int to array of shape (size, size)
        Correlation matrix of the blocks of each size that survived.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.sbl import block_sbl
    >>> A = np.random.default_rng(0).standard_normal((30, 60))
    >>> block_sbl(A, A[:, 3:6].sum(axis=1), 3).group_gamma.nonzero()
    (array([1]),)
    """

    group_gamma: Array
    intra_corr: dict[int, Array]


def block_sbl(
    A: Any,
    y: Any,
    groups: Any,
    *,
    method: str = "bo",
    intra_corr: str = "ar1",
    noise_var: float | None = None,
    max_iter: int = 300,
    tol: float = 1e-4,
    prune_tol: float = 1e-4,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> BlockSBLResult:
    r"""Sparse Bayesian learning with blocks of coefficients that correlate.

    For ``y = sum_g A_g x_g + n`` with ``x_g ~ N(0, gamma_g B_g)`` the log evidence is
    maximised over the variances ``gamma_g``, the noise variance and, by block size, the
    correlation matrices ``B_g``. Most blocks end with ``gamma_g = 0``.

    Parameters
    ----------
    A : array of shape (n, p)
        Dictionary, real or complex.
    y : array of shape (n,) or (n, L)
        Measurements; L columns share the prior variances.
    groups : int, list of index lists or array-like of int of shape (p,)
        Size of consecutive blocks, the blocks, or a label for each column. Blocks may
        differ in size.
    method : {"bo", "em"}, default="bo"
        Bound optimisation, or expectation-maximisation, which is slower.
    intra_corr : {"ar1", "full", "none"}, default="ar1"
        Correlation within a block: first-order autoregressive, any, or none. Blocks of
        equal size share it.
    noise_var : float, default=None
        Noise variance; None learns it.
    max_iter : int, default=300
        Limit of iterations.
    tol : float, default=1e-4
        Largest relative change of a variance (and change of a correlation) at
        convergence.
    prune_tol : float, default=1e-4
        Blocks below this part of the largest variance are dropped.
    callback : callable, default=None
        Called as ``callback(info)``; a true answer stops.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.
    warn : bool, default=True
        Whether to issue a ConvergenceWarning when ``converged`` is False.

    Returns
    -------
    BlockSBLResult
        The fields of :class:`SBLResult`, ``group_gamma`` and ``intra_corr``.

    Raises
    ------
    TypeError
        When an argument is of the wrong kind.
    ValueError
        When shapes disagree, an entry is not finite, an option is out of range or the
        groups are no partition of the columns.

    Warns
    -----
    ConvergenceWarning
        When ``max_iter`` is reached.

    See Also
    --------
    numopt.sbl.BlockSBLRegressor : The same as a scikit-learn estimator.
    numopt.sbl.sbl : Without blocks.

    Notes
    -----
    With a factorisation ``B = T T^H`` of each correlation matrix an iteration is one of
    "mm" or "em" of :func:`sbl` for the dictionary of the ``A_g T``, with sums over the
    block: O(n^2 p) or O(p^3) on what has not been pruned. Only the diagonal blocks of
    the posterior covariance are formed. Columns are not rescaled one by one, since that
    would change what correlation within a block means. Runs on any array library.

    References
    ----------
    Z. Zhang and B. D. Rao, "Extension of SBL algorithms for the recovery of block
    sparse signals with intra-block correlation", IEEE TSP 61, 2013, eqs. 11-13 and 24.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.sbl import block_sbl
    >>> rng = np.random.default_rng(0)
    >>> A = rng.standard_normal((60, 100))
    >>> x = np.zeros(100)
    >>> x[20:25], x[60:65] = 1.0, [2.0, 1.9, 1.8, 1.7, 1.6]
    >>> result = block_sbl(A, A @ x + 0.1 * rng.standard_normal(60), 5)
    >>> np.sort(np.argsort(result.group_gamma)[-2:])
    array([ 4, 12])
    """
    check_choice("method", method, METHODS)
    check_choice("intra_corr", intra_corr, CORRELATIONS)
    if noise_var is not None:
        noise_var = check_real("noise_var", noise_var, low=0, include_low=False)
    check_int("max_iter", max_iter, low=1)
    check_real("tol", tol, low=0)
    check_real("prune_tol", prune_tol, low=0, high=1)
    check_callback(callback)
    check_flag("warn", warn)
    problem = make_problem(A, y)
    solver = BlockSolver(method, intra_corr, prune_tol, noise_var)
    return solve_blocks(
        problem,
        check_groups(groups, problem.shape[1]),
        solver,
        tol=tol,
        max_iter=max_iter,
        callback=callback,
        verbose=verbose,
        warn=warn,
    )


def solve_blocks(
    problem: SBLProblem,
    groups: list[np.ndarray],
    solver: BlockSolver,
    *,
    tol: float,
    max_iter: int,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> BlockSBLResult:
    """Run the block solver on a validated problem."""
    if not has_signal(problem):
        fields = zero_fields(problem, solver.noise_var)
        xp = array_namespace(problem.Y)
        fields["group_gamma"] = xp.zeros_like(fields["gamma"][: len(groups)])
        return BlockSBLResult(intra_corr={}, **fields)
    blocks = BlockProblem(
        A=problem.A,
        Y=problem.Y,
        vector=problem.vector,
        rows=problem.rows,
        groups=groups,
    )
    fields = iterate(
        solver,
        blocks,
        tol=tol,
        max_iter=max_iter,
        callback=callback,
        verbose=verbose,
        warn=warn,
    )
    return BlockSBLResult(**fields)
