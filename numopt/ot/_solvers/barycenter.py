# SPDX-License-Identifier: BSD-3-Clause
"""Entropic barycenters of histograms and of images."""

import dataclasses
from typing import Any

from numopt import _validation as v
from numopt._iterate.loop import iterate
from numopt._iterate.result import SolverResult
from numopt._iterate.stopping import warn_not_converged
from numopt.exceptions import ArgumentTypeError
from numopt.ot._problem.means import MeanProblem
from numopt.ot._solvers.means import MeanSolver
from numopt.typing import Array, Callback

__all__ = ["BarycenterResult", "barycenter", "barycenter_grid"]

#: Entries of all plans together up to which Newton steps store them.
LARGEST_PLANS = 50_000_000
#: The debiasing field is found by a deconvolution, which amplifies errors.
TOL, DEBIASED_TOL = 1e-9, 1e-6


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class BarycenterResult(SolverResult):
    r"""Entropic mean of weights on common points.

    Parameters
    ----------
    n_iter : int
        Passes over all plans plus Newton steps.
    converged : bool
        Whether ``marginal_error <= tol``.
    message : str
        Why the solver stopped and, on failure, what to try.
    status : str
        "converged", "max_iter", "callback" or "stalled".
    history : dict of str to ndarray
        One entry a step: "n_iter", "time", "objective" (the dual value), "residual"
        and "eps".
    barycenter : array of shape (m,), or of the shape of an image
        The mean; its sum is that of the inputs.
    value : float
        Dual value of ``sum_k w_k (<P_k, M> + reg <P_k, log P_k>)`` for plans of total
        mass 1, times the mass.
    f, g : array of shape (n, k) and (m, k), or (k, shape) for images
        Potentials of the plans relative to the counting measure: at mass 1,
        ``P_k = exp((f_ik + g_jk - M_ij) / reg)``. Empty points have a very negative
        ``f``. Inputs of zero weight in the mean are left out.
    marginal_error : float
        ``sum_k w_k ||P_k^T 1 - barycenter||_1``, relative to the mass; rows of the
        plans are exact. When debiased, plus the error of the debiasing field.
    weights : array of shape (k,)
        Coefficients of the inputs, of sum 1, without those that are zero.
    reg : float
        Regularisation.
    debiased : bool
        Whether the blur of entropy is corrected.
    n_passes, n_newton, n_cg : int
        Passes over all plans, Newton steps, conjugate gradient iterations.

    See Also
    --------
    barycenter : The mean of histograms.
    barycenter_grid : The mean of images.

    Examples
    --------
    >>> from numopt.ot import barycenter
    >>> A = [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]
    >>> M = [[0.0, 1.0, 4.0], [1.0, 0.0, 1.0], [4.0, 1.0, 0.0]]
    >>> barycenter(A, M, reg=0.1).barycenter.round(6).tolist()
    [4.5e-05, 0.999909, 4.5e-05]
    """

    barycenter: Array
    value: float
    f: Array
    g: Array
    marginal_error: float
    weights: Array
    reg: float
    debiased: bool
    n_passes: int
    n_newton: int
    n_cg: int


def barycenter(
    A: Array,
    M: Array,
    reg: float,
    weights: Array | None = None,
    *,
    debiased: bool = False,
    tol: float | None = None,
    max_iter: int = 1000,
    warmstart: BarycenterResult | None = None,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> BarycenterResult:
    r"""Average histograms in the sense of optimal transport.

    .. math::
        \min_b \sum_k w_k \min_{P_k 1 = a_k,\ P_k^T 1 = b}
        \langle P_k, M \rangle + \varepsilon \langle P_k, \log P_k \rangle

    where the :math:`a_k` are the columns of ``A`` and :math:`\varepsilon` is ``reg``.

    Parameters
    ----------
    A : array of shape (dim, n_hist)
        Histograms, non-negative, of equal sums.
    M : array of shape (dim, m)
        Cost from the points of the histograms to those of the mean, usually the same
        points; it need not be symmetric.
    reg : float
        Regularisation, positive, in the units of ``M``.
    weights : array of shape (n_hist,), default=None
        Coefficients of the histograms, non-negative, scaled to sum 1; None means
        equal ones.
    debiased : bool, default=False
        Correct for the blur of entropy (Janati et al. 2020); ``M`` must be symmetric.
    tol : float, default=None
        Mean L1 difference of the column sums of the plans, relative to the mass, at
        which the solver stops; None means 1e-9, or 1e-6 when debiased.
    max_iter : int, default=1000
        Bound on passes over all plans plus Newton steps.
    warmstart : BarycenterResult, default=None
        Result of a similar problem to start from.
    callback : callable, default=None
        Called with an ``IterationInfo`` after every step; a true answer stops.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.
    warn : bool, default=True
        Issue a ConvergenceWarning when ``tol`` was not reached.

    Returns
    -------
    BarycenterResult
        The mean in ``barycenter``, with its certificate.

    Raises
    ------
    TypeError
        When an argument is of the wrong kind, or libraries are mixed.
    ValueError
        When a value is invalid, or shapes or sums do not match.

    Warns
    -----
    ConvergenceWarning
        When ``tol`` was not reached; the result is finite all the same.

    See Also
    --------
    barycenter_grid : Images, without a cost matrix.
    free_support_barycenter : The points move, too.

    Notes
    -----
    Entropy is relative to the counting measure here, not to the marginals as in
    ``sinkhorn``: the mean is not known beforehand. It blurs the mean: with squared
    distances the variance grows by ``reg / 2``, and ``debiased=True`` takes that back.

    Bregman projections (Benamou et al. 2015) in the log domain on levels of decreasing
    ``reg``, then Newton's method on the concave dual, restricted to potentials that
    balance each other. Debiasing is a deconvolution, by sweeps with momentum, and
    Newton steps only where the plans are behind its field. Details finer than the blur,
    ``sqrt(reg / 2)`` with squared distances, hardly change the objective: edges of
    such a width stay round, and errors far below 1e-6 may be out of reach.

    Where the range of the cost is at most 1300 ``reg`` (600 on grids), ``exp(-M /
    reg)`` is stored, a pass is two products of it with all scalings, and the
    projections are extrapolated (Anderson) before Newton steps are tried. Below, a pass
    costs one exponential for every entry of every plan, and Newton steps store the
    plans; where these would have more than 5e7 entries in all, the projections go on
    alone.

    References
    ----------
    Benamou, Carlier, Cuturi, Nenna & Peyré (2015), Iterative Bregman projections for
    regularized transportation problems, SIAM J. Sci. Comput. 37(2). Janati, Cuturi &
    Gramfort (2020), Debiased Sinkhorn barycenters, ICML. Cuturi & Peyré (2016), A
    smoothed dual approach for variational Wasserstein problems, SIAM J. Imaging Sci. 9.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.ot import barycenter
    >>> x = np.linspace(0, 1, 60)
    >>> A = np.exp(-200 * (x[:, None] - [0.3, 0.7]) ** 2)
    >>> A /= A.sum(axis=0)
    >>> result = barycenter(A, (x[:, None] - x) ** 2, reg=1e-3)
    >>> round(float(x @ result.barycenter), 6)
    0.5
    """
    problem, dtype = MeanProblem.from_histograms(A, M, reg, weights, debiased)
    n, m = problem.cost.shape
    newton = len(problem.kept) * n * m <= LARGEST_PLANS
    xp = problem.xp
    fields = _solve(
        MeanSolver(newton, "barycenter"),
        problem,
        tol,
        max_iter,
        _start(warmstart, problem, lambda g: xp.matrix_transpose(g)),
        callback,
        verbose,
        warn,
    )
    fields |= {key: xp.matrix_transpose(fields[key]) for key in "fg"}
    return _result(problem, dtype, fields)


def barycenter_grid(
    images: Array,
    reg: float,
    weights: Array | None = None,
    *,
    p: int = 2,
    spacing: float | tuple[float, ...] | None = None,
    debiased: bool = False,
    tol: float | None = None,
    max_iter: int = 1000,
    warmstart: BarycenterResult | None = None,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> BarycenterResult:
    r"""Average images in the sense of optimal transport, without a cost matrix.

    Parameters
    ----------
    images : array of shape (k, n_1), (k, n_1, n_2) or (k, n_1, n_2, n_3)
        Images, non-negative, of equal sums.
    reg : float
        Regularisation, positive, in the units of the cost.
    weights : array of shape (k,), default=None
        Coefficients of the images, non-negative, scaled to sum 1; None means equal
        ones.
    p : {1, 2}, default=2
        Power of the cost: squared Euclidean distance, or city-block distance.
    spacing : float or tuple of float, default=None
        Distance of neighbouring pixels, one for all axes or one for each; None puts
        the grid on the unit cube, ``1 / (n_k - 1)``.
    debiased : bool, default=False
        Correct for the blur of entropy (Janati et al. 2020).
    tol : float, default=None
        Mean L1 difference of the column sums of the plans, relative to the mass, at
        which the solver stops; None means 1e-9, or 1e-6 when debiased.
    max_iter : int, default=1000
        Bound on passes over all plans plus Newton steps.
    warmstart : BarycenterResult, default=None
        Result of a similar problem to start from.
    callback : callable, default=None
        Called with an ``IterationInfo`` after every step; a true answer stops.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.
    warn : bool, default=True
        Issue a ConvergenceWarning when ``tol`` was not reached.

    Returns
    -------
    BarycenterResult
        The mean in ``barycenter``, of the shape of an image.

    Raises
    ------
    TypeError
        When an argument is of the wrong kind, or libraries are mixed.
    ValueError
        When a value is invalid, or shapes or sums do not match.

    Warns
    -----
    ConvergenceWarning
        When ``tol`` was not reached; the result is finite all the same.

    See Also
    --------
    barycenter : Any cost matrix, and what is minimised.
    sinkhorn_grid : Transport between two images.

    Notes
    -----
    The algorithm is that of ``barycenter``; passes and Hessian products are transforms
    along the axes, O(N sum n_k) for each image of N pixels, and nothing of the size of
    a plan is stored.

    References
    ----------
    Solomon et al. (2015), Convolutional Wasserstein distances, ACM Trans. Graph. 34.
    Janati, Cuturi & Gramfort (2020), Debiased Sinkhorn barycenters, ICML.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.ot import barycenter_grid
    >>> x = np.linspace(0, 1, 20)
    >>> images = np.stack(
    ...     [np.exp(-80 * ((x[:, None] - s) ** 2 + (x - 0.5) ** 2)) for s in (0.3, 0.7)]
    ... )
    >>> images /= images.sum(axis=(1, 2), keepdims=True)
    >>> result = barycenter_grid(images, reg=5e-3, debiased=True)
    >>> round(float(x @ result.barycenter.sum(axis=1)), 6)
    0.5
    """
    problem, grid, dtype = MeanProblem.from_images(
        images, reg, weights, debiased, p, spacing
    )
    xp = problem.xp
    count = len(problem.kept)
    fields = _solve(
        MeanSolver(True, "barycenter_grid"),
        problem,
        tol,
        max_iter,
        _start(warmstart, problem, lambda g: xp.reshape(g, (g.shape[0], -1))),
        callback,
        verbose,
        warn,
    )
    fields["barycenter"] = xp.reshape(fields["barycenter"], grid.shape)
    fields |= {key: xp.reshape(fields[key], (count, *grid.shape)) for key in "fg"}
    return _result(problem, dtype, fields)


def _solve(
    solver: MeanSolver,
    problem: MeanProblem,
    tol: float | None,
    max_iter: int,
    start: Array | None,
    callback: Callback | None,
    verbose: int,
    warn: bool,
) -> dict[str, Any]:
    """Check the options that both functions share, and iterate."""
    if tol is None:
        tol = DEBIASED_TOL if problem.debiased else TOL
    fields = iterate(
        solver,
        problem,
        tol=v.check_real("tol", tol, low=0),
        max_iter=v.check_int("max_iter", max_iter, low=1),
        callback=v.check_callback(callback),
        verbose=v.check_int("verbose", verbose, low=0, high=2),
        warm_start=start,
        warn=False,
    )
    if warn and fields["status"] not in ("converged", "callback"):
        warn_not_converged(solver.name, fields["message"])
    return fields


def _start(warmstart: Any, problem: MeanProblem, to_rows: Any) -> Array | None:
    """Potentials of a former result as rows."""
    if warmstart is None:
        return None
    if not isinstance(warmstart, BarycenterResult):
        kind = type(warmstart).__name__
        raise ArgumentTypeError(v.message("warmstart", "a BarycenterResult", kind))
    xp, (g, _) = v.float_arrays(warmstart=warmstart.g, a=problem.a)
    g = xp.astype(to_rows(g), xp.float64)
    count, m = problem.a.shape[0], problem.cost.shape[1]
    v.check_shape("warmstart", g, (count, m), why="(potentials by input)")
    return g


def _result(
    problem: MeanProblem, dtype: Any, fields: dict[str, Any]
) -> BarycenterResult:
    """Give the arrays of the answer the dtype of the input."""
    xp = problem.xp
    fields |= {key: xp.astype(fields[key], dtype) for key in ("barycenter", "f", "g")}
    return BarycenterResult(
        weights=xp.astype(problem.w, dtype),
        reg=problem.eps,
        debiased=problem.debiased,
        **fields,
    )
