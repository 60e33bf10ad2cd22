# SPDX-License-Identifier: BSD-3-Clause
"""Paths, bounds and smooth logistic models of the coordinate family, against peers."""

import functools
import warnings

import numpy as np

from benchmarks import peers

#: (workload, strengths, last strength relative to the first).
PATHS = (
    ("leukemia-like", 100, 0.01),
    ("text", 30, 0.05),
    ("tall", 50, 1e-3),
    ("n500p10k", 30, 0.1),
)
#: Gap of the rows of paths; further rows name theirs.
PATH_TOL = 1e-6
#: A gap that all peers come near.
ROUGH_TOL = 1e-4
#: How far a path of a peer may be from the gap: none meets it at every strength.
PATH_SLACK = 30.0
#: Not measured: one path takes minutes.
TOO_SLOW = (("leukemia-like", "scikit-learn"), ("n500p10k", "scikit-learn"))
SMOOTH_TOLS = (1e-4, 1e-6, 1e-8)
NNLS_SIZES = ((1000, 500), (500, 2000))


def cases(problem):
    """Return the rows; ``problem(name)`` gives (X, y)."""
    for name, count, eps in PATHS:
        for rival, (package, make) in PATH_PEERS.items():
            if (name, rival) in TOO_SLOW:
                continue
            for tol in (PATH_TOL, ROUGH_TOL):
                label = f"path, {name}, {count} strengths"
                yield peers.Case(
                    label if tol == PATH_TOL else f"{label}, gap {tol:.0e}",
                    rival,
                    package,
                    functools.partial(_path, problem, name, count, eps, make, tol),
                )
    for n, p in NNLS_SIZES:
        yield peers.Case(
            f"nnls, {n} x {p}", "SciPy", "scipy", functools.partial(_nnls, n, p)
        )
    for tol in SMOOTH_TOLS:
        yield peers.Case(
            f"L2 logistic, 50000 x 50, {tol:.0e}",
            "newton-cholesky",
            "sklearn",
            functools.partial(_l2_logistic, tol),
        )
        yield peers.Case(
            f"L2 softmax, digits, {tol:.0e}",
            "lbfgs",
            "sklearn",
            functools.partial(_softmax, tol),
        )


def _path(problem, name, count, eps, make, goal):
    """Both paths; the peer's largest gap must come near ours."""
    from numopt.coordinate import L1, Quadratic, dual_gap, lasso_path

    X, y = problem(name)
    options = {"n_alphas": count, "eps": eps, "tol": goal}
    alphas = lasso_path(X, y, **options).alphas
    worst = np.inf
    for tol in (goal, goal / 10, goal / 100):
        run = make(X, y, alphas, tol)
        coefs = _quietly(run)
        worst = max(
            dual_gap(X, y, coefs[:, k], Quadratic(), L1(alpha))
            for k, alpha in enumerate(alphas)
        )
        if worst <= PATH_SLACK * goal:
            return lambda: lasso_path(X, y, **options), functools.partial(_quietly, run)
    raise NotImplementedError(f"stops at a relative gap of {worst:.0e}")


def _quietly(run):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return run()


def _celer_path(X, y, alphas, tol):
    celer = peers.require("celer")
    return lambda: celer.celer_path(X, y, "lasso", alphas=alphas, tol=tol)[1]


def _sklearn_path(X, y, alphas, tol):
    linear = peers.require("sklearn.linear_model")
    return lambda: linear.lasso_path(X, y, alphas=alphas, tol=tol, max_iter=10_000)[1]


def _adelie_path(X, y, alphas, tol):
    adelie = peers.require("adelie")
    if not isinstance(X, np.ndarray):
        raise NotImplementedError("dense designs only")

    def run():
        state = adelie.grpnet(
            X,
            adelie.glm.gaussian(y),
            lmda_path=alphas,
            intercept=False,
            early_exit=False,
            tol=tol / 10,
            progress_bar=False,
            n_threads=1,
        )
        return state.betas.toarray().T

    return run


PATH_PEERS = {
    "celer": ("celer", _celer_path),
    "scikit-learn": ("sklearn", _sklearn_path),
    "adelie": ("adelie", _adelie_path),
}


def _nnls(n, p):
    """Both to the same objective."""
    from scipy.optimize import nnls as peer

    from numopt.coordinate import nnls

    rng = np.random.default_rng(0)
    A = np.asfortranarray(rng.standard_normal((n, p)))
    b = A @ np.maximum(rng.standard_normal(p), 0) + 5 * rng.standard_normal(n)
    best = peer(A, b)[1] ** 2 / 2
    found = nnls(A, b, tol=1e-8).objective * n
    if found > best + 1e-8 * (b @ b) / 2:
        raise NotImplementedError(f"objective {found - best:.1e} above SciPy's")
    return lambda: nnls(A, b, tol=1e-8), lambda: peer(A, b)


def _smooth(X, y, datafit, alpha, tol, rival):
    """Ours and a scikit-learn solver at its loosest tolerance that meets the gap."""
    from sklearn.linear_model import LogisticRegression

    from numopt.coordinate import Ridge, bcd_solve, dual_gap

    def run():
        return bcd_solve(X, y, datafit, Ridge(alpha), fit_intercept=True, tol=tol)

    for own in 10.0 ** -np.arange(3, 12):
        fitted = LogisticRegression(
            C=1 / (alpha * y.size), solver=rival, tol=own, max_iter=10_000
        )
        _quietly(functools.partial(fitted.fit, X, y))
        coef, b = fitted.coef_, fitted.intercept_
        if not datafit.multi_output:
            coef, b = coef[0], b[0]
        if dual_gap(X, y, coef, datafit, Ridge(alpha), intercept=b) <= tol:
            return run, functools.partial(_quietly, functools.partial(fitted.fit, X, y))
    raise NotImplementedError("never reaches the gap")


def _l2_logistic(tol):
    from numopt.coordinate import Logistic

    rng = np.random.default_rng(0)
    X = rng.standard_normal((50_000, 50))
    z = X @ rng.standard_normal(50) / 5 + rng.standard_normal(50_000)
    y = np.where(z > 0, 1.0, -1.0)
    return _smooth(X, y, Logistic(), 1e-4, tol, "newton-cholesky")


def _softmax(tol):
    from sklearn.datasets import load_digits

    from numopt.coordinate import Multinomial

    X, y = load_digits(return_X_y=True)
    return _smooth(X / 16.0, y, Multinomial(), 1e-3, tol, "lbfgs")
