# SPDX-License-Identifier: BSD-3-Clause
"""The default solver: optimality, invariances, peers and edge cases."""

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.coordinate import (
    L1,
    MCP,
    SCAD,
    Box,
    ElasticNet,
    GroupL2,
    Huber,
    Logistic,
    Multinomial,
    NonNegative,
    Null,
    Poisson,
    Quadratic,
    Ridge,
    SparseGroup,
    SquaredHinge,
    alpha_max,
    dual_gap,
)
from numopt.coordinate._problem.penalties import ElasticNet as ElasticNetPenalty
from numopt.coordinate._solvers import columns
from numopt.coordinate._solvers.working_set import solve_auto
from numopt.exceptions import ConvergenceWarning
from tests.coordinate.problems import correlated

TOL = 1e-10


@pytest.fixture(scope="module")
def data():
    X, y = correlated(60, 100, 0.5, 8, 2, 0)
    return X + 0.3, y + 1.0


def _targets(y, datafit):
    if isinstance(datafit, Logistic | SquaredHinge):
        return np.where(y > np.median(y), 1.0, -1.0)
    if isinstance(datafit, Multinomial):
        return np.digitize(y, np.quantile(y, [0.3, 0.7]))
    if isinstance(datafit, Poisson):
        return np.floor(np.exp(np.clip(0.3 * y, -3, 3)))
    return y


CONVEX = [
    (Quadratic(), L1(0.1)),
    (Quadratic(), L1(0.02, positive=True)),
    (Quadratic(), ElasticNet(0.1, 0.4)),
    (Quadratic(), Ridge(0.1)),
    (Quadratic(), Box(-0.1, 0.2)),
    (Quadratic(), Box(0.01, 0.2)),
    (Quadratic(), NonNegative()),
    (Quadratic(), NonNegative(0.05)),
    (Quadratic(), GroupL2(0.2, 5)),
    (Quadratic(), SparseGroup(0.2, 0.3, 5)),
    (Logistic(), L1(0.03)),
    (Logistic(), ElasticNet(0.05, 0.5)),
    (Logistic(), Ridge(0.1)),
    (Multinomial(), L1(0.03)),
    (Multinomial(), Ridge(0.1)),
    (Huber(0.7), L1(0.05)),
    (Poisson(), L1(0.05)),
    (SquaredHinge(), L1(0.05)),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize(("datafit", "penalty"), CONVEX)
def test_every_pair_reaches_its_gap(data, datafit, penalty, fit_intercept, weighted):
    X, y = data
    y = _targets(y, datafit)
    s = np.random.default_rng(1).integers(0, 4, y.size) if weighted else None
    result = solve_auto(
        X,
        y,
        datafit,
        penalty,
        sample_weight=s,
        fit_intercept=fit_intercept,
        tol=TOL,
        max_iter=100,
    )
    assert result.converged
    assert result.dual_gap <= TOL
    objective = result.history["objective"]
    assert np.all(np.diff(objective) <= 1e-12 * abs(objective[0]))
    audit = dual_gap(
        X,
        y,
        result.coef,
        datafit,
        penalty,
        intercept=result.intercept,
        sample_weight=s,
    )
    assert -1e-12 <= audit <= 10 * TOL


@pytest.mark.parametrize(("datafit", "penalty"), CONVEX)
def test_sparse_is_dense_and_weights_are_repeated_rows(data, datafit, penalty):
    X, y = data
    X = np.where(np.abs(X) > 0.8, X, 0.0)
    y = _targets(y, datafit)
    s = np.random.default_rng(1).integers(0, 3, y.size)
    options = {"fit_intercept": True, "tol": 1e-12, "max_iter": 100}
    one = solve_auto(X, y, datafit, penalty, sample_weight=s, **options)
    scaled = solve_auto(X, y, datafit, penalty, sample_weight=7.0 * s, **options)
    repeated = solve_auto(
        np.repeat(X, s, axis=0), np.repeat(y, s), datafit, penalty, **options
    )
    sparse = solve_auto(
        sp.csr_matrix(X), y, datafit, penalty, sample_weight=s, **options
    )
    for other in (scaled, repeated, sparse):
        assert other.objective == pytest.approx(one.objective, rel=1e-10)
        np.testing.assert_allclose(other.coef, one.coef, atol=2e-5)


@pytest.mark.parametrize("alpha", [0.5, 0.1, 0.01])
def test_kkt_and_scikit_learn(data, alpha):
    from sklearn.linear_model import Lasso

    X, y = data
    result = solve_auto(X, y, Quadratic(), L1(alpha), fit_intercept=True, tol=1e-12)
    residual = y - X @ result.coef - result.intercept
    slope = (X - X.mean(axis=0)).T @ residual / y.size
    assert np.abs(slope).max() <= alpha * (1 + 1e-6)
    used = result.coef != 0
    np.testing.assert_allclose(slope[used], alpha * np.sign(result.coef[used]))
    peer = Lasso(alpha=alpha, tol=1e-12, max_iter=1_000_000).fit(X, y)
    np.testing.assert_allclose(result.coef, peer.coef_, atol=1e-6)
    assert result.intercept == pytest.approx(peer.intercept_, abs=1e-6)


@pytest.mark.parametrize("multi", [False, True])
def test_logistic_is_scikit_learn(data, multi):
    from sklearn.linear_model import LogisticRegression

    X, y = data
    X = X[:, :10]
    datafit = Multinomial() if multi else Logistic()
    y = _targets(y, datafit)
    result = solve_auto(X, y, datafit, Ridge(0.05), fit_intercept=True, tol=1e-13)
    peer = LogisticRegression(
        C=1 / (0.05 * y.size), solver="newton-cholesky", tol=1e-12
    ).fit(X, y)
    np.testing.assert_allclose(
        np.atleast_2d(result.coef), peer.coef_, atol=1e-6 if multi else 1e-8
    )


def test_orthogonal_design_is_soft_thresholding(rng):
    Q, _ = np.linalg.qr(rng.standard_normal((40, 12)))
    X = Q * np.sqrt(40)
    y = rng.standard_normal(40)
    rho = X.T @ y / 40
    result = solve_auto(X, y, Quadratic(), L1(0.1), tol=1e-14)
    expected = np.sign(rho) * np.maximum(np.abs(rho) - 0.1, 0)
    np.testing.assert_allclose(result.coef, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("datafit", "make"),
    [
        (Quadratic(), L1),
        (Quadratic(), lambda a: GroupL2(a, 10)),
        (Quadratic(), lambda a: SparseGroup(a, 0.4, 10)),
        (Quadratic(), lambda a: ElasticNet(a, 0.3)),
        (Logistic(), L1),
        (Multinomial(), L1),
        (Poisson(), L1),
        (Huber(0.5), L1),
    ],
)
def test_alpha_max_is_exact(data, datafit, make):
    X, y = data
    y = _targets(y, datafit)
    top = alpha_max(X, y, datafit, make(1.0), fit_intercept=True)
    options = {"fit_intercept": True, "tol": 1e-9}
    at = solve_auto(X, y, datafit, make(top * (1 + 1e-9)), **options)
    assert at.n_iter == 0
    assert not at.coef.any()
    assert at.converged
    below = solve_auto(X, y, datafit, make(0.999 * top), **options)
    assert below.coef.any()


def test_gap_bounds_the_distance_to_the_optimum(data):
    X, y = data
    best = solve_auto(X, y, Quadratic(), L1(0.05), tol=1e-14)
    rng = np.random.default_rng(0)
    start = 0.5 * float(y @ y) / y.size
    for size in (1e-6, 1e-3, 1e-1):
        coef = best.coef + size * rng.standard_normal(best.coef.size)
        value = 0.5 * np.mean((y - X @ coef) ** 2) + 0.05 * np.abs(coef).sum()
        gap = dual_gap(X, y, coef, Quadratic(), L1(0.05))
        assert gap * start >= value - best.objective - 1e-14


def test_zero_and_infinite_weights(data):
    X, y = data
    weights = np.ones(X.shape[1])
    weights[0], weights[1:3] = 0.0, np.inf
    result = solve_auto(
        X, y, Quadratic(), L1(0.1, weights), fit_intercept=True, tol=1e-12
    )
    assert result.converged
    residual = y - X @ result.coef - result.intercept
    assert abs((X[:, 0] - X[:, 0].mean()) @ residual) <= 1e-10 * np.linalg.norm(y)
    assert not result.coef[1:3].any()


def test_degenerate_columns(data):
    X, y = data
    X = np.column_stack([X, np.zeros(y.size), np.ones(y.size), X[:, 0], X[:, 1]])
    for fit_intercept in (False, True):
        result = solve_auto(
            X, y, Quadratic(), L1(0.02), fit_intercept=fit_intercept, tol=1e-10
        )
        assert result.converged
        assert result.coef[100] == 0
        assert np.isfinite(result.coef).all()
    one = solve_auto([[2.0]], [3.0], Quadratic(), L1(1.0), tol=1e-12)
    np.testing.assert_allclose(one.coef, [(6.0 - 1.0) / 4.0])


def test_constant_targets_need_no_iteration(data):
    X, y = data
    result = solve_auto(X, 0 * y + 3, Quadratic(), L1(0.1), fit_intercept=True)
    assert result.n_iter == 0
    assert result.converged
    assert result.intercept == pytest.approx(3.0)


@pytest.mark.parametrize("penalty", [L1(0.05), Null()])
def test_least_squares_and_saturated_support(penalty):
    X, y = correlated(40, 30 if isinstance(penalty, Null) else 400, 0.9, 10, 3, 1)
    if isinstance(penalty, Null):
        result = solve_auto(X, y, Quadratic(), penalty, tol=1e-10)
        expected = np.linalg.lstsq(X, y, rcond=None)[0]
        np.testing.assert_allclose(result.coef, expected, atol=1e-8)
        return
    top = alpha_max(X, y, Quadratic(), L1())
    result = solve_auto(X, y, Quadratic(), L1(1e-3 * top), tol=1e-9)
    assert result.converged
    assert result.support.size >= 35


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("kind", ["plain", "scales", "near copies"])
def test_tall_designs_are_certified_beyond_single_precision(kind, fit_intercept):
    """Nearly all columns of a tall design are wanted: the first Gram matrix is in
    single precision, which neither the scale of columns nor copies may spoil.
    """
    X, y = correlated(400, 40, 0.5, 30, 3, 0)
    scale = np.ones(40)
    if kind == "scales":
        scale = 10.0 ** np.linspace(-25, 25, 40)
    if kind == "near copies":
        X[:, 1::2] = X[:, ::2] + 1e-4 * X[:, 1::2]
    norms = np.linalg.norm(X, axis=0) * scale / 20
    model = Quadratic(), L1(1e-3, weights=norms)
    X = np.asfortranarray(X * scale)
    result = solve_auto(X, y, *model, fit_intercept=fit_intercept, tol=1e-9)
    gap = dual_gap(X, y, result.coef, *model, intercept=result.intercept)
    assert result.converged
    assert gap <= 2e-9


def test_float32_stays_close(data):
    X, y = data
    wide = solve_auto(X, y, Quadratic(), L1(0.1), fit_intercept=True, tol=1e-10)
    narrow = solve_auto(
        X.astype(np.float32), y, Quadratic(), L1(0.1), fit_intercept=True, tol=1e-10
    )
    np.testing.assert_allclose(narrow.coef, wide.coef, atol=1e-4)


def test_permutation_and_warm_start(data):
    X, y = data
    order = np.random.default_rng(0).permutation(X.shape[1])
    one = solve_auto(X, y, Quadratic(), L1(0.1), tol=1e-13)
    other = solve_auto(X[:, order], y, Quadratic(), L1(0.1), tol=1e-13)
    np.testing.assert_allclose(other.coef, one.coef[order], atol=1e-10)
    again = solve_auto(X, y, Quadratic(), L1(0.1), coef_init=one.coef, tol=1e-10)
    assert again.n_iter == 0


def test_inputs_are_left_alone(data):
    X, y = data
    X, y = X.copy(), y.copy()
    X.flags.writeable = y.flags.writeable = False
    first = solve_auto(X, y, Quadratic(), L1(0.1), fit_intercept=True, tol=1e-10)
    for other in (np.ascontiguousarray(X), X[::1, ::-1][:, ::-1], X.tolist()):
        result = solve_auto(other, y, Quadratic(), L1(0.1), fit_intercept=True)
        np.testing.assert_allclose(result.coef, first.coef, atol=1e-5)


@pytest.mark.parametrize("penalty", [MCP(0.2, 3.0), SCAD(0.2, 3.7)])
def test_folded_penalties_satisfy_first_order_conditions(data, penalty):
    X, y = data
    result = solve_auto(X, y, Quadratic(), penalty, tol=1e-9, max_iter=200)
    assert result.converged
    assert np.all(np.diff(result.history["objective"]) <= 1e-12)
    grad = -X.T @ (y - X @ result.coef) / y.size
    assert penalty.subdiff_distance(result.coef, grad).max() <= 1e-7


def test_separable_logistic_does_not_overflow():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 5))
    y = np.sign(X[:, 0])
    result = solve_auto(1e3 * X, y, Logistic(), L1(1e-6), tol=1e-6)
    assert np.isfinite(result.coef).all()
    assert result.converged


def test_not_converged_warns(data):
    X, y = data
    with pytest.warns(ConvergenceWarning, match="increase `max_iter` or `tol`"):
        result = solve_auto(X, y, Quadratic(), L1(0.001), tol=1e-12, max_iter=1)
    assert not result.converged
    assert result.status == "max_iter"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"X": np.full((3, 2), np.nan)}, "`X` must be finite"),
        ({"y": [1.0, 2.0]}, "`y` must be of shape"),
        ({"sample_weight": [0.0, 0.0, 0.0]}, "`sample_weight` must be positive"),
        ({"sample_weight": [-1.0, 1.0, 1.0]}, "`sample_weight` must be finite and"),
        ({"tol": 0.0}, "`tol` must be"),
        ({"coef_init": [1.0]}, "`coef_init` must be of shape"),
    ],
)
def test_bad_input(change, match):
    arguments = {"X": np.eye(3), "y": [1.0, 2.0, 3.0]} | change
    X, y = arguments.pop("X"), arguments.pop("y")
    with pytest.raises(ValueError, match=match):
        solve_auto(X, y, Quadratic(), L1(0.1), **arguments)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("penalty", [L1(0.02), GroupL2(0.02, np.arange(100) // 4)])
def test_room_grows_with_the_support(data, penalty, sparse, monkeypatch):
    X, y = data
    X = sp.csc_array(X) if sparse else X
    ample = solve_auto(X, y, Quadratic(), penalty, tol=TOL)
    assert np.count_nonzero(ample.coef) > 30
    monkeypatch.setattr(columns, "FIRST_ROOM", 4)
    grown = solve_auto(X, y, Quadratic(), penalty, tol=TOL)
    assert grown.dual_gap <= TOL
    atol = 1e-6 * np.abs(ample.coef).max()
    np.testing.assert_allclose(grown.coef, ample.coef, rtol=0, atol=atol)


def test_bad_penalties():
    for make in (
        lambda: L1(-1.0),
        lambda: ElasticNetPenalty(1.0, 1.5),
        lambda: Box(1.0, 0.0),
        lambda: L1(1.0, [-1.0]),
        lambda: MCP(1.0, 1.0),
        lambda: GroupL2(1.0, 3).group_terms(4),
        lambda: GroupL2(1.0, [[0, 1], [1, 2]]).group_terms(3),
        lambda: Huber(0.0),
    ):
        with pytest.raises(ValueError, match="must be"):
            make()
