# SPDX-License-Identifier: BSD-3-Clause
"""Alternating minimisation: sketched regressions, fresh entries, coherent starts."""

import numpy as np
import pytest

from numopt.completion import complete, spectral_init
from numopt.completion._kernels.als import cg_lines
from numopt.completion._problem import observations
from numopt.completion._solvers.factors import join
from numopt.completion._solvers.sketch import long_lines, sketched_lines
from numopt.datasets import make_low_rank
from numopt.exceptions import ConvergenceWarning
from tests.backends import assert_xp_close


def _error(result, U, V):
    truth = U @ V.T
    return np.linalg.norm(result.to_dense() - truth) / np.linalg.norm(truth)


def _weighted(k, n, spread):
    """Three regressions on an orthonormal basis, their weights and solutions.

    The weights grow exponentially along a direction of the factor, the worse for a
    diagonal preconditioner the larger ``spread``.
    """
    rng = np.random.default_rng(0)
    Y = rng.standard_normal((3, n))
    basis = np.linalg.qr(rng.standard_normal((n, k)))[0]
    along = rng.standard_normal((k, 3))
    along /= np.linalg.norm(along, axis=0)
    W = np.exp(spread * np.sqrt(n) * (basis @ along).T)
    exact = [
        np.linalg.lstsq(np.sqrt(w)[:, None] * basis, np.sqrt(w) * y)[0]
        for w, y in zip(W, Y, strict=True)
    ]
    return Y, W, basis, np.stack(exact)


@pytest.mark.parametrize("eps", [1e-2, 1e-5, 1e-9])
def test_sketched_regressions_are_as_exact_as_asked(eps, backend):
    Y, W, basis, exact = _weighted(5, 300, 1.0)
    given = backend.arrays(Y, W, basis)
    side = observations(given[0], weights=given[1]).by_row
    start, ridge = backend.arrays(np.zeros((3, 5)), np.zeros(3))
    x, _ = sketched_lines(side, given[2], ridge, start, eps, np.random.default_rng(1))
    scale = np.linalg.norm(exact)
    assert_xp_close(x, exact, like=given[0], atol=10 * eps * scale)


def test_sketch_makes_weights_along_the_factor_harmless():
    """Steps enough with a sketch leave the diagonal preconditioner far away."""
    k, eps, steps = 20, 1e-6, 15
    Y, W, basis, exact = _weighted(k, 2500, 5.0)
    side, none = observations(Y, weights=W).by_row, np.zeros(3)
    assert long_lines(side, k).all()
    start = np.zeros((3, k))
    x, loss = sketched_lines(side, basis, none, start, eps, np.random.default_rng(1))
    by_diagonal, _ = cg_lines(
        side.indptr, side.indices, side.values, side.weights, join(basis), none, none,
        join(start), False, steps,
    )  # fmt: skip
    scale = np.linalg.norm(exact)
    ours = np.linalg.norm(x - exact) / scale
    theirs = np.linalg.norm(by_diagonal[:, :-1] - exact) / scale
    assert ours < 0.02 * theirs
    np.testing.assert_allclose(loss, (W * (Y - x @ basis.T) ** 2).sum(axis=1))


def test_sketch_with_ridge_solves_the_normal_equations():
    Y, W, basis, _ = _weighted(4, 200, 1.0)
    ridge = np.array([0.5, 2.0, 0.0])
    side, start = observations(Y, weights=W).by_row, np.ones((3, 4))
    x, loss = sketched_lines(side, basis, ridge, start, 1e-12, np.random.default_rng(0))
    for w, y, a, found, value in zip(W, Y, ridge, x, loss, strict=True):
        A = basis.T @ (w[:, None] * basis) + a * np.eye(4)
        expected = np.linalg.solve(A, basis.T @ (w * y))
        np.testing.assert_allclose(found, expected, rtol=1e-8)
        least = (w * (y - basis @ expected) ** 2).sum() + a * (expected**2).sum()
        assert value == pytest.approx(least, rel=1e-9)


@pytest.mark.parametrize("precond", ["jacobi", "sketch"])
def test_exact_data_converge_by_their_residual(precond):
    *entries, U, V = make_low_rank(120, 100, 3, oversampling=6, random_state=0)
    result = complete(
        tuple(entries), 3, method="altmin_sketch", precond=precond, tol=1e-9,
        random_state=0,
    )  # fmt: skip
    assert result.converged
    assert result.relative_residual < 2e-9
    assert _error(result, U, V) < 1e-6


def test_only_long_lines_are_sketched():
    """A dense column and short ones: both parts of a half step are solved."""
    rng = np.random.default_rng(0)
    U, V = rng.standard_normal((80, 2)), rng.standard_normal((40, 2))
    seen = rng.random((80, 40)) < 0.3
    seen[:, :5] = True
    X = np.where(seen, U @ V.T, np.nan)
    side = observations(X).by_col
    mask = long_lines(side, 2)
    assert 0 < mask.sum() < 40 or mask.all()
    part, rest = side.only(mask), side.only(~mask)
    np.testing.assert_array_equal(part.counts + rest.counts, side.counts)
    result = complete(X, 2, method="altmin_sketch", precond="sketch", tol=1e-9)
    assert _error(result, U, V) < 1e-6


def test_short_lines_are_never_sketched():
    *entries, _, _ = make_low_rank(60, 50, 3, oversampling=4, random_state=0)
    assert not long_lines(observations(tuple(entries)).by_row, 3).any()
    common = {"method": "altmin_sketch", "tol": 1e-8, "random_state": 0}
    one, two = (
        complete(tuple(entries), 3, precond=precond, **common)
        for precond in ("sketch", "jacobi")
    )
    np.testing.assert_array_equal(one.to_dense(), two.to_dense())


@pytest.mark.parametrize("precond", ["jacobi", "sketch"])
def test_fresh_entries_in_each_half_step(precond):
    *entries, U, V = make_low_rank(300, 250, 2, n_obs=60_000, random_state=0)
    result = complete(
        tuple(entries), 2, method="altmin_sketch", precond=precond, resample=True,
        tol=1e-2, random_state=0,
    )  # fmt: skip
    assert result.converged
    assert result.n_iter <= 7
    assert _error(result, U, V) < 0.05
    again = result.fold_in(tuple(entries))
    np.testing.assert_allclose(again.to_dense(), result.to_dense(), atol=1e-9)


def test_fresh_entries_run_out():
    entries = make_low_rank(60, 50, 3, n_obs=2500, noise=0.5, random_state=0)[:3]
    common = {"method": "altmin_sketch", "resample": True, "random_state": 0}
    with pytest.warns(ConvergenceWarning, match="rounds of fresh entries"):
        result = complete(entries, 3, tol=1e-3, max_iter=2, alpha=1e-9, **common)
    assert result.n_iter == 2
    with pytest.warns(ConvergenceWarning, match="in each of 21 parts|fresh entries"):
        complete(entries, 3, tol=1e-3, **common)
    few = tuple(a[:10] for a in entries)
    with pytest.raises(ValueError, match="at least 21 entries with resample=True"):
        complete(few, 1, tol=1e-3, **common)


@pytest.mark.parametrize("options", [{"resample": True}, {"precond": "sketch"}])
def test_options_of_this_method_alone(options):
    X = np.where(np.eye(4) > 0, np.nan, 1.0)
    with pytest.raises(ValueError, match="'altmin_sketch' with"):
        complete(X, 1, **options)
    with pytest.raises(ValueError, match="`precond` must be"):
        complete(X, 1, method="altmin_sketch", precond="global")
    with pytest.raises(TypeError, match="`resample` must be"):
        complete(X, 1, method="altmin_sketch", resample="yes")


def test_coherent_rows_are_not_clipped():
    """One row holds a direction alone: clipping would take it away."""
    X = np.outer(np.ones(60), np.ones(50))
    X[0] = 1000.0
    X[1, 1] = np.nan
    with pytest.warns(UserWarning, match="coherent"):
        U = spectral_init(X, 1, clip_incoherence=1.0, random_state=0)[0]
    assert U[0, 0] ** 2 > 0.9
    with pytest.warns(UserWarning, match="coherent"):
        complete(X, 1, method="altmin_sketch", clip_incoherence=1.0, random_state=0)
