# SPDX-License-Identifier: BSD-3-Clause
"""Transport between the Gaussians fitted to two samples, in closed form."""

import dataclasses
import time

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import array_namespace, device
from numopt._iterate.result import SolverResult
from numopt.exceptions import ArgumentTypeError
from numopt.ot._solvers.state import host
from numopt.typing import Array

__all__ = ["GaussianTransportResult", "gaussian_transport"]

#: Directions with less than this fraction of the largest variance are degenerate.
RANK_TOL = 1e-12
#: Relative error of the transported covariance up to which the map is good.
GOOD = {"float64": 1e-6, "float32": 1e-2}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class GaussianTransportResult(SolverResult):
    r"""Affine map between the Gaussians fitted to two samples.

    .. math:: T(x) = m_Y + A (x - m_X), \qquad A \Sigma_X A = \Sigma_Y,

    with A symmetric positive semi-definite.

    Parameters
    ----------
    n_iter : int
        1: the map has a closed form.
    converged : bool
        Whether the map carries one covariance to the other, as far as rounding and
        degenerate directions of the source allow.
    message : str
        The relative error of the transported covariance.
    status : str
        "converged" or "infeasible": a degenerate source cannot fill the target.
    history : dict of str to ndarray
        One entry: "n_iter", "time", "objective" (the value), "residual".
    value : float
        Squared 2-Wasserstein distance of the Gaussians.
    A : array of shape (d, d)
        Linear part of the map.
    mean_X, mean_Y : array of shape (d,)
        Fitted means.
    cov_X, cov_Y : array of shape (d, d)
        Fitted covariances.
    inverse : array of shape (d, d)
        Linear part of the map from target to source.
    shrinkage : tuple of two float
        Weights of the multiple of the identity in the covariances; 0 for none.

    See Also
    --------
    gaussian_transport : The function that makes it.

    Examples
    --------
    >>> from numopt.ot import gaussian_transport
    >>> result = gaussian_transport([[0.0], [2.0]], [[10.0], [14.0]])
    >>> result.transform([[0.0], [1.0]]).tolist()
    [[10.0], [12.0]]
    """

    value: float
    A: Array
    mean_X: Array
    mean_Y: Array
    cov_X: Array
    cov_Y: Array
    inverse: Array
    shrinkage: tuple[float, float]

    def transform(self, X_new: Array) -> Array:
        """Map points of the source to the target.

        Parameters
        ----------
        X_new : array of shape (n, d)
            Any points.

        Returns
        -------
        array of shape (n, d)
            Their images.
        """
        return self._affine("X_new", X_new, self.A, self.mean_X, self.mean_Y)

    def inverse_transform(self, Y_new: Array) -> Array:
        """Map points of the target to the source.

        Parameters
        ----------
        Y_new : array of shape (n, d)
            Any points.

        Returns
        -------
        array of shape (n, d)
            Their images.
        """
        return self._affine("Y_new", Y_new, self.inverse, self.mean_Y, self.mean_X)

    def _affine(
        self, name: str, points: Array, matrix: Array, start: Array, end: Array
    ) -> Array:
        """Check points and map them."""
        xp, (points, _) = v.float_arrays(**{name: points, "like": self.A})
        v.check_ndim(name, points, 2)
        d = self.A.shape[0]
        v.check_shape(name, points, (points.shape[0], d), why="(as the fit)")
        v.check_values(name, points)
        matrix, start, end = (
            xp.astype(x, points.dtype, copy=False) for x in (matrix, start, end)
        )
        return (points - start) @ matrix + end


def gaussian_transport(
    X: Array,
    Y: Array,
    *,
    a: Array | None = None,
    b: Array | None = None,
    covariance: str = "full",
    shrinkage: float | None = None,
) -> GaussianTransportResult:
    r"""Map one sample to another by the optimal transport of their Gaussians.

    .. math::
        W_2^2 = |m_X - m_Y|^2 + \mathrm{tr} \bigl( \Sigma_X + \Sigma_Y
        - 2 (\Sigma_X^{1/2} \Sigma_Y \Sigma_X^{1/2})^{1/2} \bigr)

    The optimal map is affine with the linear part
    :math:`\Sigma_X^{-1/2} (\Sigma_X^{1/2} \Sigma_Y \Sigma_X^{1/2})^{1/2}
    \Sigma_X^{-1/2}`.

    Parameters
    ----------
    X : array of shape (n, d)
        Source sample.
    Y : array of shape (m, d)
        Target sample.
    a, b : array of shape (n,) and (m,), default=None
        Weights, non-negative, of any total; None means uniform.
    covariance : {"full", "shrunk"}, default="full"
        - "full": the empirical covariance;
        - "shrunk": its convex combination with a multiple of the identity of the
          same trace, which is invertible for any sample size.
    shrinkage : float, default=None
        Weight of the identity in [0, 1], "shrunk" only; None chooses it by the
        formula of Ledoit and Wolf for each sample.

    Returns
    -------
    GaussianTransportResult
        The map (``transform``, ``inverse_transform``), the distance, the moments.

    Raises
    ------
    TypeError
        When an argument is of the wrong kind, or libraries are mixed.
    ValueError
        When a value is invalid or shapes do not match.

    See Also
    --------
    sinkhorn : Transport of the samples themselves.
    SinkhornTransport : A map that is not affine.

    Notes
    -----
    O((n + m) d^2 + d^3). Directions in which the source has no variance are mapped
    to nothing; ``status`` tells when the target has variance there.

    References
    ----------
    Dowson & Landau (1982), The Fréchet distance between multivariate normal
    distributions, J. Multivariate Anal. 12. Peyré & Cuturi (2019), Computational
    optimal transport, remark 2.31. Ledoit & Wolf (2004), A well-conditioned
    estimator for large-dimensional covariance matrices, J. Multivariate Anal. 88.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.ot import gaussian_transport
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((500, 2))
    >>> Y = X @ [[2.0, 0.5], [0.5, 1.0]] + [3.0, 0.0]
    >>> result = gaussian_transport(X, Y)
    >>> result.A.round(6).tolist()
    [[2.0, 0.5], [0.5, 1.0]]
    """
    started = time.perf_counter()
    v.check_choice("covariance", covariance, ("full", "shrunk"))
    weight = _check_shrinkage(shrinkage, covariance)
    xp, (X, Y, a, b) = v.float_arrays(X=X, Y=Y, a=a, b=b)
    v.check_present("X", X)
    dtype = X.dtype
    name = "float32" if dtype == xp.float32 else "float64"
    mean_X, cov_X, shrunk_X = _moments("X", "a", X, a, weight)
    mean_Y, cov_Y, shrunk_Y = _moments("Y", "b", Y, b, weight)
    v.check_shape("Y", Y, (Y.shape[0], X.shape[1]), why="(as many columns as `X`)")
    A, cross = _bures_map(cov_X, cov_Y)
    inverse, _ = _bures_map(cov_Y, cov_X)
    shift = mean_X - mean_Y
    bures = xp.linalg.trace(cov_X) + xp.linalg.trace(cov_Y) - 2.0 * cross
    # The trace of a covariance that is not negative, up to rounding.
    value = host(xp.sum(shift * shift)) + max(host(bures), 0.0)
    scale = max(host(xp.linalg.matrix_norm(cov_Y)), 1e-300)
    error = host(xp.linalg.matrix_norm(A @ cov_X @ A - cov_Y)) / scale
    good = error <= GOOD[name] or host(xp.linalg.matrix_norm(cov_Y)) == 0.0
    reason = "" if good else "; the source is degenerate: use covariance='shrunk'"
    arrays = {"A": A, "mean_X": mean_X, "mean_Y": mean_Y, "inverse": inverse}
    arrays |= {"cov_X": cov_X, "cov_Y": cov_Y}
    history = {"n_iter": 1, "objective": value, "residual": error}
    history["time"] = time.perf_counter() - started
    return GaussianTransportResult(
        n_iter=1,
        converged=good,
        status="converged" if good else "infeasible",
        message=f"relative error {error:.1e} of the mapped covariance{reason}",
        history={key: np.asarray([number]) for key, number in history.items()},
        value=value,
        shrinkage=(shrunk_X, shrunk_Y),
        **{key: xp.astype(x, dtype) for key, x in arrays.items()},
    )


def _check_shrinkage(shrinkage: float | None, covariance: str) -> float | None:
    """Return the weight of the identity; None means to be estimated."""
    if covariance == "full":
        if shrinkage is not None:
            raise ArgumentTypeError(
                v.message("shrinkage", "None with covariance='full'", repr(shrinkage))
            )
        return 0.0
    if shrinkage is None:
        return None
    return v.check_real("shrinkage", shrinkage, low=0, high=1)


def _moments(
    name: str, weights_name: str, X: Array, w: Array | None, shrinkage: float | None
) -> tuple[Array, Array, float]:
    """Mean, covariance and shrinkage of a weighted sample, in float64."""
    xp = array_namespace(X)
    v.check_ndim(name, X, 2, hint="a single feature is X.reshape(-1, 1)")
    v.check_values(name, X)
    X = xp.astype(X, xp.float64, copy=False)
    n, d = X.shape
    uniform = w is None
    if uniform:
        w = xp.ones((n,), dtype=X.dtype, device=device(X))
    v.check_shape(weights_name, w, (n,), why=f"(len({name}),)")
    if v.check_values(weights_name, w, nonnegative=True)[1] == 0:
        raise ValueError(v.message(weights_name, "positive somewhere", "all zeros"))
    w = xp.astype(w, xp.float64, copy=False)
    w = w / xp.sum(w)
    mean = w @ X
    centred = X - mean
    # A matrix times its own transpose is half of the work for BLAS.
    scaled = centred if uniform else xp.sqrt(w)[:, None] * centred
    S = xp.matrix_transpose(scaled) @ scaled
    if uniform:
        S = S / n
    eye = xp.eye(d, dtype=X.dtype, device=device(X))
    target = xp.linalg.trace(S) / d * eye
    if shrinkage is None:
        shrinkage = _ledoit_wolf(centred, w, S, target)
    return mean, (1.0 - shrinkage) * S + shrinkage * target, shrinkage


def _ledoit_wolf(centred: Array, w: Array, S: Array, target: Array) -> float:
    """Ratio of the variance of the covariance's entries to its distance to target."""
    xp = array_namespace(S)
    distance = host(xp.sum((S - target) ** 2))
    if distance == 0.0:
        return 1.0
    fourth = host(xp.sum(w**2 * xp.sum(centred * centred, axis=1) ** 2))
    # sum_i w_i^2 |x_i x_i^T - S|^2, expanded; sum_i w_i^2 replaces 1 / n.
    quadratic = host(xp.sum(w**2 * xp.sum((centred @ S) * centred, axis=1)))
    square = host(xp.sum(S * S)) * host(xp.sum(w * w))
    return min(1.0, max(0.0, (fourth - 2.0 * quadratic + square) / distance))


def _bures_map(S: Array, T: Array) -> tuple[Array, Array]:
    """Linear part of the map between centred Gaussians, and the trace of the root."""
    xp = array_namespace(S)
    values, U = xp.linalg.eigh(S)
    values = xp.where(values > 0, values, xp.zeros_like(values))
    floor = RANK_TOL * xp.max(values)
    kept = values > floor
    root = xp.sqrt(values)
    inverse = xp.where(kept, 1.0 / xp.where(kept, root, xp.ones_like(root)), 0.0 * root)
    Ut = xp.matrix_transpose(U)
    half = (U * root) @ Ut
    inner, V = xp.linalg.eigh(half @ T @ half)
    inner = xp.sqrt(xp.where(inner > 0, inner, xp.zeros_like(inner)))
    middle = (V * inner) @ xp.matrix_transpose(V)
    outer = (U * inverse) @ Ut
    return outer @ middle @ outer, xp.sum(inner)
