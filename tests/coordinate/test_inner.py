# SPDX-License-Identifier: BSD-3-Clause
"""The parts of the default solver: inner solvers, factor, column cache, models."""

import itertools

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp

from numopt._array.namespace import numpy_namespace
from numopt.coordinate import Box, Logistic, Quadratic, bcd_solve
from numopt.coordinate._kernels.descent import (
    column_squares,
    find_beyond,
    find_near,
    find_reaching,
    norm_ratios,
)
from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._solvers.columns import GramCache
from numopt.coordinate._solvers.inner import Factor, minimise_columns, minimise_gram
from numopt.coordinate._solvers.newton_model import CurvedGram
from tests.coordinate.problems import correlated


def _both(X, y, l1, ridge, lower, upper, target):
    """Coefficients by the Gram matrix and by columns."""
    m = X.shape[1]
    c, squares = X.T @ y, float(y @ y)
    terms = (np.full(m, l1), np.full(m, lower), np.full(m, upper))
    by_gram, by_columns = np.zeros(m), np.zeros(m)
    G = X.T @ X + ridge * np.eye(m)
    minimise_gram(G, by_gram, -c, c, *terms, squares=squares, target=target)
    r = y.copy()
    minimise_columns(
        np.asfortranarray(X),
        np.arange(m),
        by_columns,
        r,
        -c,
        np.sum(X**2, axis=0),
        c,
        np.full(m, ridge),
        *terms,
        targets=squares,
        target=target,
        max_epochs=20_000,
    )
    np.testing.assert_allclose(r, y - X @ by_columns, atol=1e-9)
    return by_gram, by_columns


@pytest.mark.parametrize("ridge", [0.0, 3.0])
@pytest.mark.parametrize("bounds", [(-np.inf, np.inf), (0.0, np.inf)])
def test_gram_and_columns_agree(ridge, bounds):
    X, y = correlated(50, 30, 0.7, 6, 2, 0)
    one, other = _both(X, y, 5.0, ridge, *bounds, 1e-10)
    np.testing.assert_allclose(one, other, atol=1e-6)
    assert 0 < np.count_nonzero(one) < 30
    slope = X.T @ (y - X @ one) - ridge * one
    used = one != 0
    np.testing.assert_allclose(slope[used], 5.0 * np.sign(one[used]), atol=1e-5)


def test_box_is_lsq_linear():
    X, y = correlated(40, 20, 0.5, 6, 2, 1)
    peer = scipy.optimize.lsq_linear(X, y, (-0.2, 0.3), tol=1e-14)
    result = bcd_solve(X, y, Quadratic(), Box(-0.2, 0.3), tol=1e-12)
    np.testing.assert_allclose(result.coef, peer.x, atol=1e-6)


def test_factor_survives_growth_and_renaming():
    X, y = correlated(60, 12, 0.3, 5, 3, 2)
    G, c = X.T @ X, X.T @ y
    free = np.full(12, np.inf)
    factor = Factor.empty(12, 12)
    w = np.zeros(12)
    minimise_gram(
        G,
        w,
        -c,
        c,
        np.full(12, 20.0),
        -free,
        free,
        squares=float(y @ y),
        target=1e-12,
        factor=factor,
    )
    k = int(factor.size[0])
    assert k > 0

    def check(found, names):
        U = np.triu(found.U[:k, :k])
        order = found.order[:k]
        np.testing.assert_allclose(
            U.T @ U, G[np.ix_(names[order], names[order])], rtol=1e-8
        )

    everything = np.arange(12)
    check(factor, everything)
    check(factor.grown(30, 40), everything)
    turned = everything[::-1].copy()
    check(factor.renamed(turned, 12), turned)
    lost = np.full(12, -1)
    assert factor.renamed(lost, 12).size[0] == 0


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("center", [False, True])
def test_cache_holds_products_of_weighted_centred_columns(sparse, center):
    X, y = correlated(30, 20, 0.5, 5, 2, 0)
    X = np.where(np.abs(X) > 0.5, X, 0.0)
    s = np.random.default_rng(0).random(30)
    data = LinearData.from_arrays(
        sp.csc_array(X) if sparse else X, y, Quadratic(), sample_weight=s
    )
    Z = X - (s @ X / s.sum() if center else 0.0)
    Z = np.sqrt(s)[:, None] * Z
    cache = GramCache(data, center=center)
    first, second = np.array([3, 1, 7]), np.array([0, 9, 4, 11])
    cache.extend(first, np.zeros(3))
    cache.load(second, np.arange(4.0))
    assert cache.gram_size == 3
    assert cache.size == 7
    kept = [0, 1, 2, 3] if sparse else [1, 3]
    cache.promote(None if sparse else np.array([0, 1, 2, 4, 6]))
    names = np.concatenate((first, second[kept]))
    np.testing.assert_array_equal(cache.index, names)
    assert cache.member.sum() == names.size
    np.testing.assert_array_equal(cache.c[3 : cache.size], np.arange(4.0)[kept])
    m = cache.size
    expected = Z[:, names].T @ Z[:, names]
    np.testing.assert_allclose(cache.G[:m, :m], expected, atol=1e-12)
    np.testing.assert_allclose(cache.products(2, m), expected[2:, 2:], atol=1e-12)
    w = np.arange(1.0, m + 1.0)
    np.testing.assert_allclose(cache.predict(w), Z[:, names] @ w, atol=1e-12)


@pytest.mark.parametrize("sparse", [False, True])
def test_curved_gram_is_kept_while_curvatures_are_near(sparse):
    X, _ = correlated(30, 12, 0.5, 5, 2, 0)
    make = sp.csr_array if sparse else np.asfortranarray
    weights = np.random.default_rng(0).random(30) + 0.5

    def expected(index, d):
        return X[:, index].T @ (X[:, index] * d[:, None])

    gram, index = CurvedGram(), np.array([1, 5, 2])
    gram.update(make(X[:, index]), index, weights)
    np.testing.assert_allclose(gram.G, expected(index, weights))
    wider = np.array([5, 8, 1, 2, 0])
    gram.update(make(X[:, wider]), wider, 1.05 * weights)
    np.testing.assert_allclose(gram.G, expected(wider, weights))
    gram.update(make(X[:, wider]), wider, 2.0 * weights)
    np.testing.assert_allclose(gram.G, expected(wider, 2.0 * weights))


def test_many_candidates_are_sorted_out():
    """Wide designs give only a part of their candidates a Gram matrix."""
    X, y = correlated(60, 3000, 0.8, 10, 3, 0)
    from numopt.coordinate import L1, alpha_max

    alpha = 0.05 * alpha_max(X, y, Quadratic(), L1())
    result = bcd_solve(X, y, Quadratic(), L1(alpha), tol=1e-10)
    assert result.converged
    assert result.history["n_working_set"].max() < 500
    labels = np.where(y > 0, 1.0, -1.0)
    alpha = 0.1 * alpha_max(X, labels, Logistic(), L1())
    assert bcd_solve(X, labels, Logistic(), L1(alpha), tol=1e-9).converged


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("spread", [0, 24])
def test_rough_gram_matrix_is_refined(rng, spread, center):
    """Where single precision would over- or underflow, it is not used."""
    scale = 10.0 ** np.linspace(-spread, spread, 12)
    X = np.asfortranarray(rng.standard_normal((200, 12)) * scale)
    data = LinearData.from_arrays(X, rng.standard_normal(200), Quadratic())
    cache = GramCache(data, center=center, rough=True)
    cache.extend_all(X.T @ data.y)
    X = X - X.mean(axis=0) if center else X
    exact, norms = X.T @ X, np.linalg.norm(X, axis=0)

    def worst():
        return np.max(np.abs(cache.G[:12, :12] - exact) / np.outer(norms, norms))

    assert cache.rough == (spread == 0)
    # 200 products of numbers below 1, each with two roundings of 6e-8.
    assert worst() < 200 * 2 * 6e-8
    if cache.rough:
        assert worst() > 1e-10
        cache.refine()
    assert worst() < 1e-13


def test_fused_passes_find_what_their_definitions_say(rng):
    products, limits = rng.standard_normal(200), rng.uniform(0.5, 2.0, 200)
    limits[7] = np.inf
    slack = np.maximum(rng.standard_normal(200), 0.0)
    wanted = rng.random(200) < 0.1
    reach = np.abs(products) + slack
    found = find_reaching.for_namespace(numpy_namespace)(
        products, slack, limits, wanted, 0.9
    )
    expected = (reach >= 0.9 * limits) | wanted
    np.testing.assert_array_equal(found, np.flatnonzero(expected))
    ratios = np.abs(products) / limits
    expected = np.flatnonzero((ratios > 1.0) & ~wanted)
    order = expected[np.argsort(-ratios[expected])]
    run = find_beyond.for_namespace(numpy_namespace)
    for most in (1, 7, expected.size, 200):
        top, count, beyond = run(products, limits, wanted, most)
        np.testing.assert_allclose(top, ratios.max(), rtol=1e-14)
        assert count == expected.size
        np.testing.assert_array_equal(beyond, np.sort(order[:most]))
    _, count, beyond = run(np.full(9, 2.0), np.ones(9), np.zeros(9, bool), 4)
    assert count == 9
    np.testing.assert_array_equal(beyond, np.arange(4))
    w = np.where(wanted, 1.0, 0.0)
    near = find_near.for_namespace(numpy_namespace)(w, products, limits, 0.9)
    expected = wanted | (np.abs(products) >= 0.9 * limits)
    np.testing.assert_array_equal(near, np.flatnonzero(expected))


def test_squares_of_sparse_columns_and_norms_of_groups(rng):
    X = sp.random_array((30, 20), density=0.05, format="csc", rng=rng)
    found = column_squares.for_namespace(numpy_namespace)(X.data, X.indptr)
    np.testing.assert_allclose(found, X.power(2).sum(axis=0), rtol=1e-14)
    assert (found == 0).any()
    products, indices = rng.standard_normal(9), rng.permutation(9)
    indptr, limits = np.array([0, 2, 3, 7, 9]), np.array([1.5, 0.0, 0.3, np.inf])
    ratios = norm_ratios.for_namespace(numpy_namespace)(
        products, indptr, indices, limits
    )
    own = [products[indices[a:b]] for a, b in itertools.pairwise(indptr)]
    expected = [np.linalg.norm(own[0]) / 1.5, 0.0, np.linalg.norm(own[2]) / 0.3, 0.0]
    np.testing.assert_allclose(ratios, expected, rtol=1e-14)
