# SPDX-License-Identifier: BSD-3-Clause
"""Graph problems of the coordinate family, against sparse factorisations and CG."""

import functools

import numpy as np

from benchmarks import peers

#: Nodes of the forests; all are relabelled at random and solved for three classes.
FORESTS = (100_000, 400_000)
#: Residual of conjugate gradients, relative.
CG_TOL = 1e-8


def cases():
    """Return the rows of the performance page."""
    for n in FORESTS:
        yield peers.Case(
            f"forest, {n} nodes, 3 classes",
            "SuperLU",
            "scipy",
            functools.partial(_forest, n),
        )
    for name in GRAPHS:
        for rival in ("SuperLU", "CG"):
            yield peers.Case(
                f"label propagation, {name}",
                rival,
                "scipy",
                functools.partial(_labels, name, rival),
            )


def _superlu(A):
    """A symmetric sparse factor."""
    from scipy.sparse.linalg import splu

    return splu(
        A.tocsc(),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )


def _forest(n):
    """A random tree with a ridge, exactly."""
    import scipy.sparse as sp

    from numopt.coordinate import forest_solve

    rng = np.random.default_rng(0)
    parents = (rng.random(n - 1) * np.arange(1, n)).astype(int)
    names = rng.permutation(n)
    i, j = names[1:], names[parents]
    W = sp.coo_array((rng.lognormal(size=n - 1), (i, j)), shape=(n, n))
    W = (W + W.T).tocsr()
    A = (sp.diags_array(W.sum(axis=1) + 0.1) - W).tocsr()
    b = rng.standard_normal((n, 3))
    np.testing.assert_allclose(A @ forest_solve(A, b), b, atol=1e-9)
    return lambda: forest_solve(A, b), lambda: _superlu(A).solve(b)


def _lattice(rows, columns, classes):
    """Log-normal weights on a lattice, 2% of the nodes labelled."""
    import scipy.sparse as sp

    rng = np.random.default_rng(0)
    n = rows * columns
    at = np.arange(n).reshape(rows, columns)
    i = np.r_[at[:, :-1].ravel(), at[:-1].ravel()]
    j = np.r_[at[:, 1:].ravel(), at[1:].ravel()]
    W = sp.coo_array((rng.lognormal(size=i.size), (i, j)), shape=(n, n))
    return (W + W.T).tocsr(), _labelled(rng, rng.integers(classes, size=n), classes)


def _moons(n):
    """Five nearest neighbours of two moons, 5% of the nodes labelled."""
    import scipy.sparse as sp
    from sklearn.datasets import make_moons
    from sklearn.neighbors import kneighbors_graph

    X, truth = make_moons(n, noise=0.1, random_state=0)
    G = kneighbors_graph(X, 5)
    rng = np.random.default_rng(0)
    return sp.csr_array(G.maximum(G.T)), _labelled(rng, truth, 2, 0.05)


def _labelled(rng, truth, classes, share=0.02):
    y = np.full(truth.size, -1)
    some = rng.choice(truth.size, int(share * truth.size), replace=False)
    y[some] = truth[some]
    y[some[:classes]] = np.arange(classes)
    return y


GRAPHS = {
    "lattice 200 x 200, 2 classes": functools.partial(_lattice, 200, 200, 2),
    "moons 20000": functools.partial(_moons, 20_000),
    "lattice 140 x 150, 4 classes": functools.partial(_lattice, 140, 150, 4),
}


def _labels(name, rival):
    """Ours and a direct or iterative solve of the same equations."""
    import scipy.sparse as sp
    from scipy.sparse.linalg import cg

    from numopt.coordinate import label_propagation

    W, y = GRAPHS[name]()
    classes = int(y.max()) + 1
    free = np.flatnonzero(y < 0)
    known = np.flatnonzero(y >= 0)
    onehot = np.eye(classes)[y[known]]

    def system():
        A = (sp.diags_array(W.sum(axis=1)) - W).tocsr()[free][:, free]
        return A, W[free][:, known] @ onehot[:, 1:]

    def direct():
        A, rhs = system()
        return _superlu(A).solve(rhs)

    def iterative():
        A, rhs = system()
        inverse = sp.diags_array(1.0 / A.diagonal())
        columns = [cg(A, r, rtol=CG_TOL, M=inverse)[0] for r in rhs.T]
        return np.stack(columns, axis=1)

    theirs = direct if rival == "SuperLU" else iterative
    result = label_propagation(W, y, tol=CG_TOL)
    if np.isfinite(theirs()).all():
        difference = np.abs(result.scores[free][:, 1:] - theirs()).max()
        if difference > 1e-4:
            raise NotImplementedError(f"the answers differ by {difference:.0e}")
    return lambda: label_propagation(W, y, tol=CG_TOL), theirs
