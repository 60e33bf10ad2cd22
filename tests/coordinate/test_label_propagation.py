# SPDX-License-Identifier: BSD-3-Clause
"""Harmonic labels and values: published optimum, methods agree, edge cases."""

import itertools
import warnings

import numpy as np
import pytest
import scipy.sparse as sp

from numopt._array.sparse import as_csr
from numopt.coordinate import label_propagation
from numopt.coordinate._solvers import graph_systems
from numopt.exceptions import ConvergenceWarning
from tests.coordinate.test_forest import grid

#: Optimal value on the authors' lattice (their repository, exp_configs.py, dataset D).
DATASET_D = -1045999575.2270696


def dataset_d():
    random = np.random.RandomState(1)
    labelled = random.choice(2500, 100, replace=False)
    y = np.full(2500, np.nan)
    y[labelled] = random.randn(100) * 10
    return grid(50, 50, lambda size: np.full(size, 1e5)), y


def harmonic(W, y, ridge=0.0):
    """Dense oracle for float values."""
    W = W.toarray() if sp.issparse(W) else W
    u = np.isnan(y)
    A = np.diag(W.sum(axis=1) + ridge) - W
    x = y.copy()
    x[u] = np.linalg.solve(A[np.ix_(u, u)], W[np.ix_(u, ~u)] @ y[~u])
    return x


@pytest.mark.parametrize("method", ["auto", "direct", "cg"])
def test_published_optimum(method):
    W, y = dataset_d()
    result = label_propagation(W, y, method=method, tol=1e-10)
    assert result.history["objective"][-1] == pytest.approx(DATASET_D, rel=1e-14)
    assert result.converged


@pytest.mark.parametrize(("partition", "sweeps"), [("trees", 320), ("red_black", 900)])
def test_published_optimum_by_block_descent(partition, sweeps):
    W, y = dataset_d()
    result = label_propagation(
        W, y, method="bcd", partition=partition, max_iter=sweeps, tol=1e-6, warn=False
    )
    objective = result.history["objective"]
    assert objective[-1] == pytest.approx(DATASET_D, rel=1e-9)
    assert np.all(np.diff(objective) <= 1e-12 * abs(DATASET_D))


@pytest.mark.parametrize("selection", ["shuffle", "random", "lipschitz", "GS", "GSQ"])
@pytest.mark.parametrize("partition", ["trees", "sorted", "average"])
def test_block_rules_reach_the_solution(partition, selection):
    W = grid(6, 7)
    y = np.full(42, np.nan)
    y[[0, 17, 41]] = [1.0, -2.0, 3.0]
    result = label_propagation(
        W,
        y,
        method="bcd",
        partition=partition,
        selection=selection,
        tol=1e-10,
        max_iter=2000,
        random_state=0,
    )
    np.testing.assert_allclose(result.scores, harmonic(W, y), atol=1e-8)


@pytest.mark.parametrize("selection", ["GS", "GSL", "GSD"])
def test_variable_forests_reach_the_solution(selection):
    W = grid(6, 7)
    y = np.full(42, np.nan)
    y[[0, 17, 41]] = [1.0, -2.0, 3.0]
    result = label_propagation(
        W, y, method="bcd", partition="variable", selection=selection, tol=1e-10
    )
    np.testing.assert_allclose(result.scores, harmonic(W, y), atol=1e-8)


def neighbour_graph(n, rng, k=4):
    points = rng.random((n, 2))
    distances = ((points[:, None] - points) ** 2).sum(axis=2)
    near = np.argsort(distances, axis=1)[:, 1 : k + 1]
    W = sp.coo_array((np.ones(n * k), (np.repeat(np.arange(n), k), near.ravel())))
    return (W + W.T).tocsr()


@pytest.mark.parametrize("method", ["auto", "direct", "cg"])
@pytest.mark.parametrize("classes", [1, 2, 3, 6])
def test_methods_agree_with_the_dense_solve(method, classes, rng):
    n = 500
    W = neighbour_graph(n, rng)
    y = np.full(n, -1)
    y[:60] = rng.integers(classes, size=60)
    y[:classes] = np.arange(classes)
    result = label_propagation(W, y, method=method, tol=1e-10, warn=False)
    reached = result.labels >= 0
    for k in range(classes):
        values = np.where(y >= 0, (y == k).astype(float), np.nan)
        values = harmonic(W[reached][:, reached], values[reached])
        np.testing.assert_allclose(result.scores[reached, k], values, atol=1e-7)
    np.testing.assert_allclose(result.scores[reached].sum(axis=1), 1.0)
    assert np.all(result.scores > -1e-8)


def test_road_like_graphs_are_eliminated(rng):
    """Long chains between few crossings: little is left after degrees 1 and 2."""
    crossings, length = 40, 50
    edges, count = [], crossings
    ends = [(k, (k + 1) % crossings) for k in range(crossings)]
    ends += [tuple(rng.choice(crossings, 2, replace=False)) for _ in range(50)]
    for a, b in ends:
        chain = [a, *range(count, count + length), b]
        count += length
        edges += itertools.pairwise(chain)
    i, j = np.asarray(edges).T
    W = sp.coo_array((rng.lognormal(size=i.size), (i, j)), shape=(count, count))
    W = (W + W.T).tocsr()
    y = np.full(count, np.nan)
    y[rng.choice(count, 30, replace=False)] = rng.standard_normal(30)
    result = label_propagation(W, y, tol=1e-12)
    assert result.n_iter <= 2
    np.testing.assert_allclose(result.scores, harmonic(W, y), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("make", ["cycle", "star", "path"])
def test_forests_and_cycles_leave_no_core(make):
    n = 5000
    ends = {"cycle": (np.arange(n) + 1) % n, "path": np.arange(1, n + 1)}
    i = np.arange(n) if make != "star" else np.zeros(n, int)
    j = ends.get(make, np.arange(1, n + 1))
    size = max(i.max(), j.max()) + 1
    W = sp.coo_array((np.ones(n), (i, j)), shape=(size, size))
    W = (W + W.T).tocsr()
    y = np.full(size, np.nan)
    y[1], y[2500] = 0.0, 1.0
    result = label_propagation(W, y, tol=1e-12)
    assert result.converged
    assert result.n_iter == 1


def test_unreachable_nodes():
    W = sp.block_diag([grid(2, 3), grid(2, 2), sp.csr_array((1, 1))])
    y = np.array([0, -1, -1, -1, 1, -1, -1, -1, -1, -1, -1])
    with pytest.warns(UserWarning, match="no label reaches 5 nodes"):
        result = label_propagation(W, y)
    assert np.all(result.labels[6:] == -1)
    assert np.all(result.labels[:6] >= 0)
    assert np.all(np.isfinite(result.scores))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ridged = label_propagation(W, y, ridge=0.1)
    np.testing.assert_array_equal(ridged.scores[6:], 0.0)


def test_ridge_is_the_diagonal(rng):
    W = grid(5, 5)
    y = np.full(25, np.nan)
    y[3], y[20] = 2.0, -1.0
    result = label_propagation(W, y, ridge=0.3, tol=1e-12)
    A = np.diag(np.asarray(W.sum(axis=1)) + 0.3) - W.toarray()
    u = np.isnan(y)
    expected = np.linalg.solve(A[np.ix_(u, u)], W.toarray()[np.ix_(u, ~u)] @ y[~u])
    np.testing.assert_allclose(result.scores[u], expected, rtol=1e-9)


def test_self_loops_and_classes_of_any_number():
    W = grid(1, 3).tolil()
    W[1, 1] = 50.0
    result = label_propagation(W.tocsr(), [7, -1, 3])
    np.testing.assert_allclose(result.scores[1], 0.5)
    np.testing.assert_array_equal(result.labels[[0, 2]], [7, 3])
    assert label_propagation(W.tocsr(), [5, 5, 5]).n_iter == 0


#: Two nodes that hold each other so tightly that float64 does not see the label.
WEAK = [[0.0, 1e-20, 0.0], [1e-20, 0.0, 1.0], [0.0, 1.0, 0.0]]


@pytest.mark.parametrize(
    ("W", "y", "options", "match"),
    [
        ([[0.0, 1.0], [0.5, 0.0]], [0, -1], {}, "`W` must be symmetric"),
        ([[0.0, -1.0], [-1.0, 0.0]], [0, -1], {}, "`W` must be finite and non-neg"),
        ([[0.0, np.nan], [np.nan, 0.0]], [0, -1], {}, "`W` must be finite"),
        ([[0.0, 1.0]], [0], {}, "square"),
        ([[0.0, 1.0], [1.0, 0.0]], [-1, -1], {}, "labelled at one node"),
        ([[0.0, 1.0], [1.0, 0.0]], [np.nan, np.nan], {}, "labelled at one node"),
        ([[0.0, 1.0], [1.0, 0.0]], [0.0, np.inf], {}, "`y` must be finite"),
        ([[0.0, 1.0], [1.0, 0.0]], [0, -1, 1], {}, "`y` must be of shape"),
        ([[0.0, 1.0], [1.0, 0.0]], [0, -2], {}, "-1 for no label, got -2"),
        ([[0.0, 1.0], [1.0, 0.0]], ["a", "b"], {}, "integer classes or float"),
        ([[0.0, 1.0], [1.0, 0.0]], [0, -1], {"ridge": -1.0}, "`ridge`"),
        ([[0.0, 1.0], [1.0, 0.0]], [0, -1], {"tol": 0.0}, "`tol`"),
        ([[0.0, 1.0], [1.0, 0.0]], [0, -1], {"method": "magic"}, "'auto', 'direct'"),
        ([[0.0, 1.0], [1.0, 0.0]], [0, -1], {"partition": "x"}, "'trees'"),
        ([[0.0, 1.0], [1.0, 0.0]], [0, -1], {"partition": "variable"}, "variable"),
        (WEAK, [0, -1, -1], {}, "vanish beside"),
        (WEAK, [0, -1, -1], {"method": "direct"}, "vanish beside"),
    ],
)
def test_bad_input(W, y, options, match):
    with pytest.raises(ValueError, match=match):
        label_propagation(np.asarray(W), np.asarray(y), **options)


def test_not_converged_warns_and_inputs_stay(rng):
    W, y = dataset_d()
    before = W.copy()
    for array in (W.data, W.indices, W.indptr, y):
        array.flags.writeable = False
    with pytest.warns(ConvergenceWarning, match="increase `max_iter`"):
        result = label_propagation(W, y, method="bcd", max_iter=2)
    assert result.n_iter == 2
    assert (before != W).nnz == 0
    seen = []
    label_propagation(W, y, callback=lambda info: seen.append(info.residual))
    assert seen[-1] <= 1e-8


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("limit", [0, 3, 8, 1000])
def test_elimination_by_minimum_degree_is_exact(limit, columns, rng):
    from numopt._array.sparse import as_csr
    from numopt.coordinate._kernels.graph import eliminate_nodes, restore_nodes

    n = 120
    W = sp.random_array((n, n), density=0.05, random_state=rng).tocsr()
    W = -(W + W.T)
    W.setdiag(0)
    W.eliminate_zeros()
    W.sort_indices()
    diagonal = 0.1 - np.asarray(W.sum(axis=1))
    A = W.toarray() + np.diag(diagonal)
    rhs, off = rng.standard_normal((n, columns)), as_csr(W)
    *core, kept, order, first, mates, weights, pivots, sides, bad = eliminate_nodes(
        off.data, off.indices, off.indptr, diagonal, rhs, limit
    )
    values, cols, ptr, core_diagonal, core_rhs = core
    rest = sp.csr_array((values, cols, ptr), shape=(kept.size, kept.size)).toarray()
    np.testing.assert_allclose(rest, rest.T, atol=1e-12)
    if kept.size:
        assert np.min(np.diff(ptr)) > limit
    x = np.linalg.solve(rest + np.diag(core_diagonal), core_rhs)
    x = restore_nodes(order, first, mates, weights, pivots, sides, x, kept)
    assert bad == -1
    np.testing.assert_allclose(x, np.linalg.solve(A, rhs), atol=1e-9)


def test_hubs_stay_in_the_core():
    from numopt._array.sparse import as_csr
    from numopt.coordinate._kernels.graph import eliminate_nodes

    n = 2000
    spokes = np.arange(1, n)
    W = sp.coo_array((np.ones(n - 1), (0 * spokes, spokes)), shape=(n, n)).tocsr()
    off = as_csr(-(W + W.T))
    out = eliminate_nodes(
        off.data, off.indices, off.indptr, np.full(n, float(n)), np.ones((n, 1)), 3
    )
    assert out[5].size == n


@pytest.mark.parametrize("every", [10, 50])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_neighbour_graphs_of_points_are_solved_to_the_tolerance(every, classes):
    from sklearn.datasets import make_moons
    from sklearn.neighbors import kneighbors_graph

    X, y = make_moons(3000, noise=0.1, random_state=0)
    W = kneighbors_graph(X, 5)
    W = sp.csr_array(W.maximum(W.T))
    y = 2 * y + (X[:, 0] > 0.5) + (np.arange(3000) % 7 == 0) if classes > 2 else y
    few = np.where(np.arange(3000) % every == 0, y % classes, -1)
    fast, direct = (label_propagation(W, few, method=m) for m in ("auto", "direct"))
    assert fast.history["residual"][-1] <= 1e-8
    np.testing.assert_allclose(fast.scores, direct.scores, atol=1e-6)


@pytest.mark.parametrize("quick", [200, 5])
@pytest.mark.parametrize("columns", [1, 3])
def test_near_labels_need_no_factor_unless_that_is_slow(columns, quick, monkeypatch):
    """A walk in the first rows soon stops, in the last ones it takes long."""
    monkeypatch.setattr(graph_systems, "QUICK", quick)
    rng = np.random.default_rng(5)
    W = as_csr(grid(25, 21, lambda size: rng.lognormal(size=size)))
    stops = np.where(np.arange(525) < 250, 1.0, 1e-3)
    diagonal = W.to_scipy().sum(axis=1) + stops
    off, rhs = W._replace(data=-W.data), rng.standard_normal((525, columns))
    x, taken = graph_systems.solve_absorbed(off, diagonal, rhs, 1e-10, 10_000)
    A = np.diag(diagonal) + off.to_scipy().toarray()
    residual = np.linalg.norm(A @ x - rhs, axis=0)
    assert np.all(residual <= 2e-10 * np.linalg.norm(rhs, axis=0))
    # No eigenvalue is below 1e-3.
    np.testing.assert_allclose(x, np.linalg.solve(A, rhs), atol=1e-5)
    assert taken > quick or quick == 200


@pytest.mark.parametrize(
    ("few", "dense_size", "expected"),
    [
        (10, 5, ["solve_clustered", "solve_open"]),
        (10, 600, ["solve_clustered"]),
        (1000, 5, ["solve_clustered"]),
        (10, 5000, []),
    ],
)
@pytest.mark.parametrize("columns", [1, 3])
def test_clusters_with_few_labels_are_eliminated(
    columns, few, dense_size, expected, monkeypatch
):
    """Neighbours of neighbours: what is left is open, dense or nothing at all."""
    monkeypatch.setattr(graph_systems, "DENSE_SIZE", dense_size)
    monkeypatch.setattr(graph_systems, "FEW_NEIGHBOURS", few)
    routes = []
    for name in ("solve_clustered", "solve_open"):
        route = getattr(graph_systems, name)

        def recorded(*args, route=route, name=name):
            routes.append(name)
            return route(*args)

        monkeypatch.setattr(graph_systems, name, recorded)
    rng = np.random.default_rng(2)
    W = neighbour_graph(700, rng, k=9)
    labels = np.full(700, -1)
    labels[: columns + 1] = np.arange(columns + 1)
    result = label_propagation(W, labels, tol=1e-10)
    values = np.where(labels >= 0, (labels == 0).astype(float), np.nan)
    assert result.converged
    np.testing.assert_allclose(result.scores[:, 0], harmonic(W, values), atol=1e-7)
    assert routes[:2] == expected


def test_slow_gradients_are_given_up_for_a_factor(monkeypatch, rng):
    monkeypatch.setattr(graph_systems, "PATIENCE", -4.0)
    W = grid(23, 24, lambda size: rng.lognormal(size=size))
    y = np.full(552, np.nan)
    y[[0, 300]] = 0.0, 1.0
    result = label_propagation(W, y, tol=1e-10)
    np.testing.assert_allclose(result.scores, harmonic(W, y), atol=1e-8)
    assert result.n_iter < 20


@pytest.mark.parametrize("method", ["auto", "direct", "cg"])
def test_unknown_nodes_that_only_touch_known_ones(method):
    n = 400
    spokes = np.arange(1, n)
    W = sp.coo_array((np.arange(1.0, n), (0 * spokes, spokes)), shape=(n, n)).tocsr()
    y = np.full(n, np.nan)
    y[0] = 3.0
    result = label_propagation(W + W.T, y, method=method)
    np.testing.assert_allclose(result.scores, 3.0)
    assert label_propagation(W + W.T, np.zeros(n), method=method).n_iter == 0


def test_tolerances_below_rounding(rng):
    W = grid(9, 11, lambda size: rng.lognormal(size=size))
    y = np.full(99, np.nan)
    y[[0, 50]] = 0.0, 1.0
    result = label_propagation(W, y, tol=1e-30, warn=False)
    assert result.status == "stalled"
    assert "below what the graph allows" in result.message
    np.testing.assert_allclose(result.scores, harmonic(W, y), atol=1e-10)


@pytest.mark.parametrize("selection", ["GSL", "GSD", "GSQ"])
def test_greedy_blocks_with_cycles(selection, rng):
    """Consecutive nodes of a dense graph: their blocks are factored."""
    W = neighbour_graph(50, rng, k=20)
    y = np.full(50, np.nan)
    y[:5] = np.arange(5.0)
    rule = {"partition": "order", "selection": selection, "max_iter": 1000}
    result = label_propagation(W, y, method="bcd", tol=1e-7, **rule)
    assert result.converged
    np.testing.assert_allclose(result.scores, harmonic(W, y), atol=1e-4)
    assert np.all(np.diff(result.history["objective"]) <= 1e-12)
