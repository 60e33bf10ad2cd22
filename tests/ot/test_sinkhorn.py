# SPDX-License-Identifier: BSD-3-Clause
"""Entropic transport: closed forms, invariances, duality, options, certificates."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import numopt
from numopt._array.namespace import to_numpy
from numopt.datasets import make_transport_problem
from numopt.exceptions import ConvergenceWarning
from numopt.ot import round_plan, sinkhorn, sinkhorn2
from tests.backends import assert_xp_close

METHODS = ["newton", "newton_direct", "sinkhorn", "sinkhorn_stabilized", "auto"]


def _random(rng, n=30, m=20):
    a, b = rng.random(n) + 0.1, rng.random(m) + 0.1
    return a / a.sum(), b / b.sum(), rng.random((n, m))


def _check_marginals(result, a, b, tol):
    P = to_numpy(result.plan)
    assert np.all(np.isfinite(P))
    error = np.abs(P.sum(axis=1) - a).sum() + np.abs(P.sum(axis=0) - b).sum()
    assert error <= tol + 1e-12
    assert result.marginal_error == pytest.approx(error, abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reg", [1.0, 0.1, 0.01])
def test_two_points_closed_form(method, reg):
    result = sinkhorn(None, None, [[0, 1], [1, 0]], reg, method=method, tol=1e-12)
    exact = 0.5 / (1 + math.exp(-1 / reg))
    np.testing.assert_allclose(result.plan[0, 0], exact, rtol=1e-9)
    assert result.value_linear == pytest.approx(1 - 2 * exact, rel=1e-6)


@pytest.mark.parametrize(("reg", "exact"), [(0.5, 1.44835), (2.0, 2.31064)])
def test_gaussian_closed_form(reg, exact):
    """Janati, Muzellec, Peyré & Cuturi (2020), theorem 1, in one dimension."""
    s1, s2, shift = 1.0, 1.5, 0.7
    x = np.linspace(-11, 12, 800)
    a, b = np.exp(-0.5 * (x / s1) ** 2), np.exp(-0.5 * ((x - shift) / s2) ** 2)
    a, b = a / a.sum(), b / b.sum()
    M = (x[:, None] - x) ** 2
    result = sinkhorn(a, b, M, reg, tol=1e-10)
    half = reg / 2
    D = math.sqrt(4 * s1**2 * s2**2 + half**2)
    formula = (
        shift**2
        + s1**2
        + s2**2
        - D
        + half * (1 - math.log(2 * half))
        + half * math.log(D + half)
    )
    assert formula == pytest.approx(exact, abs=1e-5)
    assert result.value == pytest.approx(formula, abs=2e-6)
    mean_x, mean_y = a @ x, b @ x
    covariance = (x - mean_x) @ result.plan @ (x - mean_y)
    assert covariance == pytest.approx((D - half) / 2, abs=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reg", [0.3, 0.03, 0.003])
def test_certificate_and_duality(rng, method, reg):
    a, b, M = _random(rng)
    result = sinkhorn(a, b, M, reg, method=method, tol=1e-9, max_iter=20_000)
    assert result.converged, result.message
    assert result.marginal_error <= 1e-9
    _check_marginals(result, a, b, 1e-9)
    P = result.plan
    primal = np.sum(P * M) + reg * np.sum(P * np.log(P / np.outer(a, b)) - P) + reg
    assert result.value == pytest.approx(primal, rel=1e-9)
    assert result.value_linear == pytest.approx(np.sum(P * M), rel=1e-9)
    # The plan is infeasible by the marginal error: so far may its value undercut.
    slack = result.marginal_error * np.ptp(result.g)
    assert result.dual_value <= result.value + slack + 1e-12
    assert result.dual_value == pytest.approx(a @ result.f + b @ result.g, abs=1e-9)


@pytest.mark.parametrize("reg", [0.5, 0.05])
def test_plan_equals_pot(rng, reg):
    ot = pytest.importorskip("ot")
    a, b, M = _random(rng)
    peer = ot.sinkhorn(
        a, b, M, reg, method="sinkhorn_log", stopThr=1e-13, numItermax=100_000
    )
    for method in METHODS:
        plan = sinkhorn(a, b, M, reg, method=method, tol=1e-12, max_iter=9999).plan
        np.testing.assert_allclose(plan, peer, atol=1e-8 * peer.max(), rtol=1e-6)


def test_plan_equals_ssns():
    regot = pytest.importorskip("regot")
    data = make_transport_problem("pts2d", 300)
    theirs = regot.sinkhorn_ssns(data.M, data.a, data.b, 1e-3, tol=1e-11, max_iter=300)
    ours = sinkhorn(data.a, data.b, data.M, 1e-3, tol=1e-10)
    np.testing.assert_allclose(ours.plan, theirs.plan, atol=1e-7 * theirs.plan.max())


def test_cost_is_bounded_by_exact_transport(rng):
    ot = pytest.importorskip("ot")
    a, b, M = _random(rng)
    exact = ot.emd2(a, b, M)
    for reg in (0.1, 0.01, 1e-3):
        cost = sinkhorn2(a, b, M, reg)
        assert exact - 1e-9 <= cost <= exact + reg * math.log(20) + 1e-9


def test_value_increases_with_reg(rng):
    a, b, M = _random(rng)
    values = [sinkhorn(a, b, M, reg).value for reg in (1e-3, 1e-2, 0.1, 1.0)]
    assert np.all(np.diff(values) > 0)


_shapes = st.tuples(st.integers(1, 7), st.integers(1, 7))


@given(
    _shapes.flatmap(
        lambda shape: st.tuples(
            hnp.arrays(float, shape, elements=st.floats(-3, 3)),
            hnp.arrays(float, shape[0], elements=st.floats(0.01, 1)),
            hnp.arrays(float, shape[1], elements=st.floats(0.01, 1)),
        )
    ),
    st.floats(0.02, 2),
)
def test_invariances(data, reg):
    M, a, b = data
    a, b = a / a.sum(), b / b.sum()
    plan = sinkhorn(a, b, M, reg, tol=1e-11).plan
    u, w = np.linspace(-1, 2, a.size), np.linspace(3, -1, b.size)
    others = {
        "shift": sinkhorn(a, b, M + u[:, None] + w, reg, tol=1e-11).plan,
        "scale": sinkhorn(a, b, 7 * M, 7 * reg, tol=1e-11).plan,
        "transpose": sinkhorn(b, a, M.T, reg, tol=1e-11).plan.T,
        "mass": sinkhorn(3 * a, 3 * b, M, reg, tol=1e-11).plan / 3,
        "flip": sinkhorn(a[::-1], b[::-1], M[::-1, ::-1], reg, tol=1e-11).plan[
            ::-1, ::-1
        ],
    }
    for name, other in others.items():
        np.testing.assert_allclose(other, plan, atol=1e-9, err_msg=name)


def test_any_mass_keeps_the_certificate(rng):
    a, b, M = _random(rng)
    one, many = sinkhorn(a, b, M, 0.1), sinkhorn(50 * a, 50 * b, M, 0.1)
    P = many.plan
    np.testing.assert_allclose(P.sum(axis=1), 50 * a, rtol=1e-9)
    Q = np.outer(50 * a, 50 * b)
    primal = np.sum(P * M) + 0.1 * np.sum(P * np.log(P / Q) - P + Q)
    assert many.value == pytest.approx(primal, rel=1e-9)
    assert many.dual_value == pytest.approx(primal, rel=1e-8)
    assert many.value_linear == pytest.approx(50 * one.value_linear)


def test_small_sum_difference_is_rounding(rng):
    a, b, M = _random(rng)
    result = sinkhorn(a, b * (1 + 5e-7), M, 0.1)
    assert result.converged


@pytest.mark.parametrize("name", ["pts2d", "grid1d", "img32_L1"])
@pytest.mark.parametrize("reg", [1e-2, 1e-3])
def test_workloads_converge(name, reg):
    p = make_transport_problem(name, 300)
    result = sinkhorn(p.a, p.b, p.M, reg, tol=1e-8)
    assert result.method == "newton"
    assert result.converged, result.message
    P = result.plan
    assert np.abs(P.sum(axis=0) - p.b).sum() + np.abs(P.sum(axis=1) - p.a).sum() < 2e-8


def test_published_pass_counts():
    """Tang et al. (2024), table 1: 29 iterations against 56,199 of Sinkhorn."""
    p = make_transport_problem("assignment")
    result = sinkhorn(p.a, p.b, p.M, 1 / 1200, tol=1e-10)
    assert result.converged
    assert result.n_passes + result.n_newton <= 45


@pytest.mark.parametrize(("metric", "bound"), [("L2", 60), ("L1", 150)])
def test_pass_counts_on_images(metric, bound):
    p = make_transport_problem(f"img32_{metric}")
    result = sinkhorn(p.a, p.b, p.M, 1 / 1200, tol=1e-8)
    assert result.converged
    assert result.n_passes + result.n_newton <= bound


def test_literal_sns_reproduces_the_published_count():
    p = make_transport_problem("assignment")
    result = sinkhorn(
        p.a, p.b, p.M, 1 / 1200, method="sns", n_warmup=20, tol=1e-8, max_iter=200
    )
    assert result.converged
    assert result.n_newton <= 60
    plan = sinkhorn(p.a, p.b, p.M, 1 / 1200, tol=1e-10).plan
    np.testing.assert_allclose(result.plan, plan, atol=1e-9)


def test_literal_ssns_converges_without_sweeps():
    data = make_transport_problem("pts2d", 150)
    options = {"method": "ssns", "tol": 1e-8, "max_iter": 400}
    result = sinkhorn(data.a, data.b, data.M, 1e-3, **options)
    assert result.converged
    assert result.n_newton <= 60
    assert result.nnz < 0.3 * data.M.size
    plan = sinkhorn(data.a, data.b, data.M, 1e-3, tol=1e-10).plan
    np.testing.assert_allclose(result.plan, plan, atol=1e-8)


def test_groups_that_exchange_nothing_do_not_stop_newton():
    # At reg=1e-4 the sums of a plan are wrong by more than 1e-12 of them.
    rng = np.random.default_rng(0)
    for _ in range(3):
        X, Y, a = rng.random((60, 2)), rng.random((60, 2)), rng.dirichlet(np.ones(60))
        M = ((X[:, None] - Y) ** 2).sum(axis=-1)
        assert sinkhorn(a, None, M, 1e-4, tol=1e-9).converged


def test_local_quadratic_convergence(rng):
    a, b, M = _random(rng, 60, 50)
    result = sinkhorn(a, b, M, 0.05, method="newton", tol=1e-13, warn=False)
    assert result.marginal_error < 1e-12


@pytest.mark.parametrize("reg", [1e-4, 1e-5, 3e-6])
def test_tiny_regularisation(rng, reg):
    a, b, M = _random(rng, 200, 200)
    result = sinkhorn(a, b, M, reg, tol=1e-7, max_iter=5000, warn=False)
    for x in (result.f, result.g, result.plan):
        assert np.all(np.isfinite(x))
    assert result.marginal_error < 1e-6


@pytest.mark.parametrize("n", [30, 600])
@pytest.mark.parametrize("reg", [0.02, 0.05])
def test_weakly_coupled_blocks(rng, n, reg):
    # The blocks exchange 1e-9 of the mass through entries of 1e-16 and less: the
    # Hessian is singular to double precision, the steps are long.
    source, target = rng.integers(0, 3, n), rng.integers(0, 3, n)
    M = rng.uniform(0, 0.02, (n, n))
    M += (source[:, None] != target) * rng.uniform(0.5, 1.0)
    a, b = rng.random(n), rng.random(n)
    for block in range(3):
        b[target == block] *= a[source == block].sum() / b[target == block].sum()
    b *= 1 + 1e-8 * rng.standard_normal(n)
    a, b = a / a.sum(), b / b.sum()
    result = sinkhorn(a, b, M, reg, tol=1e-11)
    assert result.converged
    assert result.n_iter <= 100
    _check_marginals(result, a, b, 1e-11)


def test_hopeless_regularisation_is_finite_and_says_so(rng):
    a, b, M = _random(rng, 50, 50)
    with pytest.warns(ConvergenceWarning, match="sinkhorn"):
        result = sinkhorn(a, b, M, 1e-9, max_iter=60)
    assert not result.converged
    for x in (result.f, result.g, result.plan):
        assert np.all(np.isfinite(x))
    assert result.marginal_error <= 2.0


@pytest.mark.parametrize("method", ["newton", "sinkhorn"])
def test_warm_start_saves_passes(rng, method):
    a, b, M = _random(rng, 100, 80)
    cold = sinkhorn(a, b, M, 5e-3, method=method, tol=1e-8, max_iter=5000)
    again = sinkhorn(a, b, M, 5e-3, method=method, tol=1e-8, warmstart=cold)
    assert again.n_passes <= 2
    near = M + 1e-4 * rng.random(M.shape)
    warm = sinkhorn(
        a, b, near, 5e-3, method="newton", tol=1e-8, warmstart=(cold.f, cold.g)
    )
    assert warm.n_passes <= 6


def test_far_warm_start_still_converges(rng):
    a, b, M = _random(rng)
    far = 10 * rng.standard_normal(30), 10 * rng.standard_normal(20)
    assert sinkhorn(a, b, M, 1e-2, warmstart=far).converged


@pytest.mark.parametrize("metric", ["sqeuclidean"])
def test_gradients_by_finite_differences(rng, metric):
    a, b, M = _random(rng, 6, 5)
    result = sinkhorn(a, b, M, 0.1, tol=1e-13, warn=False)
    h = 1e-5

    def value(a, b, M):
        return sinkhorn(a, b, M, 0.1, tol=1e-13, warn=False).value

    direction = rng.standard_normal(6)
    direction -= direction.mean()
    slope = (value(a + h * direction, b, M) - value(a - h * direction, b, M)) / (2 * h)
    assert result.grad_a @ direction == pytest.approx(slope, rel=1e-5)
    direction = rng.standard_normal(5)
    direction -= direction.mean()
    slope = (value(a, b + h * direction, M) - value(a, b - h * direction, M)) / (2 * h)
    assert result.grad_b @ direction == pytest.approx(slope, rel=1e-5)
    E = rng.standard_normal(M.shape)
    slope = (value(a, b, M + h * E) - value(a, b, M - h * E)) / (2 * h)
    assert np.sum(result.grad_M * E) == pytest.approx(slope, rel=1e-5)


def test_plan_products(rng):
    a, b, M = _random(rng)
    result = sinkhorn(a, b, M, 0.05)
    V, W = rng.random((20, 3)), rng.random(30)
    np.testing.assert_allclose(result.apply(V), result.plan @ V)
    np.testing.assert_allclose(result.apply_t(W), result.plan.T @ W)
    np.testing.assert_allclose(
        result.barycentric(V), result.plan @ V / result.plan.sum(axis=1)[:, None]
    )
    sparse = result.plan_sparse(1e-6)
    assert sparse.nnz < result.plan.size
    assert abs(sparse.toarray() - result.plan).max() <= 1e-6


@pytest.mark.parametrize("method", ["newton", "newton_direct", "sinkhorn", "auto"])
def test_every_array_library(backend, rng, method):
    a, b, M = _random(rng, 12, 15)
    desired = sinkhorn(a, b, M, 0.02, tol=1e-10)
    arrays = backend.arrays(a, b, M)
    result = sinkhorn(*arrays, 0.02, method=method, tol=1e-10, max_iter=5000)
    assert result.converged, result.message
    assert_xp_close(result.plan, desired.plan, like=arrays[2], atol=1e-9)
    shift = float(to_numpy(result.f)[0] - desired.f[0])
    assert_xp_close(result.f - shift, desired.f, like=arrays[2], atol=1e-7)
    assert result.value == pytest.approx(desired.value, rel=1e-9)
    assert result.value_linear == pytest.approx(desired.value_linear, rel=1e-8)


@pytest.mark.parametrize("method", ["newton", "sinkhorn"])
def test_float32_in_float32_out(rng, method):
    a, b, M = (x.astype(np.float32) for x in _random(rng))
    result = sinkhorn(a, b, M, 0.02, method=method, max_iter=5000)
    assert result.converged
    assert result.f.dtype == result.g.dtype == result.plan.dtype == np.float32
    desired = sinkhorn(*(x.astype(float) for x in (a, b, M)), 0.02).plan
    np.testing.assert_allclose(result.plan, desired, atol=1e-5 * desired.max())
    assert sinkhorn(a, b, M, 0.02, dtype="float64").plan.dtype == np.float64


def test_threads_change_no_bit():
    p = make_transport_problem("pts2d", 500)
    one = sinkhorn(p.a, p.b, p.M, 1e-3, n_threads=1)
    two = sinkhorn(p.a, p.b, p.M, 1e-3, n_threads=2)
    np.testing.assert_array_equal(one.g, two.g)
    assert one.n_cg == two.n_cg
    with numopt.config_context(num_threads=3):
        three = sinkhorn(p.a, p.b, p.M, 1e-3)
    np.testing.assert_array_equal(one.g, three.g)


def test_callback_history_and_stop(rng):
    a, b, M = _random(rng)
    seen = []

    def callback(info):
        seen.append((info.n_iter, info.eps, info.stage, info.marginal_error))
        assert math.isfinite(info.dual_value)
        return len(seen) == 2

    result = sinkhorn(a, b, M, 1e-3, callback=callback)
    assert result.status == "callback"
    assert len(seen) == 2
    full = sinkhorn(a, b, M, 1e-3)
    keys = {"marginal_error", "dual_value", "eps", "stage", "passes", "time_fraction"}
    assert keys <= set(full.history)
    assert np.all(np.diff(full.history["eps"]) <= 0)
    assert full.history["residual"][-1] == full.marginal_error <= 1e-9


def test_not_converged_warns_and_is_finite(rng):
    a, b, M = _random(rng)
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        result = sinkhorn(a, b, M, 1e-3, method="sinkhorn", max_iter=5)
    assert result.status == "max_iter"
    assert np.all(np.isfinite(result.plan))


def test_repr_is_short(rng):
    result = sinkhorn(*_random(rng), 0.1)
    assert len(repr(result)) < 200
    assert "f: (30,)" in repr(result)


def test_round_plan(backend, rng):
    a, b, M = _random(rng)
    P = np.exp(-M)
    P /= P.sum()
    rounded = to_numpy(round_plan(*backend.arrays(P, a, b)))
    np.testing.assert_allclose(rounded.sum(axis=1), a, atol=1e-15)
    np.testing.assert_allclose(rounded.sum(axis=0), b, atol=1e-15)
    error = np.abs(P.sum(axis=1) - a).sum() + np.abs(P.sum(axis=0) - b).sum()
    assert np.abs(rounded - P).sum() <= 2 * error + 1e-14
    assert np.min(rounded) >= 0


def test_error_falls_on_every_level():
    """Each level of the annealing ends below a hundredth, however it began."""
    data = make_transport_problem("pts2d", 200)
    options = {"method": "sinkhorn", "tol": 1e-3}
    result = sinkhorn(data.a, data.b, data.M, 2e-3, **options)
    eps, error = result.history["eps"], result.history["marginal_error"]
    assert np.unique(eps).size > 2
    for level in np.unique(eps):
        assert error[eps == level][-1] < 1e-2
    assert error[-1] <= 1e-3
