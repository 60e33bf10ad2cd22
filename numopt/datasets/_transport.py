# SPDX-License-Identifier: BSD-3-Clause
"""The optimal transport workloads that tests, benchmarks and examples share."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from numopt._validation import check_choice, check_int
from numopt.datasets._photographs import load_photographs

__all__ = ["TransportProblem", "make_transport_problem"]


class TransportProblem(NamedTuple):
    """Weights, costs with maximum 1 and, where there are any, the points."""

    a: np.ndarray
    b: np.ndarray
    M: np.ndarray
    X: np.ndarray | None = None
    Y: np.ndarray | None = None


def make_transport_problem(
    name: str, n: int | None = None, *, random_state: int = 1
) -> TransportProblem:
    """Make one of the named optimal transport workloads.

    Parameters
    ----------
    name : str
        - "pts2d": uniform points of the unit square against points pushed to the
          corner, squared Euclidean cost;
        - "pts10d": two Gaussian clouds in 10 dimensions, squared Euclidean cost;
        - "grid1d": two densities on [0, 5], squared cost;
        - "img32_L2", "img32_L1": block means of two photographs on a 32 x 32 grid,
          squared Euclidean or Euclidean cost;
        - "dig32_L2", "dig32_L1": a handwritten 3 and 8 on a 32 x 32 grid;
        - "assignment": uniform weights and costs uniform in [0, 1].
    n : int, default=None
        Number of points on each side where the workload has a free size; None gives
        1000 (500 for "assignment").
    random_state : int, default=1
        Seed.

    Returns
    -------
    TransportProblem
        Named tuple ``(a, b, M, X, Y)``; the maximum of ``M`` is 1 except for
        "assignment"; ``X`` and ``Y`` are None where there are no points.

    Raises
    ------
    ValueError
        When the name is unknown or ``n`` is less than 1.

    Examples
    --------
    >>> from numopt.datasets import make_transport_problem
    >>> problem = make_transport_problem("pts2d", 50)
    >>> problem.M.shape
    (50, 50)
    """
    check_choice("name", name, _WORKLOADS)
    if n is not None:
        check_int("n", n, low=1)
    return _WORKLOADS[name](n, np.random.default_rng(random_state))


def _from_points(
    X: np.ndarray, Y: np.ndarray, a: np.ndarray, b: np.ndarray, metric: str
) -> TransportProblem:
    from scipy.spatial.distance import cdist

    M = cdist(X, Y, metric)
    return TransportProblem(a, b, M / M.max(), X, Y)


def _uniform(n: int) -> np.ndarray:
    return np.full(n, 1.0 / n)


def _pts2d(n: int | None, rng: np.random.Generator) -> TransportProblem:
    n = n or 1000
    X, Y = rng.random((n, 2)), rng.random((n, 2)) ** 1.5
    return _from_points(X, Y, _uniform(n), _uniform(n), "sqeuclidean")


def _pts10d(n: int | None, rng: np.random.Generator) -> TransportProblem:
    n = n or 1000
    X = rng.standard_normal((n, 10))
    Y = 1.3 * rng.standard_normal((n, 10)) + 0.5
    return _from_points(X, Y, _uniform(n), _uniform(n), "sqeuclidean")


def _grid1d(n: int | None, _rng: np.random.Generator) -> TransportProblem:
    n = n or 1000
    x = np.linspace(0.0, 5.0, n)

    def normal(mean: float, std: float) -> np.ndarray:
        return np.exp(-0.5 * ((x - mean) / std) ** 2) / (std * np.sqrt(2 * np.pi))

    a = np.exp(-x)
    b = 0.2 * normal(1.0, 0.2) + 0.8 * normal(3.0, 0.5) + 1e-6
    points = x[:, None]
    return _from_points(points, points, a / a.sum(), b / b.sum(), "sqeuclidean")


def _pixel_grid(k: int) -> np.ndarray:
    axis = (np.arange(k) + 0.5) / k
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)


def _block_means(image: np.ndarray, k: int) -> np.ndarray:
    rows, columns = (size // k for size in image.shape)
    cut = image[: rows * k, : columns * k]
    return cut.reshape(k, rows, k, columns).mean(axis=(1, 3))


def _photographs(metric: str) -> Callable[..., TransportProblem]:
    def make(_n: int | None, _rng: np.random.Generator) -> TransportProblem:
        a, b = (_block_means(p.mean(axis=2), 32).ravel() for p in load_photographs())
        points = _pixel_grid(32)
        return _from_points(points, points, a / a.sum(), b / b.sum(), metric)

    return make


def _digits(metric: str) -> Callable[..., TransportProblem]:
    def make(_n: int | None, _rng: np.random.Generator) -> TransportProblem:
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        a, b = (
            np.kron(images[labels == digit][0].reshape(8, 8), np.ones((4, 4))).ravel()
            + 0.01
            for digit in (3, 8)
        )
        points = _pixel_grid(32)
        return _from_points(points, points, a / a.sum(), b / b.sum(), metric)

    return make


def _assignment(n: int | None, rng: np.random.Generator) -> TransportProblem:
    n = n or 500
    return TransportProblem(_uniform(n), _uniform(n), rng.random((n, n)))


_WORKLOADS = {
    "pts2d": _pts2d,
    "pts10d": _pts10d,
    "grid1d": _grid1d,
    "img32_L2": _photographs("sqeuclidean"),
    "img32_L1": _photographs("euclidean"),
    "dig32_L2": _digits("sqeuclidean"),
    "dig32_L1": _digits("euclidean"),
    "assignment": _assignment,
}
