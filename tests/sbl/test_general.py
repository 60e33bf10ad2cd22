# SPDX-License-Identifier: BSD-3-Clause
"""Solvers for a general dictionary: identities, closed forms, edge cases."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator

from numopt._array.namespace import to_numpy
from numopt.exceptions import ConvergenceWarning
from numopt.sbl import log_evidence, sbl
from tests.backends import assert_xp_close
from tests.sbl.data import relative_error, sparse_model

METHODS = ("fast", "mm", "mackay", "em", "cofem")
BATCH = ("mm", "mackay", "em")
SHAPES = [
    {"n": 60, "p": 20, "k": 4},
    {"n": 20, "p": 40, "k": 3},
    {"n": 30, "p": 20, "k": 3, "complex_": True},
    {"n": 20, "p": 30, "k": 3, "complex_": True, "L": 3},
    {"n": 12, "p": 20, "k": 3, "L": 20},
]


def _posterior(A, y, result):
    """Dense posterior mean and variances at the result's hyper-parameters."""
    gamma = result.gamma
    C = result.noise_var * np.eye(A.shape[0]) + (A * gamma) @ A.conj().T
    gain = gamma[:, None] * np.linalg.solve(C, A).conj().T
    cov = np.diag(gamma) - gain @ A * gamma
    return gain @ y, cov


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("method", METHODS)
def test_result_is_the_posterior_of_its_hyperparameters(method, shape):
    A, y, _, noise = sparse_model(**shape)
    fixed = noise if method != "fast" else None
    result = sbl(A, y, method=method, noise_var=fixed, random_state=0, warn=False)
    mean, cov = _posterior(A, y, result)
    np.testing.assert_allclose(result.coef, mean, atol=1e-6 * np.abs(mean).max())
    scale = np.abs(cov).max()
    np.testing.assert_allclose(
        result.posterior_var, np.diagonal(cov).real, atol=1e-6 * scale
    )
    m = result.active
    np.testing.assert_allclose(result.cov, cov[np.ix_(m, m)], atol=1e-6 * scale)
    assert np.all(result.coef[result.gamma == 0] == 0)
    assert result.log_evidence == pytest.approx(
        log_evidence(A, y, result.gamma, result.noise_var), abs=1e-5
    )


@pytest.mark.parametrize("noise", [None, 0.3])
@pytest.mark.parametrize("method", ["mm", "em"])
@pytest.mark.parametrize("shape", SHAPES)
def test_monotone_evidence(shape, method, noise):
    A, y, *_ = sparse_model(**shape)
    result = sbl(
        A, y, method=method, noise_var=noise, prune_tol=0, max_iter=60, warn=False
    )
    path = result.history["log_evidence"]
    assert np.all(np.diff(path) >= -1e-9 * np.abs(path[1:]))


@pytest.mark.parametrize("shape", SHAPES)
def test_fast_raises_evidence_plus_prior(shape):
    A, y, *_ = sparse_model(**shape)
    result = sbl(A, y, noise_var=0.3)
    m, p = result.history["n_active"], A.shape[1]

    def prior(size):  # log of the Beta(1, 1)-Bernoulli marginal, clipped as in sbl
        steps = np.log(np.maximum((p - np.arange(size)) / (np.arange(size) + 1.0), 1))
        return -np.sum(steps)

    total = result.history["log_evidence"] + [prior(size) for size in m]
    assert np.all(np.diff(total) >= -1e-8 * np.abs(total[1:]))


@pytest.mark.parametrize("shape", [*SHAPES, {"n": 30, "p": 1100, "k": 3}])
def test_fast_without_prior_is_stationary(shape):
    A, y, *_ = sparse_model(**shape)
    result = sbl(A, y, sparsity_prior="none", noise_var=0.3, tol=1e-9)
    Y = y.reshape(A.shape[0], -1)
    C = 0.3 * np.eye(A.shape[0]) + (A * result.gamma) @ A.conj().T
    S = np.sum(A.conj() * np.linalg.solve(C, A), axis=0).real
    Q = A.conj().T @ np.linalg.solve(C, Y)
    shrunk = 1 - result.gamma * S
    s = S / shrunk
    theta = np.mean(np.abs(Q / shrunk[:, None]) ** 2, axis=1) - s
    active = result.gamma > 0
    assert np.any(active)
    np.testing.assert_allclose(result.gamma[active], (theta / s**2)[active], rtol=1e-3)
    assert np.all(theta[~active] <= 1e-3 * s[~active])


@pytest.mark.parametrize("method", METHODS)
def test_one_atom_closed_form(method):
    rng = np.random.default_rng(3)
    a = rng.standard_normal((12, 1))
    y = 1.5 * a[:, 0] + 0.3 * rng.standard_normal(12)
    energy = float(a[:, 0] @ a[:, 0])
    exact = (a[:, 0] @ y / energy) ** 2 - 0.09 / energy
    result = sbl(
        a, y, method=method, noise_var=0.09, sparsity_prior="none", random_state=0
    )
    np.testing.assert_allclose(result.gamma, [exact], rtol=1e-4)


def _orthogonal_case():
    """Data with ``A^T A = n I``, noise .25, and the optimal variances and means."""
    rng = np.random.default_rng(1)
    n = 32
    A = np.linalg.qr(rng.standard_normal((n, 6)))[0] * np.sqrt(n)
    y = A @ [3.0, -2.0, 1.0, 0.0, 0.0, 0.0] + 0.5 * rng.standard_normal(n)
    z = A.T @ y / n
    gamma = np.maximum(0, z**2 - 0.25 / n)
    return A, y, z, gamma, z * gamma / (gamma + 0.25 / n)


@pytest.mark.parametrize("method", ["fast", "mm", "mackay"])
def test_orthogonal_closed_form(method):
    A, y, _, gamma, coef = _orthogonal_case()
    result = sbl(
        A, y, method=method, noise_var=0.25, sparsity_prior="none", tol=1e-9,
        max_iter=2000, warn=False,
    )  # fmt: skip
    np.testing.assert_allclose(result.gamma, gamma, atol=2e-4 * gamma.max())
    np.testing.assert_allclose(result.coef, coef, atol=2e-3 * np.abs(coef).max())


def test_orthogonal_closed_form_of_em():
    """Atoms that should go decay like 1/k only, and no slower than this bound.

    With s = noise / n a step is ``g - g^2 (g + s - z^2) / (g + s)^2``, and 1/g grows
    by at least ``(g + s - z^2) / (g + s)^2``. For z^2 < s and g < s/4 that is at least
    half of ``(s - z^2) / s^2``.
    """
    A, y, z, gamma, coef = _orthogonal_case()
    steps, s = 3000, 0.25 / 32
    result = sbl(
        A, y, method="em", noise_var=0.25, tol=0, prune_tol=0, max_iter=steps,
        warn=False,
    )  # fmt: skip
    active = gamma > 0
    np.testing.assert_allclose(result.gamma[active], gamma[active], rtol=1e-6)
    np.testing.assert_allclose(result.coef[active], coef[active], rtol=1e-6)
    slack = s - z[~active] ** 2
    assert np.all(result.gamma[~active] <= 2 * s**2 / (slack * steps) + 1e-9)


def test_equivariance_of_fast():
    A, y, *_ = sparse_model(50, 80, 5, seed=2)
    rng = np.random.default_rng(0)
    d = 10 ** rng.uniform(-6, 6, 80)
    plain, scaled, louder = sbl(A, y), sbl(A * d, y), sbl(A, 1e5 * y)
    np.testing.assert_allclose(scaled.coef * d, plain.coef, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(louder.coef, 1e5 * plain.coef, rtol=1e-6, atol=1e-4)


def test_inclusion_prior_cures_many_more_atoms_than_rows():
    """Medians over seeds: noise variance within ten percent, near the oracle's error.

    The oracle is least squares on the true support.
    """
    ratios, errors, sizes = [], [], []
    for seed in range(9):
        A, y, x, noise = sparse_model(200, 2000, 20, seed=seed)
        result = sbl(A, y)
        ratios.append(result.noise_var / noise)
        true = np.flatnonzero(x)
        oracle = np.linalg.lstsq(A[:, true], y)[0]
        error = relative_error(result.coef, x)
        errors.append(error / relative_error(oracle, x[true]))
        sizes.append(result.active.size)
    assert 0.9 < np.median(ratios) < 1.1
    assert np.median(errors) < 1.6
    assert 15 <= np.median(sizes) <= 22


@pytest.mark.parametrize("complex_", [False, True])
def test_sparse_dictionary_equals_dense(complex_):
    A, y, *_ = sparse_model(40, 60, 4, complex_=complex_)
    A = A * (np.abs(A) > 0.8)
    dense = sbl(A, y)
    for kind in (sp.csr_array, sp.csc_matrix):
        sparse = sbl(kind(A), y)
        np.testing.assert_allclose(sparse.coef, dense.coef, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("complex_", [False, True])
def test_operator_finds_the_support(complex_):
    """Few atoms: the columns are made, and selected as the entries would be."""
    A, y, _, noise = sparse_model(80, 160, 4, complex_=complex_, snr_db=30)
    result = sbl(aslinearoperator(A), y, noise_var=noise, random_state=0)
    desired = sbl(A, y, noise_var=noise)
    np.testing.assert_array_equal(result.active, desired.active)
    np.testing.assert_allclose(result.coef, desired.coef, rtol=1e-6, atol=1e-9)


def _wide_sparse(n, p, k, density):
    """Sparse dictionary with many more atoms than rows, and 20 dB measurements."""
    rng = np.random.default_rng(0)
    A = sp.random_array(
        (n, p), density=density, random_state=rng, format="csc",
        data_sampler=rng.standard_normal,
    )  # fmt: skip
    x = np.zeros(p)
    x[rng.choice(p, k, replace=False)] = rng.choice([-2.0, 2.0], k)
    noise = float(np.var(A @ x)) / 100
    return A, A @ x + np.sqrt(noise) * rng.standard_normal(n), x, noise


@pytest.mark.parametrize(
    ("n", "p", "k", "density"),
    [
        (300, 4000, 8, 0.1),
        pytest.param(2000, 100_000, 30, 0.005, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("learn", [False, True])
def test_products_alone_narrow_down_a_wide_dictionary(n, p, k, density, learn):
    """More atoms than can be handled one by one; the answer is that of "fast"."""
    A, y, x, noise = _wide_sparse(n, p, k, density)
    result = sbl(
        aslinearoperator(A), y, noise_var=None if learn else noise, random_state=0
    )
    assert result.converged
    np.testing.assert_array_equal(result.active, np.flatnonzero(x))
    assert relative_error(result.coef, x) < 0.05
    assert result.noise_var == pytest.approx(noise, rel=0.3)
    desired = sbl(A, y, noise_var=None if learn else noise)
    np.testing.assert_allclose(result.coef, desired.coef, rtol=1e-2, atol=1e-3)


def test_an_early_stop_leaves_no_more_atoms_than_rows():
    A, y, _, noise = _wide_sparse(100, 3000, 5, 0.1)
    result = sbl(
        A, y, method="cofem", noise_var=noise, sparsity_prior="none", max_iter=1,
        random_state=0, warn=False,
    )  # fmt: skip
    assert not result.converged
    assert result.active.size == 100
    assert result.cov.shape == (100, 100)
    mean, _ = _posterior(A.toarray(), y, result)
    np.testing.assert_allclose(result.coef, mean, atol=1e-6 * np.abs(mean).max())


@pytest.mark.parametrize("method", BATCH)
def test_batch_methods_on_every_library(method, backend):
    A, y, *_ = sparse_model(14, 8, 2)
    desired = sbl(A, y, method=method, max_iter=5, warn=False)
    As, ys = backend.arrays(A, y)
    result = sbl(As, ys, method=method, max_iter=5, warn=False)
    assert_xp_close(result.coef, desired.coef, like=As, rtol=1e-6, atol=1e-9)
    assert_xp_close(result.gamma, desired.gamma, like=As, rtol=1e-6, atol=1e-9)
    assert_xp_close(result.cov, desired.cov, like=As, rtol=1e-6, atol=1e-9)


def test_auto_chooses_by_array(backend):
    A, y, *_ = sparse_model(14, 8, 2)
    As, ys = backend.arrays(A, y)
    method = "fast" if backend.library == "numpy" else "mm"
    auto = sbl(As, ys, warn=False, max_iter=20)
    named = sbl(As, ys, method=method, warn=False, max_iter=20)
    np.testing.assert_array_equal(to_numpy(auto.coef), to_numpy(named.coef))
    if backend.library != "numpy":
        with pytest.raises(TypeError, match="'mm', 'mackay' and 'em' run there"):
            sbl(As, ys, method="fast")


def test_warm_start_of_fast_needs_few_actions():
    A, y, *_ = sparse_model(60, 100, 6)
    cold = sbl(A, y)
    warm = sbl(A, y, gamma0=cold.gamma)
    assert warm.n_iter < cold.n_iter
    np.testing.assert_allclose(warm.coef, cold.coef, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_zero_measurements(method):
    result = sbl(np.eye(4)[:, :3], np.zeros(4), method=method)
    assert result.converged
    assert result.noise_var > 0
    assert np.all(result.coef == 0)
    assert np.all(result.gamma == 0)
    assert np.isfinite(result.log_evidence)


@pytest.mark.parametrize("method", METHODS)
def test_zero_and_duplicated_columns(method):
    A, y, *_ = sparse_model(30, 10, 2, seed=4)
    A = np.concatenate([A, np.zeros((30, 2)), A[:, :3]], axis=1)
    result = sbl(A, y, method=method, random_state=0, warn=False)
    assert np.all(np.isfinite(result.coef))
    assert np.all(result.coef[10:12] == 0)
    if method == "fast":
        twice = (result.coef[:3] != 0) & (result.coef[12:] != 0)
        assert not np.any(twice)


@pytest.mark.parametrize("method", METHODS)
def test_tiny_problems(method):
    for A, y in (([[2.0]], [3.0]), ([[1.0], [2.0]], [1, 2]), ([[1, 0]], [True])):
        result = sbl(A, y, method=method, random_state=0, warn=False)
        assert np.all(np.isfinite(result.coef))
        assert np.isfinite(result.noise_var)


@pytest.mark.parametrize("method", METHODS)
def test_noise_free_data_reach_the_floor(method):
    A, _, x, _ = sparse_model(40, 25, 3, seed=1)
    result = sbl(A, A @ x, method=method, random_state=0, warn=False)
    assert relative_error(result.coef, x) < 1e-3
    assert result.noise_var <= 1e-5 * np.mean((A @ x) ** 2)
    if method == "fast":
        np.testing.assert_array_equal(result.active, np.flatnonzero(x))


def test_accepted_kinds_of_input_agree_and_are_not_changed():
    A, y, *_ = sparse_model(30, 12, 3)
    A, y = np.round(4 * A), np.round(4 * y)
    desired = sbl(A, y).coef
    kinds = [
        (A.astype(np.int64), y.astype(int)),
        (A.tolist(), y.tolist()),
        (np.asfortranarray(A), y[::-1].copy()[::-1]),
        (A.astype(np.float32), y.astype(np.float32)),
    ]
    for one, other in kinds:
        before = np.array(one)
        if isinstance(one, np.ndarray):
            one.flags.writeable = other.flags.writeable = False
        np.testing.assert_allclose(sbl(one, other).coef, desired, rtol=1e-5)
        np.testing.assert_array_equal(before, np.array(one))
    assert sbl(*kinds[3]).coef.dtype == np.float32


def test_complex_measurements_promote_a_real_dictionary():
    A, y, *_ = sparse_model(20, 10, 2)
    result = sbl(A, y * (1 + 2j))
    np.testing.assert_allclose(result.coef.imag, 2 * result.coef.real, atol=1e-9)


def test_max_iter_is_honest():
    A, y, *_ = sparse_model(40, 60, 6)
    for method in METHODS:
        with pytest.warns(ConvergenceWarning, match="did not converge"):
            result = sbl(
                A, y, method=method, sparsity_prior="none", max_iter=2, random_state=0
            )
        assert not result.converged
        assert result.status == "max_iter"
        assert np.all(np.isfinite(result.coef))


def test_callback_sees_progress_and_stops():
    A, y, *_ = sparse_model(40, 60, 6)
    seen = []
    result = sbl(A, y, method="mm", callback=lambda i: seen.append(i) or len(seen) == 3)
    assert result.status == "callback"
    assert seen[-1].log_evidence == result.history["log_evidence"][-1]
    assert {"log_evidence", "noise_var", "n_active"} <= result.history.keys()


GOOD = {"A": np.eye(4)[:, :3], "y": np.arange(4.0)}


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"A": np.full((4, 3), np.inf)}, ValueError, "`A` must be finite"),
        ({"y": [0, 1, np.nan, 3]}, ValueError, "`y` must be finite, got nan at"),
        ({"y": np.ones(5)}, ValueError, r"length 4 .*got shape \(5,\)"),
        ({"y": np.ones((4, 1, 1))}, ValueError, "`y` must be 1-D or 2-D"),
        ({"A": np.ones(4)}, ValueError, "`A` must be 2-D"),
        ({"A": np.ones((0, 3)), "y": []}, ValueError, "`A` must be non-empty"),
        ({"noise_var": -1.0}, ValueError, "`noise_var` must be"),
        ({"noise_var": np.inf}, ValueError, "`noise_var` must be"),
        ({"tol": -1e-3}, ValueError, "`tol` must be"),
        ({"max_iter": 0}, ValueError, "`max_iter` must be"),
        ({"method": "newton"}, ValueError, "'auto', 'fast', 'mm'"),
        ({"sparsity_prior": "flat"}, ValueError, "'beta', 'none'"),
        ({"sparsity_prior": -1}, ValueError, "`sparsity_prior` must be"),
        ({"sparsity_prior": None}, ValueError, "'none' or a number, got None"),
        ({"A": sp.eye_array(4), "y": np.ones((4, 1, 1))}, ValueError, "1-D or 2-D"),
        ({"gamma0": np.ones(4)}, ValueError, "`gamma0` must be of shape"),
        ({"callback": 3}, TypeError, "`callback` must be callable"),
        ({"A": sp.eye_array(4), "method": "mm"}, TypeError, "needs a dense `A`"),
        (
            {"A": aslinearoperator(np.eye(4)), "method": "fast"},
            TypeError,
            "needs the entries of `A`",
        ),
    ],
)
def test_bad_input(change, error, match):
    call = {**GOOD, **change}
    A, y = call.pop("A"), call.pop("y")
    with pytest.raises(error, match=match):
        sbl(A, y, **call)
