# SPDX-License-Identifier: BSD-3-Clause
"""Block solver: dense identities, limits that are known, bad input."""

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.exceptions import ConvergenceWarning
from numopt.sbl import block_sbl, log_evidence, sbl
from tests.backends import assert_xp_close
from tests.sbl.data import normal, relative_error, sparse_model

UNEQUAL = [[0, 5, 9], [1], [2, 3, 4], [6, 7], [8, 10, 11], [12, 13]]


def _block_model(
    n, blocks, size, active, *, r=0.9, snr_db=25, seed=0, complex_=False, L=None
):
    """Blocks drawn from an autoregressive process of correlation r."""
    rng = np.random.default_rng(seed)
    A = normal(rng, (n, blocks * size), complex_)
    T = np.linalg.cholesky(r ** np.abs(np.subtract.outer(*[np.arange(size)] * 2)))
    x = np.zeros((blocks, size, L or 1), A.dtype)
    chosen = rng.choice(blocks, active, replace=False)
    x[chosen] = T @ normal(rng, (active, size, L or 1), complex_)
    x = x.reshape(blocks * size, -1)
    clean = A @ x
    noise = float(np.mean(np.abs(clean) ** 2) / 10 ** (snr_db / 10))
    y = clean + np.sqrt(noise) * normal(rng, clean.shape, complex_)
    if L is None:
        return A, y[:, 0], x[:, 0], noise, np.sort(chosen)
    return A, y, x, noise, np.sort(chosen)


@pytest.mark.parametrize(("complex_", "L"), [(False, None), (True, None), (False, 3)])
@pytest.mark.parametrize("n", [10, 40])
@pytest.mark.parametrize("intra_corr", ["none", "ar1", "full"])
def test_result_is_the_posterior_of_its_hyperparameters(intra_corr, n, complex_, L):
    """Blocks of sizes one to three; n below and above the number of atoms."""
    A, y, *_ = sparse_model(n, 14, 5, complex_=complex_, L=L)
    result = block_sbl(A, y, UNEQUAL, intra_corr=intra_corr, max_iter=9, warn=False)
    prior = np.zeros((14, 14), A.dtype)
    for k, g in enumerate(UNEQUAL):
        if result.group_gamma[k] > 0:
            B = result.intra_corr[len(g)]
            prior[np.ix_(g, g)] = result.group_gamma[k] * B
            np.testing.assert_allclose(np.trace(B), len(g), rtol=1e-12)
    C = result.noise_var * np.eye(n) + A @ prior @ A.conj().T
    gain = prior @ np.linalg.solve(C, A).conj().T
    cov = prior - gain @ A @ prior
    scale = np.abs(cov).max()
    np.testing.assert_allclose(result.coef, gain @ y, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(result.gamma, np.diagonal(prior).real, rtol=1e-9)
    m = result.active
    np.testing.assert_allclose(result.cov, cov[np.ix_(m, m)], atol=1e-9 * scale)
    np.testing.assert_allclose(
        result.posterior_var, np.diagonal(cov).real, atol=1e-9 * scale
    )
    white = np.linalg.cholesky(prior[np.ix_(m, m)])  # evidence of the whitened model
    exact = log_evidence(A[:, m] @ white, y, np.ones(m.size), result.noise_var)
    assert result.log_evidence == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize(("method", "same"), [("bo", "mm"), ("em", "em")])
def test_blocks_of_one_atom_are_the_batch_solvers(method, same):
    """With equal column norms, since blocks do not rescale single columns."""
    A, y, *_ = sparse_model(30, 12, 3)
    A = A / np.linalg.norm(A, axis=0)
    options = {"noise_var": 0.01, "tol": 1e-7, "max_iter": 5000}
    ours = block_sbl(A, y, 1, method=method, prune_tol=1e-6, **options)
    other = sbl(A, y, method=same, **options)
    np.testing.assert_allclose(ours.coef, other.coef, atol=1e-4)
    assert ours.log_evidence == pytest.approx(other.log_evidence, abs=1e-3)


@pytest.mark.parametrize("noise", [None, 0.3])
@pytest.mark.parametrize("method", ["bo", "em"])
def test_monotone_evidence(method, noise):
    A, y, *_ = _block_model(30, 12, 4, 3)
    result = block_sbl(
        A, y, 4, method=method, intra_corr="none", noise_var=noise, prune_tol=0,
        max_iter=60, warn=False,
    )  # fmt: skip
    path = result.history["log_evidence"]
    assert np.all(np.diff(path) >= -1e-9 * np.abs(path[1:]))


def test_correlation_is_learned_and_lowers_the_error():
    """Medians of five noisy problems (5 dB): noise leaves room for the correlation."""
    found, ratios = [], []
    for seed in range(5):
        A, y, x, noise, chosen = _block_model(70, 25, 6, 5, snr_db=5, seed=seed)
        ours = block_sbl(A, y, 6, noise_var=noise, tol=1e-3)
        plain = block_sbl(A, y, 6, noise_var=noise, intra_corr="none", tol=1e-3)
        found.append(ours.intra_corr[6][1, 0])
        ratios.append(relative_error(ours.coef, x) / relative_error(plain.coef, x))
        assert set(chosen) <= set(np.flatnonzero(ours.group_gamma))
        assert ours.log_evidence > plain.log_evidence
    assert np.median(found) == pytest.approx(0.9, abs=0.1)
    assert np.median(ratios) < 0.95


def test_snapshots_share_the_blocks():
    A, Y, x, noise, chosen = _block_model(25, 20, 4, 4, L=12)
    result = block_sbl(A, Y, 4, noise_var=noise)
    gamma = result.group_gamma
    silent = np.setdiff1d(np.arange(20), chosen)
    assert np.all(gamma[silent] < 1e-3 * gamma.max())
    assert np.all(gamma[chosen] > 0.5 * gamma.max())
    assert relative_error(result.coef, x) < 0.1


def test_kinds_of_groups_agree():
    A, y, *_ = _block_model(30, 6, 3, 2)
    desired = block_sbl(A, y, 3).coef
    labels = np.repeat([7, -2, 5, 4, 3, 0], 3)
    lists = [list(range(k, k + 3)) for k in range(0, 18, 3)]
    for groups in (labels, labels.tolist(), lists, tuple(map(np.asarray, lists))):
        np.testing.assert_allclose(block_sbl(A, y, groups).coef, desired, rtol=1e-9)


@pytest.mark.parametrize("method", ["bo", "em"])
@pytest.mark.parametrize("intra_corr", ["none", "ar1", "full"])
def test_every_library(backend, intra_corr, method):
    A, y, *_ = sparse_model(12, 14, 3)
    options = {"method": method, "intra_corr": intra_corr, "max_iter": 4}
    desired = block_sbl(A, y, UNEQUAL, warn=False, **options)
    As, ys = backend.arrays(A, y)
    result = block_sbl(As, ys, UNEQUAL, warn=False, **options)
    for name in ("coef", "gamma", "cov", "group_gamma"):
        assert_xp_close(
            getattr(result, name), getattr(desired, name), like=As, rtol=1e-6, atol=1e-9
        )


def test_edge_cases():
    zero = block_sbl(np.eye(4), np.zeros(4), 2)
    assert zero.converged
    assert np.all(zero.coef == 0)
    A, _, x, _, _ = _block_model(30, 6, 3, 2)
    A = np.concatenate([A, np.zeros((30, 3))], axis=1)
    exact = block_sbl(A, A[:, :18] @ x, 3, warn=False)
    assert relative_error(exact.coef[:18], x) < 1e-3
    assert np.all(exact.coef[18:] == 0)
    tiny = block_sbl([[2.0]], [3], 1, warn=False)
    assert np.all(np.isfinite(tiny.coef))
    with pytest.warns(ConvergenceWarning, match="block_sbl did not converge"):
        assert not block_sbl(A, A[:, 0], 3, max_iter=2).converged
    narrow = block_sbl(A.astype(np.float32), A[:, 0].astype(np.float32), 3, warn=False)
    assert narrow.coef.dtype == np.float32


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"groups": 0}, ValueError, "`groups` must be"),
        ({"groups": [0, 1]}, ValueError, "one label per feature"),
        ({"groups": [[0, 1], [1, 2, 3]]}, ValueError, "a partition of 0..3"),
        ({"groups": [[0, 1], [2]]}, ValueError, "a partition of 0..3"),
        ({"groups": [[0, 1, 2, 3], []]}, ValueError, "non-empty lists"),
        ({"groups": "ab"}, TypeError, "`groups` must be"),
        ({"method": "mm"}, ValueError, "'bo', 'em'"),
        ({"intra_corr": "ar2"}, ValueError, "'ar1', 'full', 'none'"),
        ({"noise_var": 0}, ValueError, "`noise_var` must be"),
        ({"y": [0, 1, np.nan, 3]}, ValueError, "`y` must be finite"),
        ({"y": np.ones(5)}, ValueError, "length 4"),
        ({"A": sp.eye_array(4)}, TypeError, "`A` must be a dense array"),
    ],
)
def test_bad_input(change, error, match):
    call = {"A": np.eye(4), "y": np.arange(4.0), "groups": 2, **change}
    A, y, groups = call.pop("A"), call.pop("y"), call.pop("groups")
    with pytest.raises(error, match=match):
        block_sbl(A, y, groups, **call)
