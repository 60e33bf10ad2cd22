# SPDX-License-Identifier: BSD-3-Clause
"""``ila_sdp``: clusters of unequal shapes by alternating memberships and shapes."""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._array.random import as_generator
from numopt._iterate.loop import iterate
from numopt._iterate.stopping import warn_not_converged
from numopt._validation import (
    check_callback,
    check_choice,
    check_flag,
    check_int,
    check_real,
)
from numopt.cluster._problem import DenseRows, KMeansProblem
from numopt.cluster._solvers import mixture
from numopt.cluster._solvers.blas import calm_blas
from numopt.cluster._solvers.groups import (
    Run,
    dense_problem,
    given_labels,
    make_group_result,
    memberships,
)
from numopt.cluster._solvers.kmeans import check_n_clusters
from numopt.cluster._solvers.likelihood import (
    GroupProblem,
    GroupSolver,
    partition_groups,
)
from numopt.cluster._solvers.primal import multi_start
from numopt.cluster._solvers.rankone import RankOneProblem, RankOneSolver
from numopt.cluster._solvers.results import LASDPResult
from numopt.exceptions import ArgumentTypeError
from numopt.typing import Array, Callback

__all__ = ["ila_sdp"]

SOLVERS = ("auto", "admm", "lowrank")
INITS = ("auto", "kmeans", "gmm")
#: Most rows for which the K matrices n x n of the ADMM are formed by default.
LARGEST_DENSE = 600
INNER_TOL = 1e-3
#: Iterations of the one relaxation that bounds the best partition of all starts: its
#: bound holds however early it ends.
CERTIFY_ITERATIONS = 60
#: Short runs of EM for every restart asked for: they are cheap, and likelier mixtures
#: are what more of them find.
SHORT_RUNS = 3


def ila_sdp(
    X: Array,
    n_clusters: int,
    *,
    init: Any = "auto",
    covariance_type: str = "full",
    reg_covar: float = 1e-3,
    solver: str = "auto",
    max_outer: int = 20,
    tol: float = 1e-4,
    max_iter: int = 500,
    n_init: int = 3,
    random_state: Any = None,
    callback: Callback | None = None,
    verbose: int = 0,
    warn: bool = True,
) -> LASDPResult:
    r"""Cluster clusters of unequal shapes: alternate the relaxation and covariances.

    For given memberships the covariances are
    :math:`S_k = X^T({\rm diag}(h_k) - Z_k)X / 1^Th_k + \rho I` with
    :math:`h_k = Z_k 1`; no centre is ever estimated. The result is the partition of
    the largest profile likelihood among all steps and all starts.

    Parameters
    ----------
    X : array_like of shape (n_samples, n_features)
        Data.
    n_clusters : int
        Number of clusters.
    init : {"auto", "kmeans", "gmm"} or array_like of int, default="auto"
        Starts: k-means labels, EM of Gaussian mixtures (full and diagonal), both, or
        given labels.
    covariance_type : {"full", "diag", "spherical", "tied"}, default="full"
        Form of the covariances.
    reg_covar : float, default=1e-3
        Added to the diagonal, in units of the mean variance of the columns.
    solver : {"auto", "admm", "lowrank"}, default="auto"
        "admm": the relaxation, K matrices n x n. "lowrank": rank-one groups,
        O(n p^2 K) a step. "auto": rank-one groups from every start, then (up to 600
        rows) at most 60 iterations of the relaxation from the likeliest partition,
        which also bound it.
    max_outer : int, default=20
        Alternations of each start.
    tol : float, default=1e-4
        Residuals at the last relaxation (1e-3 before).
    max_iter : int, default=500
        Iterations of each relaxation.
    n_init : int, default=3
        Restarts behind every kind of start.
    random_state : None, int or Generator, default=None
        Seed.
    callback : callable, default=None
        Called as ``callback(info)`` after every check of a relaxation; true stops it.
    verbose : int, default=0
        1 for a progress bar, 2 for log lines.
    warn : bool, default=True
        Whether to issue a ConvergenceWarning when the labels have not settled.

    Returns
    -------
    LASDPResult
        Labels, memberships, covariances, likelihood, and which start won.

    Raises
    ------
    TypeError, ValueError
        When an argument is of the wrong kind or out of range.

    See Also
    --------
    la_sdp : For known covariances.

    Notes
    -----
    The relaxation repairs poor starts; it adds little to a start that is already the
    right model. Likelihood picks the start, and the likeliest partition is not always
    the most accurate one.

    References
    ----------
    Y. Zhuang, X. Chen, Y. Yang, "Likelihood adjusted semidefinite programs for
    clustering heterogeneous data", ICML 2023.

    Examples
    --------
    >>> from numopt.cluster import ila_sdp, misclustering_error
    >>> from numopt.datasets import make_unequal_mixture
    >>> X, truth = make_unequal_mixture(60, 2, distance=9.0, random_state=1)
    >>> misclustering_error(truth, ila_sdp(X, 3, random_state=0).labels) < 0.1
    True
    """
    check_choice("covariance_type", covariance_type, mixture.COVARIANCE_TYPES)
    check_choice("solver", solver, SOLVERS)
    reg_covar = check_real("reg_covar", reg_covar, low=0.0, include_low=False)
    max_outer = check_int("max_outer", max_outer, low=1)
    tol = check_real("tol", tol, low=0.0)
    max_iter = check_int("max_iter", max_iter, low=1)
    n_init = check_int("n_init", n_init, low=1)
    check_callback(callback)
    check_flag("warn", warn)
    problem = dense_problem(X)
    rows = problem.like
    if not isinstance(rows, np.ndarray):
        raise ArgumentTypeError(
            "ila_sdp runs on NumPy arrays only; la_sdp, kmeans_sdp and "
            "kmeans_certificate take arrays of every library"
        )
    K = check_n_clusters(n_clusters, problem.n)
    reg = mixture.regularisation(rows, reg_covar)
    rng = as_generator(random_state)
    options = {"max_iter": max_iter, "callback": callback, "verbose": verbose}
    alternation = _Alternation(
        rows, K, covariance_type, reg, solver == "admm", max_outer, tol, options
    )
    with calm_blas(problem.n):
        starts = _starts(problem, rows, K, init, n_init, reg, rng)
        runs = [alternation.run(name, labels) for name, labels in starts]
        best = max(runs, key=lambda run: run.likelihood)
        if solver == "auto" and problem.n <= LARGEST_DENSE:
            best = _certified(alternation, best)
    fields = _outer_fields(runs, best)
    if warn and not fields["converged"]:
        warn_not_converged("ila_sdp", fields["message"])
    return make_group_result(problem, rows, best, fields)


def _certified(alternation: "_Alternation", best: Run) -> Run:
    """One dense relaxation from the best partition: a bound, perhaps a better one."""
    iterations = min(alternation.options["max_iter"], CERTIFY_ITERATIONS)
    options = {**alternation.options, "max_iter": iterations}
    dense = dataclasses.replace(alternation, dense=True, max_outer=1, options=options)
    found = dense.run(best.start, best.labels)
    found.steps, found.settled = best.steps, best.settled
    return found


def _outer_fields(runs: list[Run], best: Run) -> dict[str, Any]:
    """The fields that every result shares; the history has one entry a start."""
    text = "the labels repeat" if best.settled else "the labels have not settled"
    return {
        "n_iter": best.steps,
        "converged": best.settled,
        "message": f"{text}; start '{best.start}' has the largest likelihood",
        "status": "converged" if best.settled else "max_iter",
        "history": {
            "n_iter": np.array([run.steps for run in runs]),
            "objective": np.array([run.likelihood for run in runs]),
            "start": np.array([run.start for run in runs]),
        },
    }


@dataclasses.dataclass(frozen=True)
class _Alternation:
    """Alternate relaxation and covariances from one start; keep the likeliest."""

    X: np.ndarray
    K: int
    kind: str
    reg: float
    dense: bool
    max_outer: int
    tol: float
    options: dict[str, Any]

    def likelihood(self, labels: np.ndarray) -> float:
        """Profile likelihood of labels."""
        return mixture.profile_likelihood(self.X, labels, self.K, self.kind, self.reg)

    def run(self, name: str, labels: np.ndarray) -> Run:
        """Return the best partition met, the start included."""
        soft = np.eye(self.K)[labels].T
        best = Run(
            labels,
            soft,
            self.covariances(labels),
            math.nan,
            math.inf,
            name,
            self.likelihood(labels),
        )
        S = best.covariances
        current, settled, steps = labels, False, 0
        while steps < self.max_outer and not settled:
            steps += 1
            soft, S, objective, upper = self.relax(S, current)
            found = soft.argmax(axis=0)
            polished = self.polish(found)
            for candidate in (found, polished):
                value = self.likelihood(candidate)
                if value > best.likelihood:
                    best = Run(candidate, soft, S, objective, upper, name, value)
                elif math.isnan(best.objective):
                    best.objective, best.upper = objective, upper
            if np.array_equal(found, current):
                settled = True
                break
            if np.bincount(found, minlength=self.K).min() < 2:
                settled = True
                break
            current = found
        best.settled, best.steps = settled, steps
        best.covariances = self.covariances(best.labels)
        return best

    def covariances(self, labels: np.ndarray) -> np.ndarray:
        """Covariances of hard labels."""
        return mixture.fitted(self.X, labels, self.K, self.kind, self.reg)[2]

    def polish(self, labels: np.ndarray) -> np.ndarray:
        """Hard reassignments while they raise the likelihood."""
        value = self.likelihood(labels)
        for _ in range(20):
            if not math.isfinite(value):
                break
            other = mixture.reassign(self.X, labels, self.K, self.kind, self.reg)
            raised = self.likelihood(other)
            if raised <= value:
                break
            labels, value = other, raised
        return labels

    def relax(
        self, S: np.ndarray, labels: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, float, float]:
        """Soft memberships and next covariances for given ones."""
        if self.dense:
            problem = GroupProblem.from_covariances(self.X, S)
            fields = iterate(
                GroupSolver(),
                problem,
                tol=max(self.tol, INNER_TOL),
                check_every=10,
                warm_start=partition_groups(labels, self.K),
                warn=False,
                **self.options,
            )
            Z = fields["Z"]
            soft = Z.sum(axis=2)
            means = np.einsum("kij,jp->kip", Z, self.X)
            cross = np.einsum("ip,kiq->kpq", self.X, means)
            objective, upper = problem.value(fields["Y"]), fields["upper_bound"]
        else:
            rank_one = RankOneProblem.from_covariances(self.X, S)
            fields = iterate(
                RankOneSolver(),
                rank_one,
                tol=max(self.tol, INNER_TOL),
                check_every=10,
                warm_start=np.eye(self.K)[labels].T,
                warn=False,
                **self.options,
            )
            u = fields["u"]
            soft = u * u.sum(axis=1, keepdims=True)
            inner = u @ self.X
            cross = inner[:, :, None] * inner[:, None, :]
            objective, upper = rank_one.value(u), math.inf
        within = np.einsum("ki,ip,iq->kpq", soft, self.X, self.X) - cross
        within = 0.5 * (within + within.transpose(0, 2, 1))
        sizes = np.maximum(soft.sum(axis=1), 0.0)
        S = mixture.covariances_of(self.X, sizes, within, self.kind, self.reg)
        return memberships(soft), _definite(S, self.reg), objective, upper


def _definite(S: np.ndarray, reg: float) -> np.ndarray:
    """Covariances with eigenvalues of at least ``reg`` (inexact groups lose it)."""
    w, Q = np.linalg.eigh(S)
    return np.matmul(Q * np.maximum(w, reg)[:, None, :], Q.transpose(0, 2, 1))


def _starts(
    problem: KMeansProblem,
    X: np.ndarray,
    K: int,
    init: Any,
    n_init: int,
    reg: float,
    rng: np.random.Generator,
) -> list[tuple[str, np.ndarray]]:
    """Named starts: k-means, full and diagonal mixtures, or given labels."""
    if not isinstance(init, str):
        return [("labels", given_labels(init, problem.n, K))]
    check_choice("init", init, INITS)
    rows = DenseRows(X)
    labels, _ = multi_start(problem, rows, K, max(n_init, 5), rng)
    found = [("kmeans", labels)]
    if init != "kmeans":
        count = SHORT_RUNS * n_init
        seeds = [labels]
        seeds += [multi_start(problem, rows, K, 1, rng)[0] for _ in range(count - 1)]
        seeds += [_random_labels(X, K, rng) for _ in range(count)]
        found += [
            (f"gmm-{kind}", mixture.em_labels(X, seeds, K, kind, reg))
            for kind in ("full", "diag")
        ]
    if init == "gmm":
        found = found[1:]
    return found


def _random_labels(X: np.ndarray, K: int, rng: np.random.Generator) -> np.ndarray:
    """Nearest of K random rows: a start that k-means++ would rarely give."""
    centers = X[rng.choice(X.shape[0], K, replace=False)]
    scores = np.sum(centers**2, axis=1)[None, :] - 2 * X @ centers.T
    return np.argmin(scores, axis=1)
