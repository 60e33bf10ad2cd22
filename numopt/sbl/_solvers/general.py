# SPDX-License-Identifier: BSD-3-Clause
"""The public function for a general dictionary: validate, choose, iterate."""

import dataclasses
from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, namespace_key, namespace_name
from numopt._array.sparse import is_sparse
from numopt._iterate.loop import iterate
from numopt._validation import (
    check_callback,
    check_choice,
    check_flag,
    check_int,
    check_real,
    message,
)
from numopt.exceptions import ArgumentTypeError
from numopt.sbl._problem import (
    SBLProblem,
    check_finite,
    check_gamma,
    check_rows,
    float_or_complex,
    has_signal,
    is_operator,
    make_problem,
)
from numopt.sbl._solvers.batch import BatchSolver
from numopt.sbl._solvers.cofem import CofemSolver
from numopt.sbl._solvers.fast import FastSolver, GramRows, in_double
from numopt.sbl._solvers.result import SBLResult, zero_fields
from numopt.typing import Callback

__all__ = ["METHODS", "Options", "prior_penalty", "sbl", "solve"]

METHODS = ("auto", "fast", "mm", "mackay", "em", "cofem")
MAX_ITER = {"mm": 1000, "mackay": 1000, "em": 3000, "cofem": 200}


def prior_penalty(sparsity_prior: Any) -> float:
    """Log odds against an atom; -1 stands for the Beta(1, 1) prior on the rate."""
    if isinstance(sparsity_prior, str):
        check_choice("sparsity_prior", sparsity_prior, ("beta", "none"))
        return -1.0 if sparsity_prior == "beta" else 0.0
    if sparsity_prior is None:
        raise ValueError(
            message("sparsity_prior", "'beta', 'none' or a number", "None")
        )
    return check_real("sparsity_prior", sparsity_prior, low=0)


def sbl(
    A: Any,
    y: Any,
    *,
    method: str = "auto",
    noise_var: float | None = None,
    sparsity_prior: str | float = "beta",
    max_iter: int | None = None,
    tol: float = 1e-5,
    prune_tol: float = 1e-6,
    gamma0: Any = None,
    n_probes: int = 20,
    random_state: Any = None,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> SBLResult:
    r"""Sparse linear model whose prior variances maximise the evidence.

    For ``y = A x + n`` with ``x ~ N(0, diag(gamma))`` and ``n ~ N(0, noise_var I)``
    (circular complex normal for complex data) the log evidence

    .. math::

        \ell(\gamma, \sigma^2) = -c \left[ \log\det C + y^H C^{-1} y
        + n \log(\pi/c) \right], \qquad
        C = \sigma^2 I + A \,\mathrm{diag}(\gamma) A^H,

    where c is 1/2 for real and 1 for complex data, is maximised over ``gamma`` and
    ``noise_var``. At the maximum most prior variances are zero: the data have chosen
    the atoms, and the posterior gives their coefficients with error bars.

    Parameters
    ----------
    A : array, sparse matrix or LinearOperator of shape (n, p)
        Dictionary, real or complex. Sparse matrices run with "fast" and "cofem",
        operators (``matvec`` and ``rmatvec``, as SciPy's) with "cofem".
    y : array of shape (n,) or (n, L)
        Measurements; L columns share the prior variances.
    method : str, default="auto"
        - "fast": sequential ascent, one atom at a time, on NumPy arrays;
        - "mm": batch majorisation, monotone in the evidence, any array library;
        - "mackay": batch fixed point, quick but not monotone;
        - "em": expectation-maximisation, monotone and slow;
        - "cofem": products narrow a very large dictionary down to the 2048 atoms at
          most whose columns are made; "fast" selects among them.

        "auto" is "fast", or "cofem" for an operator, or "mm" off the host.
    noise_var : float, default=None
        Noise variance; None learns it.
    sparsity_prior : {"beta", "none"} or float, default="beta"
        Inclusion prior of "fast" and "cofem": a Bernoulli prior whose rate has a flat
        prior, no prior (the plain evidence), or a constant cost in nats for each atom.
    max_iter : int, default=None
        Limit of iterations (for "fast": of actions); None chooses by method.
    tol : float, default=1e-5
        "fast" stops when no action gains more than ``tol`` nats; the others when
        the largest relative change of a hyper-parameter is at most ``tol``.
    prune_tol : float, default=1e-6
        Batch methods drop atoms with ``gamma`` below ``prune_tol`` times the largest.
    gamma0 : array of shape (p,), default=None
        Prior variances to start from; "fast" starts with their support.
    n_probes : int, default=20
        Random draws of "cofem"; its variances have a relative error of
        ``sqrt(2 / n_probes)``.
    random_state : int, Generator or None, default=None
        Seed of those draws.
    callback : callable, default=None
        Called as ``callback(info)``; a true answer stops.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.
    warn : bool, default=True
        Whether to issue a ConvergenceWarning when ``converged`` is False.

    Returns
    -------
    SBLResult
        ``coef``, ``gamma``, ``noise_var``, ``log_evidence``, ``active``, ``cov``,
        ``posterior_var`` and the record of the iterations.

    Raises
    ------
    ValueError
        When shapes disagree, an entry is not finite or an option is out of range.
    TypeError
        When the method does not run on this kind of dictionary.
    numpy.linalg.LinAlgError
        When the posterior stays singular after three jitters.

    Warns
    -----
    ConvergenceWarning
        When ``max_iter`` is reached.

    See Also
    --------
    numopt.sbl.SBLRegressor : The same as a scikit-learn estimator.
    numopt.sbl.kronecker_sbl : For dictionaries that are Kronecker products.

    Notes
    -----
    One action of "fast" costs O(m p) with m active atoms, plus O(n p) for the Gram
    row of an atom that enters for the first time; memory is m p for those rows.
    "mm", "mackay" and "em" cost O(p^3) an iteration when p <= n and O(n^2 p)
    otherwise, and shrink as atoms are pruned. Columns and measurements are scaled
    internally, so the answer does not depend on their units. "fast" computes in
    double precision and returns the precision of its input. "cofem" without inclusion
    prior, stopped early, reports the n strongest atoms.

    When n is much smaller than p the evidence alone drives ``noise_var`` to zero and
    keeps about n/2 atoms; the inclusion prior repairs exactly that. "none" suits
    dictionaries of smooth, nearly parallel columns.

    References
    ----------
    M. E. Tipping and A. C. Faul, "Fast marginal likelihood maximisation for sparse
    Bayesian models", AISTATS 2003, eqs. 26-37.

    J. G. Scott and J. O. Berger, "Bayes and empirical-Bayes multiplicity adjustment
    in the variable-selection problem", Annals of Statistics 38, 2010.

    D. P. Wipf and S. Nagarajan, "Iterative reweighted l1 and l2 methods for finding
    sparse solutions", IEEE JSTSP 4, 2010.

    D. P. Wipf and B. D. Rao, "An empirical Bayesian strategy for solving the
    simultaneous sparse approximation problem", IEEE TSP 55, 2007.

    A. Lin, A. H. Song, B. Bilgic and D. Ba, "Covariance-free sparse Bayesian
    learning", 2021, arXiv 2105.10439.

    G. Papandreou and A. L. Yuille, "Gaussian sampling by local perturbations", NIPS
    2010.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.sbl import sbl
    >>> rng = np.random.default_rng(0)
    >>> A = rng.standard_normal((40, 100))
    >>> y = 3.0 * A[:, 5] - 2.0 * A[:, 20] + 0.1 * rng.standard_normal(40)
    >>> result = sbl(A, y)
    >>> result.active
    array([ 5, 20])
    >>> np.round(result.coef[result.active], 1)
    array([ 3., -2.])
    """
    check_choice("method", method, METHODS)
    penalty = prior_penalty(sparsity_prior)
    noise = _positive("noise_var", noise_var)
    check_real("tol", tol, low=0)
    check_real("prune_tol", prune_tol, low=0, high=1)
    if max_iter is not None:
        check_int("max_iter", max_iter, low=1)
    check_int("n_probes", n_probes, low=1)
    check_callback(callback)
    check_flag("warn", warn)
    problem = _problem_of(A, y, method)
    method = _resolve(method, problem)
    start = None if gamma0 is None else check_gamma("gamma0", gamma0, problem)
    options = Options(
        noise_var=noise,
        penalty=penalty,
        tol=tol,
        prune_tol=prune_tol,
        max_iter=max_iter,
        n_probes=n_probes,
        random_state=random_state,
        verbose=verbose,
    )
    return solve(problem, method, options, gamma0=start, callback=callback, warn=warn)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Validated options of the solvers; each takes what concerns it."""

    noise_var: float | None = None
    penalty: float = -1.0
    tol: float = 1e-5
    prune_tol: float = 1e-6
    max_iter: int | None = None
    n_probes: int = 20
    random_state: Any = None
    verbose: int = 0


def solve(
    problem: SBLProblem,
    method: str,
    options: Options,
    *,
    gamma0: Any = None,
    gram: GramRows | None = None,
    products: np.ndarray | None = None,
    callback: Callback | None = None,
    warn: bool = True,
) -> SBLResult:
    """Run a named method on a validated problem.

    "fast" computes in double precision; ``gram`` are its Gram rows, where there are
    some of this dictionary already, ``products`` those with the measurements.
    """
    if not has_signal(problem):
        return SBLResult(**zero_fields(problem, options.noise_var))
    dtype, limit = problem.Y.dtype, options.max_iter
    solver: Any
    name = f"sbl(method={method!r})"
    if method == "fast":
        problem = in_double(problem)
        limit = limit or 1000 + 20 * min(problem.shape)
        solver = FastSolver(
            options.penalty, options.tol, limit, options.noise_var, gram, products
        )
    elif method == "cofem":
        solver = CofemSolver(
            options.n_probes,
            options.random_state,
            options.prune_tol,
            options.noise_var,
            options.penalty,
        )
    else:
        solver = BatchSolver(method, options.prune_tol, options.noise_var, name)
    fields = iterate(
        solver,
        problem,
        tol=options.tol,
        max_iter=limit or MAX_ITER[method],
        warm_start=gamma0,
        callback=callback,
        verbose=options.verbose,
        warn=warn,
    )
    if method in ("fast", "cofem") and dtype in (np.float32, np.complex64):
        for key in ("coef", "cov"):
            fields[key] = fields[key].astype(dtype)
        for key in ("gamma", "posterior_var"):
            fields[key] = fields[key].astype(np.float32)
    return SBLResult(**fields)


def _positive(name: str, value: Any) -> float | None:
    """Check a positive number; None stays None."""
    return None if value is None else check_real(name, value, low=0, include_low=False)


def _problem_of(A: Any, y: Any, method: str) -> SBLProblem:
    """Validate by kind: operator, sparse matrix or array."""
    if is_operator(A):
        return _product_problem(A, y)
    if is_sparse(A):
        problem = _product_problem(A, y)
        if method in ("mm", "mackay", "em"):
            raise ArgumentTypeError(
                f"method={method!r} needs a dense `A`; 'fast' and 'cofem' take sparse "
                "matrices"
            )
        return problem
    return make_problem(A, y)


def _product_problem(A: Any, y: Any) -> SBLProblem:
    """Dictionary known by products with NumPy arrays: operator or sparse matrix."""
    xp, (y,) = float_or_complex(y=y)
    if namespace_key(xp) != "numpy":
        raise ArgumentTypeError(
            f"`y` must be a NumPy array for a sparse or matrix-free `A`, got "
            f"{namespace_name(xp)} arrays"
        )
    if y.ndim not in (1, 2):
        raise ValueError(message("y", "1-D or 2-D", f"shape {y.shape}"))
    check_rows(A, y)
    check_finite("y", y)
    dtype = np.dtype(getattr(A, "dtype", None) or np.float64)
    wide = np.complex128 if "c" in (dtype.kind, y.dtype.kind) else np.float64
    if is_sparse(A):
        from scipy.sparse import csc_array

        A = csc_array(A, dtype=wide)
        check_finite("A", A.data)
    Y = y.astype(wide)
    return SBLProblem(
        A=A,
        Y=Y if y.ndim == 2 else Y[:, None],
        vector=y.ndim == 1,
        rows=float(A.shape[0]),
    )


def _resolve(method: str, problem: SBLProblem) -> str:
    """Choose for "auto"; say which methods run on these arrays."""
    xp = array_namespace(problem.Y)
    operator = is_operator(problem.A)
    on_host = namespace_key(xp) == "numpy"
    if method == "auto":
        if operator:
            return "cofem"
        return "fast" if on_host else "mm"
    if operator and method != "cofem":
        raise ArgumentTypeError(
            f"method={method!r} needs the entries of `A`; a linear operator runs with "
            "method='cofem'"
        )
    if method in ("fast", "cofem") and not on_host:
        raise ArgumentTypeError(
            f"method={method!r} runs on NumPy arrays only, got {namespace_name(xp)} "
            "arrays; 'mm', 'mackay' and 'em' run there"
        )
    return method
