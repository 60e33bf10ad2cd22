# SPDX-License-Identifier: BSD-3-Clause
"""What the solvers for a general dictionary report."""

import dataclasses
from typing import Any

import numpy as np

from numopt._array.namespace import array_namespace, device
from numopt._iterate.result import SolverResult
from numopt.sbl._problem import SBLProblem, real_dtype
from numopt.typing import Array

__all__ = ["SBLResult", "zero_fields"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class SBLResult(SolverResult):
    """Posterior of a sparse Bayesian model at its best hyper-parameters.

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
        One entry a check: "n_iter", "time", "objective", "residual", "noise_var",
        "n_active" and, except for "cofem", "log_evidence".
    coef : array of shape (p,) or (p, L)
        Posterior mean; exactly zero outside ``active``.
    gamma : array of shape (p,)
        Prior variances.
    noise_var : float
        Noise variance.
    log_evidence : float
        Log evidence in nats, constants included, any inclusion prior excluded.
    active : array of int of shape (m,)
        Indices of the atoms with ``gamma > 0``, sorted.
    cov : array of shape (m, m)
        Posterior covariance of the active coefficients.
    posterior_var : array of shape (p,)
        Posterior variances; zero outside ``active``.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.sbl import sbl
    >>> A = np.random.default_rng(0).standard_normal((30, 50))
    >>> result = sbl(A, A[:, 3] - A[:, 7])
    >>> result.active
    array([3, 7])
    """

    coef: Array
    gamma: Array
    noise_var: float
    log_evidence: float
    active: Array
    cov: Array
    posterior_var: Array


def zero_fields(problem: SBLProblem, noise_var: float | None) -> dict[str, Any]:
    """Fields of the answer to measurements that are zero: an empty model."""
    xp = array_namespace(problem.Y)
    where = device(problem.Y)
    p, L = problem.shape[1], problem.Y.shape[1]
    real = real_dtype(problem.Y)
    tiny = float(xp.finfo(real).eps) ** 2
    noise = tiny if noise_var is None else noise_var
    evidence = -problem.half * L * problem.rows
    evidence *= float(np.log(noise) + np.log(np.pi / problem.half))
    gamma = xp.zeros(p, dtype=real, device=where)
    first = {"n_iter": 0, "time": 0.0, "objective": -evidence, "residual": 0.0}
    first |= {"log_evidence": evidence, "noise_var": noise, "n_active": 0}
    return {
        "n_iter": 0,
        "converged": True,
        "message": "the measurements are zero: no atom is needed",
        "status": "converged",
        "history": {key: np.asarray([value]) for key, value in first.items()},
        "coef": xp.zeros(
            (p,) if problem.vector else (p, L), dtype=problem.Y.dtype, device=where
        ),
        "gamma": gamma,
        "noise_var": noise,
        "log_evidence": evidence,
        "active": xp.zeros(0, dtype=xp.int64, device=where),
        "cov": xp.zeros((0, 0), dtype=problem.Y.dtype, device=where),
        "posterior_var": gamma,
    }
