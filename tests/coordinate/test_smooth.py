# SPDX-License-Identifier: BSD-3-Clause
"""Ridge models of any loss, and tall designs: certificates and peers."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression

from numopt.coordinate import (
    L1,
    ElasticNet,
    Huber,
    Logistic,
    Multinomial,
    Poisson,
    Quadratic,
    Ridge,
    SquaredHinge,
    bcd_solve,
    dual_gap,
)
from tests.coordinate.problems import correlated

TOL = 1e-9


def _labels(z, rng, classes=2):
    noisy = z + 0.5 * rng.standard_normal(z.size)
    codes = np.digitize(noisy, np.quantile(noisy, np.arange(1, classes) / classes))
    return 2.0 * codes - 1.0 if classes == 2 else codes


def _solve(X, y, datafit, alpha, tol=TOL, **options):
    """Solve, and audit what comes back."""
    result = bcd_solve(
        X, y, datafit, Ridge(alpha), fit_intercept=True, tol=tol, **options
    )
    gap = dual_gap(
        *(X, y, result.coef, datafit, Ridge(alpha)),
        intercept=result.intercept,
        sample_weight=options.get("sample_weight"),
    )
    assert result.converged
    # Rounding of the objective, relative to that at 0.
    assert gap <= tol + 1e-13
    return result


@pytest.mark.parametrize("datafit", [Logistic(), SquaredHinge(), Huber(0.5), Poisson()])
@pytest.mark.parametrize("shape", [(80, 12), (60, 400)])
def test_ridge_models_reach_the_gap(datafit, shape):
    # 400 columns are more than a factor is made of: conjugate gradients.
    X, y = correlated(*shape, 0.4, 5, 3, 0)
    if isinstance(datafit, Logistic | SquaredHinge):
        y = np.where(y > 0, 1.0, -1.0)
    if isinstance(datafit, Poisson):
        y = np.floor(np.exp(np.clip(0.2 * y, -3, 3)))
    _solve(X + 0.2, y, datafit, 0.05)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("sparse", [False, True])
def test_agrees_with_newton_cholesky(classes, sparse):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((200, 15)) * (rng.random((200, 15)) < 0.6)
    y = _labels(X[:, 0] + X[:, 1], rng, classes)
    weights = rng.integers(1, 4, 200).astype(float)
    alpha = 0.02
    datafit = Logistic() if classes == 2 else Multinomial()
    ours = _solve(
        *(sp.csc_array(X) if sparse else X, y, datafit, alpha, 1e-13),
        sample_weight=weights,
    )
    peer = LogisticRegression(
        C=1 / (alpha * weights.sum()), solver="newton-cholesky", tol=1e-12
    ).fit(X, y, weights)
    # An alpha-strongly convex objective within 1e-13 F(0) of its minimum, twice.
    reach = 2 * np.sqrt(2 * 1e-13 * np.log(classes) / alpha)
    assert np.abs(np.atleast_2d(ours.coef) - peer.coef_).max() <= reach


def test_tall_designs_start_on_a_part_of_their_rows():
    rng = np.random.default_rng(2)
    X = rng.standard_normal((9000, 6))
    # Sorted rows: a start, never more than that, whatever the rows of the part are.
    X = X[np.argsort(X[:, 0])]
    y = _labels(X @ rng.standard_normal(6), rng)
    whole = _solve(X, y, Logistic(), 1e-4)
    again = _solve(
        *(X, y, Logistic(), 1e-4),
        coef_init=np.zeros(6),
        intercept_init=0.0,
    )
    assert abs(whole.objective - again.objective) <= TOL * np.log(2)


def test_many_sparse_columns_need_no_matrix_of_their_products():
    rng = np.random.default_rng(3)
    X = sp.random_array((300, 20_000), density=2e-3, random_state=rng, format="csc")
    y = _labels(np.asarray(X[:, :50].sum(axis=1)).ravel(), rng)
    result = _solve(X, y, Logistic(), 1e-3)
    assert result.coef.shape == (20_000,)


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("make", [L1, lambda a: ElasticNet(a, 0.9)])
def test_tall_squares_on_one_gram_matrix(intercept, weighted, make):
    X, y = correlated(400, 30, 0.5, 25, 3, 4)
    X, y = np.asfortranarray(X + 0.5), y + 2.0
    rng = np.random.default_rng(5)
    options = {
        "fit_intercept": intercept,
        "sample_weight": rng.uniform(0.5, 2, 400) if weighted else None,
    }
    top = np.abs(X.T @ y).max() / 400
    before = X.copy()
    result = bcd_solve(X, y, Quadratic(), make(1e-3 * top), tol=1e-12, **options)
    assert result.converged
    # All columns are wanted at once; a pass on a Gram matrix in single precision gains
    # five digits of the gap or more.
    assert result.history["n_working_set"][-1] == 30
    assert result.n_iter <= 3
    gap = dual_gap(
        *(X, y, result.coef, Quadratic(), make(1e-3 * top)),
        intercept=result.intercept,
        sample_weight=options["sample_weight"],
    )
    assert gap <= 2e-12
    assert np.array_equal(X, before)
