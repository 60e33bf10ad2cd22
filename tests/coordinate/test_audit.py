# SPDX-License-Identifier: BSD-3-Clause
"""The audit of anybody's coefficients against objectives in extended precision."""

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.coordinate import (
    L1,
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

LONG = np.longdouble
SIZES = [(1, 1), (2, 5), (12, 4), (12, 30)]


def mean_loss(name, y, z, weights):
    """Weighted mean of the losses of samples, by their textbook formulas."""
    y, z = np.asarray(y), np.asarray(z, LONG)
    if name == "Multinomial":
        top = z.max(axis=1)
        every = top + np.log(np.exp(z - top[:, None]).sum(axis=1))
        losses = every - z[np.arange(y.size), y]
    elif name == "Logistic":
        t = -np.where(y > 0, 1, -1) * z
        losses = np.maximum(t, 0) + np.log1p(np.exp(-np.abs(t)))
    elif name == "SquaredHinge":
        losses = np.maximum(0, 1 - np.where(y > 0, 1, -1) * z) ** 2 / 2
    elif name == "Poisson":
        losses = np.exp(z) - y * z
    else:
        size = np.abs(y - z)
        losses = size**2 / 2
        if name == "Huber":
            losses = np.where(size <= 0.7, losses, 0.7 * size - LONG(0.7) ** 2 / 2)
    return (weights * losses).sum() / weights.sum()


def penalised(kind, w, a):
    """The penalties of the table below, by their definitions."""
    w = np.asarray(w, LONG)
    rows, p = np.atleast_2d(w), w.shape[-1]
    norms = [np.sqrt((rows[:, k : k + 2] ** 2).sum()) for k in range(0, p, 2)]
    size, squares = np.abs(w).sum(), (w**2).sum()
    return {
        "L1": a * size,
        "weighted": a * (np.abs(w) * (np.arange(p) % 3)).sum(),
        "positive": a * size if w.min() >= 0 else np.inf,
        "elastic": a * (LONG(0.3) * size + LONG(0.35) * squares),
        "ridge": a * squares / 2,
        "group": a * sum(norms),
        "sparse": a * (size / 2 + sum(norms) / 2),
        "box": 0.0 if np.abs(w).max() <= 1 else np.inf,
        "bounded": a * size if w.min() >= 0 else np.inf,
        "null": 0.0,
    }[kind]


def penalty_of(kind, p, a):
    groups = np.arange(p) // 2
    return {
        "L1": L1(a),
        "weighted": L1(a, np.arange(p) % 3),
        "positive": L1(a, positive=True),
        "elastic": ElasticNet(a, 0.3),
        "ridge": Ridge(a),
        "group": GroupL2(a, groups),
        "sparse": SparseGroup(a, 0.5, groups),
        "box": Box(-1.0, 1.0),
        "bounded": NonNegative(a),
        "null": Null(),
    }[kind]


KINDS = [
    *("L1", "weighted", "positive", "elastic", "ridge"),
    *("group", "sparse", "box", "bounded", "null"),
]
LOSSES = [
    *(Quadratic(), Huber(0.7), Logistic()),
    *(SquaredHinge(), Poisson(), Multinomial()),
]


def sample(rng, datafit, n, p):
    """A design with an empty and two equal columns, and targets."""
    X = rng.standard_normal((n, p)) * (rng.random((n, p)) < 0.7)
    if p > 3:
        X[:, 1], X[:, 3] = 0.0, X[:, 0]
    name = type(datafit).__name__
    if name == "Multinomial":
        y = np.arange(n) % min(3, n)
    elif name in ("Logistic", "SquaredHinge"):
        y = np.where(np.arange(n) % 2, 1.0, -1.0)
    elif name == "Poisson":
        y = rng.poisson(1.5, n).astype(float)
    else:
        y = 2.0 * rng.standard_normal(n)
    return X, y


def suspects(rng, best, kind):
    """Coefficients that an auditor may be given."""
    p = best.shape[-1]
    yield np.zeros_like(best)
    yield best
    for size in (1e-9, 1e-3, 1.0, 1e3):
        yield best + size * rng.standard_normal(best.shape)
        yield np.where(rng.random(best.shape) < 0.5, best, size)
    yield best * rng.uniform(0, 2, best.shape)
    yield np.eye(1, p)[0] * 1e6 * np.ones_like(best)


def explicit_zeros(X):
    """The design in CSC with its zeros stored."""
    n, p = X.shape
    return sp.csc_array((X.T.ravel(), np.tile(np.arange(n), p), np.arange(p + 1) * n))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("datafit", LOSSES, ids=lambda d: type(d).__name__)
def test_no_gap_is_smaller_than_the_suboptimality(datafit, kind):
    """Weak duality, for random, optimal and absurd coefficients."""
    name = type(datafit).__name__
    for seed, (n, p) in enumerate(SIZES * 3):
        rng = np.random.default_rng([seed, KINDS.index(kind)])
        if n == 1 and name not in ("Quadratic", "Huber", "Poisson"):
            continue
        X, y = sample(rng, datafit, n, p)
        weights = rng.uniform(0, 2, n) * (rng.random(n) < 0.7) if seed % 2 else None
        if weights is not None and not weights.any():
            weights[0] = 1.0
        s = np.ones(n) if weights is None else weights
        penalty, a = penalty_of(kind, p, 0.05), LONG(0.05)
        intercept = bool(seed % 3)
        options = {"sample_weight": weights, "fit_intercept": intercept}
        options |= {"tol": 1e-12, "warn": False}
        found = bcd_solve(X, y, datafit, penalty, **options)

        def objective(w, b, X=X, y=y, s=s, a=a):
            z = np.asarray(X, LONG) @ np.asarray(w, LONG).T + b
            return mean_loss(name, y, z, s) + penalised(kind, w, a)

        reference = objective(found.coef, found.intercept)
        b = found.intercept + 0.1 * intercept
        empty = bcd_solve(X, y, datafit, L1(1e6), **options)
        z = np.zeros((n, *found.coef.shape[:-1]), LONG) + empty.intercept
        unit, start = (mean_loss(name, y, at, s) for at in (z, 0 * z))
        if name == "Poisson":
            positive = y[y > 0]
            least = np.zeros(n)
            least[y > 0] = positive - positive * np.log(positive)
            unit, start = (at - (s * least).sum() / s.sum() for at in (unit, start))
        if unit <= 1e-12 * max(start, 1.0):
            # Rounding: the loss at 0 is the unit, or 1 where that is rounding too.
            unit = start if start > 1e-12 else max(start, 1.0)
        for w in suspects(rng, found.coef, kind):
            if name == "Poisson" and np.abs(X @ w.T + b).max() > 50:
                continue
            true = objective(w, b) - reference
            for design in (X, explicit_zeros(X)):
                gap = dual_gap(
                    *(design, y, w, datafit, penalty),
                    intercept=b,
                    sample_weight=weights,
                )
                assert not np.isnan(gap), (seed, w)
                if np.isinf(true):
                    assert np.isinf(gap)
                    continue
                slack = 1e-12 * (1 + abs(objective(w, b)))
                if kind in ("weighted", "null", "box", "bounded"):
                    # Slopes of coefficients without a penalty below 1e-10 count as
                    # rounding: they may hide that times the way to the optimum.
                    slack *= 100 * (1 + np.abs(w - found.coef).sum())
                assert gap * unit >= true - slack, (seed, gap, true, unit)


def test_gaps_of_an_exact_fit_with_an_intercept_are_not_of_rounding():
    """A residual of rounding is orthogonal to nothing: no long dual point follows."""
    rng = np.random.default_rng(3)
    for n in (1, 2, 5):
        X, y = rng.standard_normal((n, 8)), 3.0 + rng.standard_normal(n)
        for weights in (None, np.r_[1.0, np.zeros(n - 1)]):
            keep = slice(None) if weights is None else slice(1)
            w = np.linalg.lstsq(X[keep], y[keep] - 1.0, rcond=None)[0]
            for penalty in (L1(0.05), GroupL2(0.05, 2), ElasticNet(0.05, 0.5)):
                gap = dual_gap(
                    *(X, y, w, Quadratic(), penalty),
                    intercept=1.0,
                    sample_weight=weights,
                )
                found = bcd_solve(
                    *(X, y, Quadratic(), penalty),
                    fit_intercept=True,
                    coef_init=w,
                    intercept_init=1.0,
                    sample_weight=weights,
                    tol=1e-10,
                )
                assert gap > 0
                assert found.converged
                assert found.objective <= penalty.value(w)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_no_auditor_can_judge_is_refused_by_name(bad):
    X, y = np.eye(3), np.array([0.0, 1.0, 1.0])
    w = np.array([0.0, bad, 0.0])
    with pytest.raises(ValueError, match="`coef` must be finite"):
        dual_gap(X, y, w, Quadratic(), L1(0.1))
    with pytest.raises(ValueError, match="`intercept` must be finite"):
        dual_gap(X, y, np.zeros(3), Quadratic(), L1(0.1), intercept=bad)
    with pytest.raises(ValueError, match="`coef` must be finite"):
        dual_gap(X, y, np.vstack([w, w]), Multinomial(), L1(0.1))


@pytest.mark.parametrize("shape", [(2,), (4,), (1, 3), (3, 1), (), (0,), (2, 3)])
def test_coefficients_of_another_shape_are_refused(shape):
    X, y = np.eye(3), np.array([0.0, 1.0, 1.0])
    with pytest.raises(ValueError, match=r"`coef` must be of shape \(3,\)"):
        dual_gap(X, y, np.zeros(shape), Quadratic(), L1(0.1))
    if shape != (2, 3):
        with pytest.raises(ValueError, match=r"`coef` must be of shape \(2, 3\)"):
            dual_gap(X, y, np.zeros(shape), Multinomial(), L1(0.1))
    if len(shape):
        with pytest.raises(ValueError, match="`intercept` must be of shape"):
            dual_gap(X, y, np.zeros(3), Quadratic(), L1(0.1), intercept=np.ones(shape))
