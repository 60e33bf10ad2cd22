# SPDX-License-Identifier: BSD-3-Clause
"""A kernel between clouds, of their sliced distances."""

from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import array_namespace, device
from numopt._array.random import as_generator
from numopt.exceptions import ArgumentTypeError
from numopt.ot._solvers.sliced import PROJECTIONS, Clouds, check_clouds, unit_vectors
from numopt.typing import Array

__all__ = ["sliced_wasserstein_kernel"]


def sliced_wasserstein_kernel(
    clouds: list[Array],
    others: list[Array] | None = None,
    *,
    gamma: float = 1.0,
    n_projections: int = 50,
    projection: str = "gaussian",
    random_state: Any = None,
) -> Array:
    r"""Return the sliced Wasserstein kernel between all pairs of clouds.

    .. math:: k(X, Y) = \exp(-\gamma \, SW_2^2(X, Y))

    Parameters
    ----------
    clouds : list of k arrays of shape (n_i, d)
        The clouds, of uniform weights.
    others : list of l arrays of shape (m_j, d), default=None
        Clouds to compare them with; None means themselves.
    gamma : float, default=1.0
        Inverse of the scale of squared distances, positive.
    n_projections : int, default=50
        Number of directions, the same for all pairs.
    projection : {"gaussian", "orthogonal", "sobol"}, default="gaussian"
        As in ``sliced_wasserstein``.
    random_state : int, Generator or None, default=None
        Seed of the directions: matrices of one seed belong together.

    Returns
    -------
    array of shape (k, l)
        The kernel matrix, for estimators with ``kernel="precomputed"``.

    Raises
    ------
    TypeError
        When an argument is of the wrong kind.
    ValueError
        When there is no cloud, clouds differ in dimension, or a value is invalid.

    See Also
    --------
    sliced_wasserstein : The distance of two clouds.

    Notes
    -----
    With common directions the squared distance is that of vectors of quantiles, so
    the matrix is positive semi-definite whatever the number of directions.

    References
    ----------
    Kolouri, Zou & Rohde (2016), Sliced Wasserstein kernels for probability
    distributions, CVPR.

    Examples
    --------
    >>> from numopt.ot import sliced_wasserstein_kernel
    >>> clouds = [[[0.0], [1.0]], [[1.0], [2.0]], [[9.0], [9.0]]]
    >>> sliced_wasserstein_kernel(clouds, random_state=0).round(3).tolist()
    [[1.0, 0.368, 0.0], [0.368, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    gamma = v.check_real("gamma", gamma, low=0, include_low=False)
    v.check_choice("projection", projection, PROJECTIONS)
    n_projections = v.check_int("n_projections", n_projections, low=1)
    first = _check_list("clouds", clouds)
    second = first if others is None else _check_list("others", others)
    d = first[0].shape[1]
    directions = unit_vectors(as_generator(random_state), n_projections, d, projection)
    costs = np.zeros((len(first), len(second)))
    for i, X in enumerate(first):
        for j, Y in enumerate(second):
            if others is None and j <= i:
                costs[i, j] = costs[j, i]
                continue
            pair = Clouds(*check_clouds(X, Y, None, None), 2.0)
            costs[i, j] = np.mean([pair.slice(theta)[0] for theta in directions])
    like = first[0]
    K, xp = np.exp(-gamma * costs), array_namespace(like)
    return xp.asarray(K, dtype=like.dtype, device=device(like))


def _check_list(name: str, clouds: Any) -> list[Array]:
    """Validate the kind of a list of clouds; each is checked in its pairs."""
    if not isinstance(clouds, (list, tuple)) or len(clouds) == 0:
        raise ArgumentTypeError(
            v.message(name, "a non-empty list of arrays", type(clouds).__name__)
        )
    arrays = [v.float_arrays(**{f"{name}[{k}]": x})[1][0] for k, x in enumerate(clouds)]
    for k, x in enumerate(arrays):
        v.check_ndim(f"{name}[{k}]", x, 2)
    return arrays
