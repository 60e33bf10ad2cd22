# SPDX-License-Identifier: BSD-3-Clause
"""What is refused, with which error and which words."""

import numpy as np
import pytest
import scipy.sparse as sp

from numopt.cluster import (
    ila_sdp,
    kmeans_certificate,
    kmeans_lower_bound,
    kmeans_sdp,
    la_sdp,
    misclustering_error,
    nlr_kmeans,
)

X = np.arange(24.0).reshape(12, 2) % 7
LABELS = np.arange(12) % 3


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        (np.ones(5), ValueError, "`X` must be 2-D"),
        (np.ones((0, 2)), ValueError, "`X` must be non-empty"),
        (np.ones((3, 0)), ValueError, "`X` must be non-empty"),
        (np.array([["a", "b"]]), TypeError, "real numbers"),
        (np.array([[object()]]), TypeError, "real numbers"),
        (np.ones((3, 2)) * 1j, ValueError, "Complex data not supported"),
        (np.array([[1.0, np.nan]]), ValueError, "X contains NaN or infinity"),
        (np.array([[1.0, np.inf]]), ValueError, "X contains NaN or infinity"),
        (np.array([[1.0, 1e200]]), ValueError, "rescale the data"),
        (sp.csr_array([[np.nan, 1.0]]), ValueError, "X contains NaN or infinity"),
        (sp.csr_array([[1j, 1.0]]), ValueError, "Complex data not supported"),
        (sp.csr_array((0, 2)), ValueError, r"`X` must be non-empty, got shape \(0, 2"),
    ],
)
def test_data(data, error, text):
    for run in (
        lambda: kmeans_sdp(data, 1),
        lambda: kmeans_certificate(data, np.zeros(max(len(np.shape(data)), 1), int)),
    ):
        with pytest.raises(error, match=text):
            run()


@pytest.mark.parametrize("run", [kmeans_sdp, kmeans_lower_bound, nlr_kmeans, ila_sdp])
@pytest.mark.parametrize(
    ("n_clusters", "error"),
    [
        (2.5, TypeError),
        ("3", TypeError),
        (True, TypeError),
        (0, ValueError),
        (13, ValueError),
    ],
)
def test_number_of_clusters(run, n_clusters, error):
    with pytest.raises(error, match="n_clusters"):
        run(X, n_clusters)


def test_number_of_clusters_names_both_numbers():
    with pytest.raises(ValueError, match="n_samples=12, got 13"):
        kmeans_sdp(X, 13)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"gap_tol": -1.0}, ValueError, "gap_tol"),
        ({"tol": -1e-3}, ValueError, "tol"),
        ({"max_iter": 0}, ValueError, "max_iter"),
        ({"n_init": 0}, ValueError, "n_init"),
        ({"method": "magic"}, ValueError, "'auto', 'certificate', 'admm', 'nlr'"),
        ({"affinity": "cosine"}, ValueError, "'linear', 'precomputed'"),
        ({"bound": "none"}, ValueError, "bound"),
        ({"affinity": "precomputed"}, ValueError, "square"),
        ({"method": "admm", "max_dense": 5}, ValueError, "GiB.*certificate"),
        ({"init": np.zeros(3, int)}, ValueError, "init"),
        ({"init": np.arange(12)}, ValueError, "at most n_clusters=2"),
        ({"callback": 3}, TypeError, "callback"),
    ],
)
def test_options(options, error, text):
    with pytest.raises(error, match=text):
        kmeans_sdp(X, 2, **options)


@pytest.mark.parametrize(
    ("run", "options"),
    [
        (kmeans_certificate, {"method": "magic"}),
        (kmeans_certificate, {"gap_tol": -1.0}),
        (kmeans_certificate, {"max_iter": 0}),
        (kmeans_certificate, {"max_dense": 0}),
        (nlr_kmeans, {"tol": -1.0}),
        (nlr_kmeans, {"max_iter": 0}),
        (nlr_kmeans, {"n_init": 0}),
        (nlr_kmeans, {"rank": 1}),
        (ila_sdp, {"tol": -1.0}),
        (ila_sdp, {"max_outer": 0}),
        (ila_sdp, {"reg_covar": 0.0}),
    ],
)
def test_options_of_the_other_functions(run, options):
    second = LABELS if run is kmeans_certificate else 2
    with pytest.raises(ValueError, match=next(iter(options))):
        run(X, second, **options)


def test_asymmetric_similarity():
    G = np.eye(4)
    G[0, 1] = 1e-6
    with pytest.raises(ValueError, match="symmetric"):
        kmeans_sdp(G, 2, affinity="precomputed")
    with pytest.raises(TypeError, match="dense similarity, got a sparse matrix"):
        kmeans_sdp(sp.csr_array(np.eye(4)), 2, affinity="precomputed")


@pytest.mark.parametrize(
    ("labels", "error"),
    [
        (LABELS[:5], ValueError),
        (LABELS.astype(float), TypeError),
        (LABELS.reshape(3, 4), ValueError),
        (np.array(["a"] * 12), TypeError),
    ],
)
def test_labels(labels, error):
    with pytest.raises(error, match="labels"):
        kmeans_certificate(X, labels)


@pytest.mark.parametrize(
    ("covariances", "text"),
    [
        (np.ones((2, 2)), "of shape \\(K, 2, 2\\)"),
        (np.ones((2, 3, 3)), "of shape \\(K, 2, 2\\)"),
        (np.stack([np.eye(2), -np.eye(2)]), "cluster 1"),
        (np.stack([np.array([[1.0, 2.0], [0.0, 1.0]]), np.eye(2)]), "cluster 0"),
    ],
)
def test_covariances(covariances, text):
    with pytest.raises(ValueError, match=text):
        la_sdp(X, covariances)


def test_likelihood_options():
    with pytest.raises(TypeError, match="sparse"):
        la_sdp(sp.csr_array(X), np.stack([np.eye(2)] * 2))
    for options in ({"covariance_type": "round"}, {"solver": "x"}, {"init": "x"}):
        with pytest.raises(ValueError, match=next(iter(options))):
            ila_sdp(X, 2, **options)
    with pytest.raises(ValueError, match="labels of 2 clusters, got 12 labels"):
        ila_sdp(X, 2, init=np.arange(12))
    with pytest.raises(ValueError, match="weights"):
        la_sdp(X, np.stack([np.eye(2)] * 2), weights=[1.0, -1.0])
    with pytest.raises(TypeError, match="sparse"):
        ila_sdp(sp.csr_array(X), 2)
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(TypeError, match="NumPy arrays only"):
        ila_sdp(strict.asarray(X), 2)


def test_misclustering_error_lengths():
    with pytest.raises(ValueError, match="y_pred"):
        misclustering_error([0, 1], [0])
    with pytest.raises(ValueError, match="y_true"):
        misclustering_error([], [])
