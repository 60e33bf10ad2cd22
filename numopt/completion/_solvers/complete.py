# SPDX-License-Identifier: BSD-3-Clause
"""``complete``: validation, choice of the method and the result."""

import contextlib
import dataclasses
import inspect
from collections.abc import Iterator
from typing import Any

from numopt._kernels.threads import config_context
from numopt._validation import check_int
from numopt.completion._problem import Observations, observations
from numopt.completion._solvers.fit import fit
from numopt.completion._solvers.options import Options, check_options
from numopt.completion._solvers.rank import choose_rank
from numopt.completion._solvers.result import CompletionResult
from numopt.typing import Callback

__all__ = ["complete", "make_options"]


def complete(
    X: Any,
    rank: int | str,
    *,
    shape: tuple[int, int] | None = None,
    weights: Any = None,
    method: str = "auto",
    loss: str = "squared",
    alpha: float | str = 0.0,
    alpha_scaling: str = "constant",
    bias: str = "none",
    alpha_bias: float | None = None,
    nonnegative: bool = False,
    init: str = "spectral",
    clip_incoherence: float | None = None,
    inner: str = "auto",
    cg_steps: int = 3,
    acceleration: str | None = "anderson",
    rank_schedule: str = "auto",
    n_restarts: int = 3,
    precond: str = "jacobi",
    resample: bool = False,
    max_iter: int | None = None,
    tol: float | None = None,
    validation_fraction: float = 0.0,
    duplicates: str = "mean",
    random_state: Any = None,
    n_jobs: int | None = None,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> CompletionResult:
    r"""Fit a low-rank model to the known entries of a matrix.

    .. math:: \min_{U,V,b,c} \sum_{(i,j)\in\Omega} w_{ij}\,
        \rho(y_{ij} - \mu - b_i - c_j - u_i\cdot v_j)
        + \sum_i a_i |u_i|^2 + \sum_j a'_j |v_j|^2
        + \alpha_b \Bigl(\sum_i s_i b_i^2 + \sum_j s'_j c_j^2\Bigr)

    where :math:`\Omega` are the known entries and :math:`\rho` is the squared, the
    absolute or Huber's loss. With ``alpha_scaling="constant"`` a_i = alpha and
    s_i = 1; with "count" both are multiplied by the number of entries of the line.

    Parameters
    ----------
    X : array with NaN, sparse matrix or ``(rows, cols, values)``
        Known entries of the (m, n) matrix. NaN is missing in a dense array; every
        stored entry of a sparse matrix is known, stored zeros too.
    rank : int or "auto"
        Number of factors k, in 1..min(m, n). "auto" compares ranks on a tenth of the
        entries kept back, with the given method, and takes the smallest within one
        standard error of the best; the errors are the ``rank_path`` of the result.
        With ``alpha="auto"`` a generous rank is taken, whose surplus components the
        evidence switches off.
    shape : tuple of int, default=None
        Shape (m, n) for triplets; None means the largest indices plus 1.
    weights : array, default=None
        Weights, one a value or of shape (m, n); 0 means unobserved. None means 1.
    method : str, default="auto"
        - "als": alternating ridge regressions, for noisy data and biases;
        - "vb": variational Bayes, which finds penalties and noise by evidence;
        - "gauss_newton": damped Gauss-Newton with rank continuation, for exact
          recovery;
        - "irls_gauss_newton": the same, reweighted, for the robust losses;
        - "subgradient": subgradient steps on the absolute loss from a small start,
          for an over-stated rank (its theory covers Gaussian measurements, not known
          entries);
        - "altmin_sketch": alternating minimisation on orthonormal factors, the half
          steps as exact as the subspaces have settled (see ``precond`` and
          ``resample``);
        - "soft_impute": soft-thresholding of the filled matrix, for small tables;
        - "scaled_gd": preconditioned gradient descent with backtracking;
        - "auto": "irls_gauss_newton" for a robust loss, "vb" for ``alpha="auto"``,
          "gauss_newton" for alpha = 0 without bias, else "als".
    loss : {"squared", "huber", "l1"}, default="squared"
        Loss of the residuals.
    alpha : float or "auto", default=0.0
        Ridge penalty of the factors; "auto" chooses it by evidence.
    alpha_scaling : {"constant", "count"}, default="constant"
        Whether penalties grow with the number of entries of a line.
    bias : {"none", "row", "col", "both"}, default="none"
        Biases to fit; with any, the weighted mean is the intercept.
    alpha_bias : float, default=None
        Ridge penalty of the biases; None means ``alpha``.
    nonnegative : bool, default=False
        Keep all factors non-negative ("als" without bias).
    init : {"spectral", "random"}, default="spectral"
        Start of "als": truncated singular value decomposition of the known entries,
        or Gaussian factors. Very sparse data always start at random.
    clip_incoherence : float, default=None
        Incoherence above which entries of the spectral start are zeroed; None clips
        at three times the 99.9 % quantile of the row norms.
    inner : {"auto", "cholesky", "cg"}, default="auto"
        How "als" solves a line: exactly, or by ``cg_steps`` warm-started steps of
        conjugate gradients; "auto" takes the faster for the rank.
    cg_steps : int, default=3
        Steps of conjugate gradients.
    acceleration : {"anderson", None}, default="anderson"
        Extrapolation of the sweeps of "als", kept only when the objective falls.
    rank_schedule : {"auto", "continuation", "plain"}, default="auto"
        Whether Gauss-Newton grows the rank from 1; "auto" does.
    n_restarts : int, default=3
        New starts of Gauss-Newton after a stall.
    precond : {"jacobi", "sketch"}, default="jacobi"
        Preconditioner of the half steps of "altmin_sketch". "sketch" factors a random
        signed sum of the entries of each line with more than 4 k^2 of them, which
        bounds the number of steps whatever the weights. It pays where weights vary
        by many orders along the factor; otherwise the known entries are themselves a
        sketch of it, and "jacobi" takes fewer steps.
    resample : bool, default=False
        Whether "altmin_sketch" cuts the entries at random into 2 T + 1 parts, with
        T = ceil(log2(1 / tol)) but at most ``max_iter``, one for the start and one for
        each half step, as the proofs assume. All entries at once converge faster.
    max_iter : int, default=None
        Sweeps (100), or Gauss-Newton steps at the last rank for each start (60).
    tol : float, default=None
        Relative decrease of the objective in a sweep ("als", 1e-6), relative change
        of the noise variance ("vb", 1e-4), relative residual (Gauss-Newton, 1e-10), or
        movement of the subspace on fresh entries (``resample``, 1e-6).
    validation_fraction : float, default=0.0
        Share of entries kept back by "als" and "vb"; the fit stops when their error
        has not improved for 3 sweeps and the best sweep is returned.
    duplicates : {"mean", "raise"}, default="mean"
        Repeated entries are averaged and their weights added, or refused.
    random_state : int, Generator or None, default=None
        Seed.
    n_jobs : int, default=None
        Threads; None and -1 keep the setting of :func:`numopt.set_num_threads`. The
        answer does not depend on it.
    callback : callable, default=None
        Called with an :class:`numopt.IterationInfo` at each check; a true answer
        stops.
    verbose : int, default=0
        1 shows a progress bar, 2 writes log lines.
    warn : bool, default=True
        Issue a ConvergenceWarning when the solver does not converge.

    Returns
    -------
    CompletionResult
        The model: ``row_factors``, ``col_factors``, biases, ``predict``,
        ``to_dense``, ``fold_in``.

    Raises
    ------
    TypeError, ValueError
        On invalid data or options, naming the argument.

    Warns
    -----
    ConvergenceWarning
        When the solver does not converge, or there are fewer entries than degrees of
        freedom k (m + n - k) and no penalty.
    UserWarning
        When the start of "altmin_sketch" is too coherent to be clipped.

    Notes
    -----
    A sweep of "als" costs N k^2 + (m + n) k^3 / 3 operations with exact solves,
    4 N k (cg_steps + 1) by conjugate gradients; a step of Gauss-Newton costs 8 N k
    for each inner step. Memory is about 2 N (value + index) plus the factors. A full
    unweighted matrix without bias is solved in closed form by the singular value
    decomposition. Gauss-Newton to 1e-10 needs float64.

    References
    ----------
    Zhou, Wilkinson, Schreiber & Pan 2008 (ALS with weighted ridge); Hastie, Mazumder,
    Lee & Zadeh 2015, arXiv 1410.2596; Lim & Teh 2007 (variational Bayes); Zilber &
    Nadler 2022, arXiv 2106.12933 (Gauss-Newton matrix recovery); Gu, Song, Yin &
    Zhang 2023, arXiv 2302.11068 (inexact half steps); Clarkson & Woodruff 2013,
    arXiv 1207.6365 (sparse sketches); Ma & Fattahi 2022, arXiv 2202.08788
    (subgradient method); Mazumder, Hastie & Tibshirani 2010
    (soft-impute); Tong, Ma & Chi 2021, arXiv 2005.08898 (scaled gradients); Jain,
    Netrapalli & Sanghavi 2013, arXiv 1212.0467 (spectral start).

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.completion import complete
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.standard_normal((30, 2)) @ rng.standard_normal((2, 20))
    >>> X = np.where(rng.random((30, 20)) < 0.6, truth, np.nan)
    >>> result = complete(X, rank=2, random_state=0)
    >>> bool(abs(result.to_dense() - truth).max() < 1e-6)
    True
    """
    problem = observations(X, shape=shape, weights=weights, duplicates=duplicates)
    by_data = isinstance(rank, str) and rank == "auto"
    options = check_options(
        problem, rank=1 if by_data else rank, method=method, loss=loss, alpha=alpha,
        alpha_scaling=alpha_scaling, bias=bias, alpha_bias=alpha_bias,
        nonnegative=nonnegative, init=init, clip_incoherence=clip_incoherence,
        inner=inner, cg_steps=cg_steps, acceleration=acceleration,
        rank_schedule=rank_schedule, n_restarts=n_restarts, precond=precond,
        resample=resample, max_iter=max_iter, tol=tol,
        validation_fraction=validation_fraction, random_state=random_state,
        callback=callback, verbose=verbose, warn=warn,
    )  # fmt: skip
    if options.loss == "squared":
        # Only robust losses report on the entries as given.
        problem = dataclasses.replace(problem, given=None)
    with _threads(n_jobs):
        if not by_data:
            return fit(problem, options)
        options, path = choose_rank(problem, options)
        return dataclasses.replace(fit(problem, options), rank_path=path)


def make_options(problem: Observations, rank: Any, **changes: Any) -> Options:
    """Checked options: the defaults of :func:`complete` with ``changes``."""
    fields = {field.name for field in dataclasses.fields(Options)}
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(complete).parameters.items()
        if name in fields
    }
    return check_options(problem, **{**defaults, **changes, "rank": rank})


@contextlib.contextmanager
def _threads(n_jobs: int | None) -> Iterator[None]:
    """Thread count of the kernels; None keeps the setting, -1 means all."""
    if n_jobs is None or n_jobs == -1:
        yield
        return
    with config_context(num_threads=check_int("n_jobs", n_jobs, low=1)):
        yield
