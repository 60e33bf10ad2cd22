# SPDX-License-Identifier: BSD-3-Clause
"""Literal block rules: guarantees of each step, published orderings, identification."""

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
    bcd_solve,
    dual_gap,
)
from numopt.exceptions import ConvergenceWarning


def dataset_a(n, p, seed=0):
    """Dataset A of Nutini, Laradji & Schmidt (2022), appendix."""
    random = np.random.RandomState(seed)
    X = random.randn(n, p) + 1
    X *= 10 * random.randn(p)
    X *= random.rand(n, p) < 10 * np.log(n) / n
    w = random.randn(p) * (random.rand(p) < 0.1)
    return X, X @ w + random.randn(n)


@pytest.fixture(scope="module")
def suboptimality():
    """Relative suboptimality after 300 steps on blocks of 5."""
    X, y = dataset_a(200, 1000)
    best = np.linalg.lstsq(X, y, rcond=None)[0]
    low = 0.5 * np.mean((X @ best - y) ** 2)
    high = 0.5 * np.mean(y**2)

    def run(partition, selection, update):
        result = bcd_solve(
            *(X, y, Quadratic(), Null()),
            partition=partition,
            selection=selection,
            update=update,
            block_size=5,
            max_iter=300,
            tol=1e-30,
            random_state=0,
            warn=False,
        )
        history = result.history["objective"]
        assert np.all(np.diff(history) <= 1e-12 * high)
        assert history.size == 301
        return (history[-1] - low) / (high - low)

    return run


def test_order_of_gradient_rules(suboptimality):
    """Figures 4 and 5 of the paper; the values are those of an independent run."""
    value = {
        (partition, selection): suboptimality(partition, selection, "gradient")
        for partition, selection in (
            ("order", "random"),
            ("order", "cyclic"),
            ("sorted", "GS"),
            ("order", "GSL"),
            ("average", "GSL"),
            ("sorted", "GSL"),
            ("variable", "GS"),
            ("variable", "GSL"),
        )
    }
    assert value["order", "GSL"] == pytest.approx(1.6e-3, rel=0.05)
    assert value["average", "GSL"] == pytest.approx(1.6e-4, rel=0.05)
    assert value["sorted", "GSL"] == pytest.approx(1.1e-5, rel=0.05)
    assert value["variable", "GS"] == pytest.approx(3.2e-4, rel=0.05)
    assert value["variable", "GSL"] == pytest.approx(5.6e-6, rel=0.05)
    assert 10 * value["variable", "GSL"] <= value["variable", "GS"]
    assert 10 * value["variable", "GS"] <= value["order", "cyclic"]
    assert 10 * value["sorted", "GS"] <= value["order", "cyclic"] * 1.1
    assert min(value.values()) == value["variable", "GSL"]


def test_order_of_matrix_rules(suboptimality):
    value = {
        (partition, selection): suboptimality(partition, selection, "matrix")
        for partition, selection in (
            ("order", "random"),
            ("order", "cyclic"),
            ("sorted", "GSL"),
            ("sorted", "GSQ"),
            ("variable", "GSL"),
            ("variable", "GSQ"),
        )
    }
    assert value["sorted", "GSL"] == pytest.approx(2.7e-7, rel=0.05)
    assert value["sorted", "GSQ"] == pytest.approx(6e-8, rel=0.1)
    assert value["variable", "GSL"] == pytest.approx(9e-11, rel=0.1)
    assert value["order", "cyclic"] == pytest.approx(5e-4, rel=0.1)
    assert min(value.values()) < 100 * value["sorted", "GSQ"]


@pytest.mark.parametrize("selection", ["GS", "GSL", "GSD", "GSQ"])
@pytest.mark.parametrize("partition", ["order", "sorted", "average", "variable"])
def test_every_step_decreases_by_what_theory_guarantees(partition, selection):
    """Matrix: g' H^-1 g / 2 exactly (squares); gradient: at least |g|^2 / (2 L)."""
    X, y = dataset_a(60, 40, seed=3)
    n = X.shape[0]
    for update in ("matrix", "gradient"):
        w = np.zeros(40)
        for _ in range(5):
            result = bcd_solve(
                *(X, y, Quadratic(), Null()),
                partition=partition,
                selection=selection,
                update=update,
                block_size=4,
                max_iter=1,
                coef_init=w,
                warn=False,
            )
            b = np.flatnonzero(result.coef != w)
            g = X[:, b].T @ (X @ w - y) / n
            H = X[:, b].T @ X[:, b] / n
            if update == "matrix":
                promised = 0.5 * g @ np.linalg.pinv(H) @ g
            else:
                promised = 0.5 * g @ g / np.linalg.eigvalsh(H)[-1]
            got = result.history["decrease"][-1]
            assert got >= promised * (1 - 1e-9)
            w = result.coef


PENALTIES = {
    "null": Null(),
    "ridge": Ridge(0.05),
    "lasso": L1(0.05),
    "positive": L1(0.05, positive=True),
    "enet": ElasticNet(0.05, 0.5),
    "box": Box(-0.2, 0.3),
    "nonneg": NonNegative(0.01),
}


def make(rng, n=50, p=12):
    X = rng.standard_normal((n, p))
    w = rng.standard_normal(p) * (rng.random(p) < 0.6)
    return X, X @ w + 0.3 * rng.standard_normal(n)


def targets(y, datafit):
    if isinstance(datafit, Logistic | SquaredHinge):
        return np.sign(y)
    if isinstance(datafit, Poisson):
        return np.floor(np.abs(y))
    if isinstance(datafit, Multinomial):
        return np.digitize(y, [-1.0, 1.0])
    return y


def reference(X, y, datafit, penalty, steps=5000):
    """Accelerated proximal gradient, an independent oracle."""
    n, p = X.shape
    shape = (3, p) if datafit.multi_output else (p,)
    L = (datafit.lipschitz or 0) * np.linalg.eigvalsh(X.T @ X / n)[-1] + 0.0
    w = np.clip(np.zeros(shape), *penalty.terms(p)[2:])
    v, t = w, 1.0
    for _ in range(steps):
        slope = (X.T @ datafit.gradient(y, X @ v.T)).T / n
        new = penalty.prox(v - slope / L, 1.0 / L)
        if np.max(np.abs(new - v)) < 1e-14:
            break
        ahead = 0.5 * (1 + np.sqrt(1 + 4 * t * t))
        if np.sum((v - new) * (new - w)) > 0:
            ahead, v = 1.0, new
        else:
            v = new + (t - 1) / ahead * (new - w)
        w, t = new, ahead
    return np.sum(datafit.value(y, X @ w.T)) / n + penalty.value(w)


RULES = [
    ("order", "cyclic"),
    ("sorted", "shuffle"),
    ("average", "random"),
    ("order", "lipschitz"),
    ("sorted", "GS"),
    ("average", "GSL"),
    ("order", "GSD"),
    ("order", "GSQ"),
    ("variable", "GS"),
    ("variable", "GSL"),
    ("variable", "GSD"),
    ("variable", "GSQ"),
    ("variable", "random"),
    ("order", "all"),
]
COMPOSITE = ("prox", "prox_newton", "tmp", "line_search")


@pytest.mark.parametrize("penalty", ["null", "lasso", "enet", "box", "nonneg"])
@pytest.mark.parametrize(("partition", "selection"), RULES)
def test_rules_reach_the_optimum(partition, selection, penalty, rng):
    X, y = make(rng)
    g = PENALTIES[penalty]
    smooth = penalty in ("null", "ridge")
    updates = ("gradient", "matrix", "newton", "line_search") if smooth else COMPOSITE
    best = reference(X, y, Quadratic(), g)
    for update in updates:
        result = bcd_solve(
            *(X, y, Quadratic(), g),
            partition=partition,
            selection=selection,
            update=update,
            block_size=3,
            max_iter=2000,
            tol=1e-10,
            random_state=1,
            warn=False,
        )
        history = result.history["objective"]
        assert history[-1] == pytest.approx(best, rel=1e-8), update
        assert np.all(np.diff(history) <= 1e-13 * history[0]), update
        if penalty != "null":
            certificate = dual_gap(X, y, result.coef, Quadratic(), g)
            assert result.dual_gap == pytest.approx(certificate, abs=1e-12)


@pytest.mark.parametrize(
    "datafit", [Logistic(), Huber(0.5), SquaredHinge(), Multinomial(), Poisson()]
)
@pytest.mark.parametrize("name", ["lasso", "ridge"])
def test_other_losses(datafit, name, rng):
    X, y = make(rng)
    X = X / 3
    y = targets(y, datafit)
    penalty = PENALTIES[name]
    updates = ["line_search"]
    if name == "ridge":
        updates.append("newton")
    if datafit.lipschitz is not None:
        updates += ["prox", "tmp", "prox_newton"] if name == "lasso" else ["gradient"]
        updates += ["matrix"] if name == "ridge" else []
    values = []
    for update in updates:
        result = bcd_solve(
            *(X, y, datafit, penalty),
            selection="cyclic",
            update=update,
            block_size=4,
            max_iter=1500,
            tol=1e-7,
            warn=False,
        )
        history = result.history["objective"]
        assert np.all(np.diff(history) <= 1e-12 * abs(history[0]))
        assert result.history["residual"][-1] < 1e-7, update
        values.append(result.objective)
    np.testing.assert_allclose(values, values[0], rtol=1e-6)
    if datafit.lipschitz is not None:
        expected = reference(X, y, datafit, penalty)
        assert values[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("partition", ["order", "variable"])
@pytest.mark.parametrize("datafit", [Quadratic(), Logistic()])
def test_cubic_selection(partition, datafit, rng):
    X, y = make(rng)
    result = bcd_solve(
        *(X, targets(y, datafit), datafit, Ridge(0.1)),
        partition=partition,
        selection="GSC",
        update="newton",
        block_size=3,
        tol=1e-9,
    )
    assert result.converged


@pytest.mark.parametrize("penalty", ["group", "sparse", "weights"])
@pytest.mark.parametrize("update", ["prox", "prox_newton", "line_search"])
@pytest.mark.parametrize("selection", ["cyclic", "GS", "GSL", "GSD"])
def test_group_penalties(selection, update, penalty, rng):
    X, y = make(rng)
    g = {
        "group": GroupL2(0.1, groups=3),
        "sparse": SparseGroup(0.1, 0.4, groups=4),
        "weights": GroupL2(
            0.1,
            groups=[[0, 5, 7], [1, 2], [3, 4, 6, 8, 9, 10, 11]],
            weights=[1, 2, 0.5],
        ),
    }[penalty]
    result = bcd_solve(
        *(X, y, Quadratic(), g),
        partition="groups",
        selection=selection,
        update=update,
        max_iter=2000,
        tol=1e-9,
    )
    assert result.converged
    assert dual_gap(X, y, result.coef, Quadratic(), g) <= 1e-9


@pytest.mark.parametrize("penalty", [MCP(0.1, 3.0), SCAD(0.1, 3.7)])
@pytest.mark.parametrize("selection", ["cyclic", "GSL"])
def test_folded_penalties_reach_stationary_points(penalty, selection, rng):
    X, y = make(rng)
    result = bcd_solve(
        *(X, y, Quadratic(), penalty),
        selection=selection,
        update="prox",
        tol=1e-8,
        max_iter=3000,
    )
    slope = X.T @ (X @ result.coef - y) / X.shape[0]
    assert np.max(penalty.subdiff_distance(result.coef, slope)) < 1e-6
    assert np.isnan(result.dual_gap)


@pytest.mark.parametrize("update", ["tmp", "prox_newton"])
def test_identification_ends_in_a_few_sweeps(update):
    """Figure 7: Newton on the identified support terminates, gradients do not."""
    X, y = dataset_a(200, 1000)
    # The paper's strength 50000 is of the sum of squares.
    data = (X, y, Quadratic(), NonNegative(50_000 / 200))
    options = {"partition": "variable", "selection": "GS", "block_size": 100}
    result = bcd_solve(*data, update=update, max_iter=300, tol=1e-12, **options)
    assert result.dual_gap <= 1e-12
    changed = np.flatnonzero(np.diff(result.history["n_support"]))[-1]
    blocks = 1000 / 100
    assert result.n_iter - changed <= 3 * blocks
    slow = bcd_solve(
        *data, update="prox", max_iter=result.n_iter, tol=1e-12, warn=False, **options
    )
    assert slow.dual_gap > 1e3 * max(result.dual_gap, 1e-13)


def test_intercept_sparse_and_weights_agree(rng):
    X, y = make(rng)
    X[rng.random(X.shape) < 0.5] = 0
    weights = rng.integers(0, 4, size=y.size)
    rule = {"update": "prox", "tol": 1e-11, "max_iter": 20_000}
    one = bcd_solve(
        *(sp.csr_array(X), y + 3, Quadratic(), L1(0.05)),
        sample_weight=weights,
        fit_intercept=True,
        **rule,
    )
    rows = np.repeat(np.arange(y.size), weights)
    two = bcd_solve(
        *(X[rows], y[rows] + 3, Quadratic(), L1(0.05)), fit_intercept=True, **rule
    )
    np.testing.assert_allclose(one.coef, two.coef, atol=1e-7)
    assert one.intercept == pytest.approx(two.intercept, abs=1e-7)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"partition": "trees"}, "`partition` must be one of 'auto', 'order'"),
        ({"selection": "gs"}, "`selection` must be one of"),
        ({"update": "sgd"}, "`update` must be one of 'auto', 'gradient'"),
        ({"update": "matrix"}, "'prox_newton'"),
        ({"update": "message_passing"}, "`update` must be"),
        ({"selection": "GSC", "update": "prox"}, "'GSC' unless update is 'newton'"),
        ({"partition": "groups", "update": "prox"}, "without groups"),
        ({"block_size": 0, "update": "prox"}, "`block_size`"),
    ],
)
def test_forbidden_combinations(options, match):
    with pytest.raises(ValueError, match=match):
        bcd_solve(np.eye(3), np.ones(3), Quadratic(), L1(0.1), **options)


def test_forbidden_for_other_problems():
    X, y = np.eye(4), np.ones(4)
    with pytest.raises(ValueError, match="'groups' for a group penalty"):
        bcd_solve(X, y, Quadratic(), GroupL2(0.1, 2), partition="order")
    with pytest.raises(ValueError, match="for this datafit"):
        bcd_solve(X, y, Poisson(), Ridge(0.1), selection="GSL", update="newton")
    with pytest.raises(ValueError, match="for this datafit"):
        bcd_solve(X, y, Poisson(), Ridge(0.1), update="matrix")
    A, b = dataset_a(30, 20)
    with pytest.warns(ConvergenceWarning, match="bcd_solve did not converge"):
        bcd_solve(A, b, Quadratic(), L1(0.1), selection="cyclic", max_iter=2)
