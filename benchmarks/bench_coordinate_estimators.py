# SPDX-License-Identifier: BSD-3-Clause
"""Small paths, cross-validation and the overhead of estimators, against peers."""

import functools
import warnings

import numpy as np

from benchmarks import peers

#: Gaps of the path on the interactions of the diabetes data.
GAPS = (1e-4, 1e-6, 1e-8)
#: (strengths, last strength relative to the first, share of the L1 norm).
PATHS = ((50, 1e-2, 0.9), (100, 1e-3, 1.0))


def cases():
    """Return the rows of the performance page."""
    for count, eps, ratio in PATHS:
        for gap in GAPS:
            yield peers.Case(
                f"path, diabetes interactions, l1_ratio {ratio:g}, gap {gap:.0e}",
                "scikit-learn",
                "sklearn",
                functools.partial(_path, count, eps, ratio, gap),
            )
    yield peers.Case(
        "LassoCV, diabetes interactions, 5 folds",
        "scikit-learn",
        "sklearn",
        _cross_validation,
    )
    for n, p, share in ((1000, 100, 0.05), (100, 2000, 0.1)):
        yield peers.Case(
            f"Lasso.fit over bcd_solve, {n} x {p}",
            "bcd_solve",
            "numopt",
            functools.partial(_overhead, n, p, share),
        )


@functools.cache
def interactions():
    """Return standardised squares and products of the diabetes data, and targets."""
    from sklearn.datasets import load_diabetes
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    X, y = load_diabetes(return_X_y=True)
    X = PolynomialFeatures(2, include_bias=False).fit_transform(X)
    return np.asfortranarray(StandardScaler().fit_transform(X)), y - y.mean()


def _path(count, eps, ratio, gap):
    """Both to the gap; the peer at its loosest tolerance that reaches it."""
    from sklearn.linear_model import enet_path as peer

    from numopt.coordinate import ElasticNet, Quadratic, dual_gap, enet_path

    X, y = interactions()

    def ours():
        return enet_path(X, y, l1_ratio=ratio, n_alphas=count, eps=eps, tol=gap)

    alphas = ours().alphas
    for tol in 10.0 ** -np.arange(1, 10):
        theirs = functools.partial(
            peer, X, y, l1_ratio=ratio, alphas=alphas, tol=tol, max_iter=100_000
        )
        coefs = theirs()[1]
        gaps = [
            dual_gap(X, y, coefs[:, k], Quadratic(), ElasticNet(alpha, ratio))
            for k, alpha in enumerate(alphas)
        ]
        if max(gaps) <= gap:
            return ours, theirs
    raise NotImplementedError(f"stops at a relative gap of {max(gaps):.0e}")


def _cross_validation():
    """One hundred strengths and five folds each, on the same grid, to agreeing errors.

    scikit-learn's ``tol`` is relative to the norm of the targets, which is twice its
    null objective: both ask for the same gap.
    """
    from sklearn.linear_model import LassoCV as Peer

    from numopt.coordinate import LassoCV

    X, y = interactions()
    mine = LassoCV(cv=5, tol=1e-5)
    theirs = Peer(cv=5, alphas=100, tol=1e-5, max_iter=100_000)

    def fit_peer():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return theirs.fit(X, y)

    mine.fit(X, y)
    fit_peer()
    gap = np.abs(mine.mse_path_ / theirs.mse_path_ - 1).max()
    if gap > 0.02:
        raise NotImplementedError(f"the errors of the folds differ by {gap:.0e}")
    return lambda: mine.fit(X, y), fit_peer


def _overhead(n, p, share):
    """The estimator and the bare solve of the same problem, of half a millisecond."""
    from numopt.coordinate import L1, Lasso, Quadratic, alpha_max, bcd_solve

    rng = np.random.default_rng(0)
    X = np.asfortranarray(rng.standard_normal((n, p)))
    y = X[:, :10].sum(axis=1) + rng.standard_normal(n)
    alpha = share * alpha_max(X, y, Quadratic(), L1(), fit_intercept=True)
    model, penalty = Lasso(alpha), L1(alpha)
    return (
        lambda: model.fit(X, y),
        lambda: bcd_solve(X, y, Quadratic(), penalty, fit_intercept=True),
    )
