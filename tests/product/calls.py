# SPDX-License-Identifier: BSD-3-Clause
"""One small valid call of every public function, for the tests of the whole product."""

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["CALLS", "make_call"]

#: {"family.function": builder of {argument: value} from a generator}
CALLS: dict[str, Callable[[np.random.Generator], dict[str, Any]]] = {}


def make_call(name: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the function of that name and arguments that it accepts."""
    import importlib

    family, function = name.split(".")
    module = importlib.import_module(f"numopt.{family}")
    return getattr(module, function), CALLS[name](np.random.default_rng(0))


def _call(name: str) -> Callable[[Any], Any]:
    """Register the builder below under a public name."""

    def register(build: Any) -> Any:
        CALLS[name] = build
        return build

    return register


def _marginals(rng: np.random.Generator, *sizes: int) -> list[np.ndarray]:
    """Positive weights that sum to one."""
    return [rng.dirichlet(np.full(size, 3.0)) for size in sizes]


# -- ot ----------------------------------------------------------------------


def _transport(rng: np.random.Generator) -> dict[str, Any]:
    """Marginals and costs of a small problem."""
    a, b = _marginals(rng, 8, 6)
    return {"a": a, "b": b, "M": rng.random((8, 6))}


@_call("ot.sinkhorn")
def _(rng):
    return {**_transport(rng), "reg": 0.1}


@_call("ot.sinkhorn2")
def _(rng):
    return {**_transport(rng), "reg": 0.1}


@_call("ot.sinkhorn_unbalanced")
def _(rng):
    return {**_transport(rng), "reg": 0.1, "reg_m": 1.0}


@_call("ot.ot_exact")
def _(rng):
    return _transport(rng)


@_call("ot.round_plan")
def _(rng):
    a, b = _marginals(rng, 8, 6)
    return {"P": np.outer(a, b) * rng.uniform(0.9, 1.1, (8, 6)), "a": a, "b": b}


@_call("ot.sliced_wasserstein")
def _(rng):
    clouds = {"X": rng.standard_normal((9, 3)), "Y": rng.standard_normal((7, 3))}
    return {**clouds, "n_projections": 8, "random_state": 0}


@_call("ot.sliced_wasserstein_kernel")
def _(rng):
    clouds = [rng.standard_normal((n, 3)) for n in (9, 7, 5)]
    return {"clouds": clouds, "n_projections": 8, "random_state": 0}


@_call("ot.vmf_sliced_wasserstein")
def _(rng):
    clouds = {"X": rng.standard_normal((9, 3)), "Y": rng.standard_normal((7, 3))}
    return {**clouds, "n_projections": 8, "max_iter": 5, "random_state": 0}


@_call("ot.wasserstein_1d")
def _(rng):
    return {"x": rng.standard_normal(9), "y": rng.standard_normal(7)}


def _clouds(rng: np.random.Generator) -> dict[str, Any]:
    """Two small clouds in the plane."""
    return {"X": rng.random((9, 2)), "Y": rng.random((7, 2))}


def _images(rng: np.random.Generator, count: int) -> np.ndarray:
    """Small positive images that sum to one."""
    return rng.dirichlet(np.full(20, 3.0), size=count).reshape(count, 4, 5)


@_call("ot.sinkhorn_points")
def _(rng):
    return {**_clouds(rng), "reg": 0.1}


@_call("ot.sinkhorn_grid")
def _(rng):
    a, b = _images(rng, 2)
    return {"a": a, "b": b, "reg": 0.1}


@_call("ot.sinkhorn_divergence")
def _(rng):
    return {**_clouds(rng), "reg": 1.0, "tol": 1e-4}


@_call("ot.barycenter")
def _(rng):
    x = np.linspace(0.0, 1.0, 8)
    A = np.stack(_marginals(rng, 8, 8), axis=1)
    return {"A": A, "M": (x[:, None] - x) ** 2, "reg": 0.1}


@_call("ot.barycenter_grid")
def _(rng):
    return {"images": _images(rng, 2), "reg": 1.0}


@_call("ot.free_support_barycenter")
def _(rng):
    clouds = list(_clouds(rng).values())
    start = rng.random((5, 2))
    return {"Xs": clouds, "bs": None, "X_init": start, "reg": 1.0, "tol": 1e-2}


@_call("ot.gaussian_transport")
def _(rng):
    return _clouds(rng)


@_call("ot.partial_sinkhorn")
def _(rng):
    return {**_transport(rng), "reg": 0.1, "m": 0.5}


@_call("ot.sparse_ot")
def _(rng):
    return {**_transport(rng), "reg": 0.1, "max_nz": 4}


@_call("ot.progressive_partial_ot")
def _(rng):
    return {"C": rng.random((12, 3)), "rho": 0.5}


# -- completion --------------------------------------------------------------


def _holes(rng: np.random.Generator) -> np.ndarray:
    """A matrix of rank two with a quarter of its entries missing."""
    X = rng.standard_normal((14, 2)) @ rng.standard_normal((2, 10))
    X[rng.random(X.shape) < 0.25] = np.nan
    return X


@_call("completion.complete")
def _(rng):
    return {"X": _holes(rng), "rank": 2, "alpha": 0.1, "max_iter": 50, "warn": False}


@_call("completion.completion_path")
def _(rng):
    return {"X": _holes(rng), "alphas": [1.0, 0.1], "rank": 2, "warn": False}


@_call("completion.estimate_rank")
def _(rng):
    return {"X": _holes(rng), "max_rank": 4, "random_state": 0}


@_call("completion.heldout_rmse")
def _(rng):
    y = rng.standard_normal(20)
    return {"y_true": y, "y_pred": y + 0.1 * rng.standard_normal(20)}


@_call("completion.incoherence")
def _(rng):
    return {"Q": np.linalg.qr(rng.standard_normal((12, 3)))[0]}


@_call("completion.make_low_rank")
def _(rng):
    return {"m": 8, "n": 7, "rank": 2, "n_obs": 40, "random_state": 0}


@_call("completion.spectral_init")
def _(rng):
    return {"X": _holes(rng), "rank": 2, "random_state": 0}


@_call("completion.weighted_low_rank")
def _(rng):
    M = rng.standard_normal((12, 8))
    return {"M": M, "weights": rng.random((12, 8)), "rank": 2, "warn": False}


# -- coordinate --------------------------------------------------------------


def _regression(rng: np.random.Generator) -> dict[str, Any]:
    """A design of 20 rows and 6 columns with its answers."""
    X = rng.standard_normal((20, 6))
    return {"X": X, "y": X[:, 0] - X[:, 1] + 0.1 * rng.standard_normal(20)}


def _model() -> dict[str, Any]:
    """Least squares with an l1 penalty."""
    from numopt.coordinate import L1, Quadratic

    return {"datafit": Quadratic(), "penalty": L1(0.1)}


def _chain(n: int) -> Any:
    """Laplacian of a chain plus the identity."""
    from scipy.sparse import csr_array

    A = 3.0 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    return csr_array(A)


@_call("coordinate.alpha_max")
def _(rng):
    return {**_regression(rng), **_model()}


@_call("coordinate.bcd_solve")
def _(rng):
    return {**_regression(rng), **_model()}


@_call("coordinate.dual_gap")
def _(rng):
    return {**_regression(rng), "coef": np.full(6, 0.1), **_model()}


@_call("coordinate.enet_path")
def _(rng):
    return {**_regression(rng), "n_alphas": 4}


@_call("coordinate.lasso_path")
def _(rng):
    return {**_regression(rng), "n_alphas": 4}


@_call("coordinate.group_lasso_path")
def _(rng):
    return {**_regression(rng), "groups": [0, 0, 1, 1, 2, 2], "n_alphas": 4}


@_call("coordinate.logistic_path")
def _(rng):
    data = _regression(rng)
    return {"X": data["X"], "y": np.sign(data["y"]), "n_alphas": 4}


@_call("coordinate.nnls")
def _(rng):
    return {"A": rng.standard_normal((10, 4)), "b": rng.standard_normal(10)}


@_call("coordinate.solve_quadratic")
def _(rng):
    B = rng.standard_normal((8, 5))
    return {"A": B.T @ B + np.eye(5), "c": rng.standard_normal(5)}


@_call("coordinate.color_partition")
def _(rng):
    return {"A": _chain(6)}


@_call("coordinate.tree_partition")
def _(rng):
    return {"A": _chain(6)}


@_call("coordinate.is_forest")
def _(rng):
    return {"A": _chain(6)}


@_call("coordinate.forest_solve")
def _(rng):
    return {"A": _chain(6), "b": rng.standard_normal(6)}


@_call("coordinate.greedy_forest")
def _(rng):
    return {"A": _chain(6), "scores": rng.random(6)}


@_call("coordinate.label_propagation")
def _(rng):
    return {"W": -_chain(6) + 3.0 * np.eye(6), "y": np.asarray([0, -1, -1, -1, -1, 1])}


@_call("coordinate.warmup")
def _(rng):
    return {}


# -- sbl ---------------------------------------------------------------------


def _sparse_signal(rng: np.random.Generator) -> dict[str, Any]:
    """A dictionary of 12 atoms and a signal of two of them."""
    A = rng.standard_normal((16, 12))
    return {"A": A, "y": A[:, 2] - 2 * A[:, 7] + 0.05 * rng.standard_normal(16)}


def _kronecker(rng: np.random.Generator) -> dict[str, Any]:
    """Two factors and a signal of one atom."""
    factors = [rng.standard_normal((5, 4)), rng.standard_normal((4, 3))]
    x = np.zeros(12)
    x[5] = 1.0
    y = np.kron(*factors) @ x + 0.01 * rng.standard_normal(20)
    return {"factors": factors, "y": y}


@_call("sbl.sbl")
def _(rng):
    return {**_sparse_signal(rng), "warn": False}


@_call("sbl.block_sbl")
def _(rng):
    groups = np.repeat(np.arange(4), 3)
    return {**_sparse_signal(rng), "groups": groups, "max_iter": 20, "warn": False}


@_call("sbl.log_evidence")
def _(rng):
    return {**_sparse_signal(rng), "gamma": rng.random(12), "noise_var": 0.1}


@_call("sbl.kronecker_sbl")
def _(rng):
    return {**_kronecker(rng), "max_iter": 20, "warn": False}


@_call("sbl.kron_matvec")
def _(rng):
    return {"factors": _kronecker(rng)["factors"], "x": rng.standard_normal(12)}


@_call("sbl.kron_rmatvec")
def _(rng):
    return {"factors": _kronecker(rng)["factors"], "y": rng.standard_normal(20)}


@_call("sbl.kron_log_evidence")
def _(rng):
    gammas = [rng.random(4), rng.random(3)]
    return {**_kronecker(rng), "gammas": gammas, "noise_var": 0.1}


@_call("sbl.kron_posterior")
def _(rng):
    gammas = [rng.random(4), rng.random(3)]
    return {**_kronecker(rng), "gammas": gammas, "noise_var": 0.1}


# -- cluster -----------------------------------------------------------------


def _blobs(rng: np.random.Generator) -> np.ndarray:
    """Two clouds of eight points in the plane."""
    return rng.standard_normal((16, 2)) + 6.0 * (np.arange(16) % 2)[:, None]


@_call("cluster.kmeans_certificate")
def _(rng):
    return {"X": _blobs(rng), "labels": np.arange(16) % 2, "warn": False}


@_call("cluster.kmeans_lower_bound")
def _(rng):
    return {"X": _blobs(rng), "n_clusters": 2, "random_state": 0, "warn": False}


@_call("cluster.kmeans_sdp")
def _(rng):
    return {"X": _blobs(rng), "n_clusters": 2, "random_state": 0, "warn": False}


@_call("cluster.kmeans_sdp_path")
def _(rng):
    return {"X": _blobs(rng), "n_clusters": [2, 3], "random_state": 0, "warn": False}


@_call("cluster.nlr_kmeans")
def _(rng):
    return {"X": _blobs(rng), "n_clusters": 2, "random_state": 0, "warn": False}


@_call("cluster.la_sdp")
def _(rng):
    covariances = np.stack([np.eye(2), 2.0 * np.eye(2)])
    return {"X": _blobs(rng), "covariances": covariances, "warn": False}


@_call("cluster.ila_sdp")
def _(rng):
    options = {"max_outer": 2, "max_iter": 50, "n_init": 1, "random_state": 0}
    return {"X": _blobs(rng), "n_clusters": 2, **options, "warn": False}


@_call("cluster.misclustering_error")
def _(rng):
    return {"y_true": rng.integers(0, 3, 20), "y_pred": rng.integers(0, 3, 20)}


# -- dmmv --------------------------------------------------------------------


def _violation(rng: np.random.Generator) -> dict[str, Any]:
    """Ten rows in six integers from 0 to 3."""
    return {"A": rng.standard_normal((10, 6)), "b": rng.standard_normal(10)}


@_call("dmmv.minimize_max_violation")
def _(rng):
    return {**_violation(rng), "levels": (0, 3), "max_iter": 2, "random_state": 0}


@_call("dmmv.minimize_max_violation_batch")
def _(rng):
    A, B = rng.standard_normal((10, 6)), rng.standard_normal((10, 3))
    return {"A": A, "B": B, "levels": (0, 3), "beam_width": 4}


@_call("dmmv.minimize_max_violation_general")
def _(rng):
    A = rng.standard_normal((5, 4))
    return {
        "fun": lambda X: np.abs(X @ A.T - 1.0),
        "levels": [np.arange(3.0)] * 4,
        "max_iter": 2,
        "random_state": 0,
    }


@_call("dmmv.max_violation")
def _(rng):
    data = _violation(rng)
    return {"A": data["A"], "x": np.ones(6), "b": data["b"]}


@_call("dmmv.violation_lower_bound")
def _(rng):
    return {**_violation(rng), "levels": (0, 3)}


@_call("dmmv.design_fir")
def _(rng):
    bands, desired = [0.0, 0.4, 0.6, 1.0], [1.0, 0.0]
    options = {"word_length": 6, "random_state": 0}
    return {"numtaps": 7, "bands": bands, "desired": desired, **options}


@_call("dmmv.fir_ripple")
def _(rng):
    taps = np.asarray([0.1, 0.25, 0.3, 0.25, 0.1])
    return {"taps": taps, "bands": [0.0, 0.3, 0.7, 1.0], "desired": [1.0, 0.0]}


@_call("dmmv.quantize_layer")
def _(rng):
    W, X = rng.standard_normal((6, 3)), rng.standard_normal((20, 6))
    return {"W": W, "X": X, "bits": 3, "beam_width": 4}


@_call("dmmv.discrepancy")
def _(rng):
    return {"V": rng.standard_normal((5, 8)), "max_iter": 2, "random_state": 0}


@_call("dmmv.balance_vectors")
def _(rng):
    return {"items": rng.random((9, 2)), "n_bins": 3, "max_iter": 2, "random_state": 0}


@_call("dmmv.lll_reduce")
def _(rng):
    return {"B": rng.integers(-9, 9, (5, 4)).astype(float)}


@_call("dmmv.parallel_beam_matrix")
def _(rng):
    return {"image_shape": (6, 6), "theta": np.asarray([0.0, 45.0, 90.0])}


# -- bilevel -----------------------------------------------------------------


def _ridge(rng: np.random.Generator) -> Any:
    """Ridge regression with one penalty and a validation set."""
    from numopt.bilevel import RidgeProblem

    X, w = rng.standard_normal((30, 5)), rng.standard_normal(5)
    y = X @ w + rng.standard_normal(30)
    return RidgeProblem(X[:20], y[:20], X[20:], y[20:])


@_call("bilevel.maid")
def _(rng):
    return {"problem": _ridge(rng), "theta0": np.zeros(1), "max_iter": 5, "warn": False}


@_call("bilevel.hoag")
def _(rng):
    return {"problem": _ridge(rng), "theta0": np.zeros(1), "max_iter": 5, "warn": False}


@_call("bilevel.hypergradient")
def _(rng):
    return {"problem": _ridge(rng), "theta": np.zeros(1)}


@_call("bilevel.solve_lower")
def _(rng):
    return {"problem": _ridge(rng), "theta": np.zeros(1), "warn": False}


@_call("bilevel.check_problem")
def _(rng):
    return {"problem": _ridge(rng), "theta": np.zeros(1)}
