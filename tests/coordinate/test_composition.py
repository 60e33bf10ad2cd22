# SPDX-License-Identifier: BSD-3-Clause
"""Any datafit with any penalty: groups, folded and user-defined ones."""

import dataclasses

import numpy as np
import pytest
import scipy.sparse as sp

from numopt._numerics.prox import soft_threshold
from numopt.coordinate import (
    L1,
    MCP,
    SCAD,
    Datafit,
    GroupL2,
    Huber,
    Logistic,
    Multinomial,
    Penalty,
    Poisson,
    Quadratic,
    SparseGroup,
    SquaredHinge,
    alpha_max,
    bcd_solve,
    dual_gap,
)
from numopt.coordinate._solvers.proximal_gradient import (
    ProximalGradient,
    ProximalProblem,
)
from tests.coordinate.problems import correlated

TOL = 1e-9


@pytest.fixture(scope="module")
def data():
    X, y = correlated(60, 40, 0.5, 8, 2, 3)
    return X + 0.2, y + 0.5


def _targets(y, datafit):
    if isinstance(datafit, Logistic | SquaredHinge):
        return np.where(y > np.median(y), 1.0, -1.0)
    if isinstance(datafit, Multinomial):
        return np.digitize(y, np.quantile(y, [0.3, 0.7]))
    if isinstance(datafit, Poisson):
        return np.floor(np.exp(np.clip(0.3 * y, -3, 3)))
    return y


LOSSES = [Logistic(), Huber(0.7), Poisson(), SquaredHinge()]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", [GroupL2(1.0, 5), SparseGroup(1.0, 0.3, 4)])
@pytest.mark.parametrize("datafit", LOSSES)
def test_groups_with_any_loss(data, datafit, kind, weighted):
    X, y = data
    y = _targets(y, datafit)
    s = np.random.default_rng(1).integers(0, 4, y.size) if weighted else None
    top = alpha_max(X, y, datafit, kind, sample_weight=s, fit_intercept=True)
    penalty = dataclasses.replace(kind, alpha=0.3 * top)
    options = {"sample_weight": s, "fit_intercept": True, "tol": TOL}
    result = bcd_solve(X, y, datafit, penalty, **options)
    assert result.converged
    assert 0 < result.support.size < 40
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
    sparse = bcd_solve(sp.csr_array(X), y, datafit, penalty, **options)
    assert sparse.objective == pytest.approx(result.objective, rel=1e-8)


@pytest.mark.parametrize("penalty", [GroupL2(0.1, 4), SparseGroup(0.1, 0.4, 4)])
@pytest.mark.parametrize("wide", [False, True])
def test_groups_on_columns_and_on_their_gram_agree(penalty, wide):
    """More columns than rows are solved on columns, sparse ones on a Gram matrix."""
    shape = (40, 200) if wide else (120, 24)
    X, y = correlated(*shape, 0.6, 6, 3, 0)
    s = np.random.default_rng(0).random(y.size) + 0.1
    options = {"sample_weight": s, "fit_intercept": True, "tol": 1e-12}
    dense = bcd_solve(X, y, Quadratic(), penalty, **options)
    sparse = bcd_solve(sp.csc_array(X), y, Quadratic(), penalty, **options)
    assert dense.converged
    assert sparse.converged
    np.testing.assert_allclose(dense.coef, sparse.coef, atol=1e-6)


@pytest.mark.parametrize("penalty", [MCP(0.05, 5.0), SCAD(0.05, 3.7)])
@pytest.mark.parametrize("datafit", [*LOSSES, Multinomial()])
def test_folded_penalties_with_any_loss(data, datafit, penalty):
    X, y = data
    # Few columns: large coefficients cost nothing, so that separable classes diverge.
    X, y = X[:, :8], _targets(y, datafit)
    result = bcd_solve(
        X, y, datafit, penalty, fit_intercept=True, tol=1e-7, max_iter=300
    )
    assert result.converged
    assert np.all(np.diff(result.history["objective"]) <= 1e-9)
    z = X @ result.coef.T + result.intercept
    slope = (X.T @ datafit.gradient(y, z) / y.size).T
    assert penalty.subdiff_distance(result.coef, slope).max() <= 1e-6
    assert np.isnan(result.dual_gap)


@dataclasses.dataclass(frozen=True)
class Cosh(Datafit):
    """A loss without a known conjugate: log cosh of the residual."""

    def value(self, y, z):
        return np.logaddexp(z - y, y - z)

    def gradient(self, y, z):
        return np.tanh(z - y)

    def hessian_diag(self, y, z):
        return 1.0 - np.tanh(z - y) ** 2


@dataclasses.dataclass(frozen=True, eq=False)
class Plain(Penalty):
    """The L1 norm by its three methods only."""

    alpha: float

    def value(self, w):
        return self.alpha * float(np.abs(w).sum())

    def prox(self, w, step, index=None):
        return soft_threshold(w, step * self.alpha)

    def subdiff_distance(self, w, grad, index=None):
        return L1(self.alpha).subdiff_distance(w, grad)


@pytest.mark.parametrize("penalty", [L1(0.05), Plain(0.05), GroupL2(0.1, 5)])
def test_user_defined_loss(data, penalty):
    X, y = data
    y = y / np.std(y)
    result = bcd_solve(X, y, Cosh(), penalty, fit_intercept=True, tol=1e-8)
    assert result.converged
    assert 0 < result.support.size < 40
    slope = np.tanh(X @ result.coef + result.intercept - y)
    assert abs(slope.mean()) <= 1e-7
    grad = X.T @ slope / y.size
    assert penalty.subdiff_distance(result.coef, grad).max() <= 1e-7
    weights = np.ones(y.size)
    weights[:5] = 0.0
    options = {"fit_intercept": True, "tol": 1e-10}
    one = bcd_solve(X, y, Cosh(), penalty, sample_weight=weights, **options)
    other = bcd_solve(X[5:], y[5:], Cosh(), penalty, **options)
    np.testing.assert_allclose(one.coef, other.coef, atol=1e-7)


@pytest.mark.parametrize("datafit", [Quadratic(), Logistic(), Multinomial()])
def test_user_defined_penalty(data, datafit):
    X, y = data
    y = _targets(y, datafit)
    known = bcd_solve(X, y, datafit, L1(0.1), fit_intercept=True, tol=1e-12)
    own = bcd_solve(X, y, datafit, Plain(0.1), fit_intercept=True, tol=1e-9)
    assert own.converged
    assert own.objective == pytest.approx(known.objective, rel=1e-9)
    np.testing.assert_allclose(own.coef, known.coef, atol=1e-6)
    again = bcd_solve(
        X,
        y,
        datafit,
        Plain(0.1),
        fit_intercept=True,
        coef_init=own.coef,
        intercept_init=own.intercept,
        tol=1e-8,
    )
    assert again.n_iter == 0


def test_proximal_gradient_can_be_stepped(data):
    X, y = data
    from numopt.coordinate._problem.data import LinearData
    from numopt.coordinate._problem.null import NullModel

    linear = LinearData.from_arrays(X, y, Quadratic())
    null = NullModel.fit(linear, Quadratic(), False)
    problem = ProximalProblem(
        data=linear,
        datafit=Quadratic(),
        penalty=Plain(0.1),
        null=null,
        fit_intercept=False,
    )
    solver = ProximalGradient()
    state = solver.init(problem, None)
    before = solver.measure(problem, state)["objective"]
    state = solver.step(problem, state)
    assert solver.measure(problem, state)["objective"] < before
