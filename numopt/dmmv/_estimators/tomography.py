# SPDX-License-Identifier: BSD-3-Clause
"""Reconstruct images of few levels from few projections."""

import time
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from numopt import _validation as v
from numopt._array.sparse import is_sparse
from numopt._estimator.sklearn_compat import (
    Interval,
    Options,
    StrOptions,
    fit_context,
    validate_data,
)
from numopt._iterate.loop import iterate
from numopt.dmmv._problem.data import check_matrix, host_array
from numopt.dmmv._solvers.minimize import seed_of
from numopt.dmmv._solvers.projector import parallel_beam_matrix
from numopt.dmmv._solvers.tomography import (
    ROUNDS,
    STRENGTH,
    Tomography,
    TomographySolver,
    neighbours,
    sirt,
)
from numopt.typing import Array

__all__ = ["DiscreteTomography"]


class DiscreteTomography(BaseEstimator):
    r"""Image of few levels whose projections fit, and which is smooth.

    .. math::

       \min_{x \in S^n} \sum_i \left| \frac{(Ax - b)_i}{\tau} \right|^p
       + \lambda \, \#\{\text{unequal neighbours}\}

    with the noise bound :math:`\tau` and p = 2 for "l2", 4 for "max".

    Parameters
    ----------
    levels : array-like of shape (L,), default=(0, 1)
        Values that pixels take, at least two.
    theta : array-like of shape (n_angles,), default=None
        Angles of the sinogram's columns in degrees; None means evenly spaced over 180,
        as in scikit-image.
    image_shape : tuple of int, default=None
        Rows and columns; None means a square whose diagonal is the detector.
    criterion : {"l2", "max"}, default="l2"
        Data term. "max" keeps the worst residual small: it lowers that directly at the
        end, while it exceeds the noise bound.
    noise : float, default=None
        Bound on the noise of a measurement; None estimates it from the residual of
        the thresholded start.
    smoothness : float or "auto", default="auto"
        Price of an unequal pair of neighbours, where a residual as large as the noise
        bound costs 1. "auto" is 1.7 whatever the data.
    max_iter : int, default=10
        Largest number of annealing rounds.
    method : {"anneal", "sirt"}, default="anneal"
        Annealing with single pixels and exchanges of neighbours, or the thresholded
        start alone.
    init : {"sirt", "dart"}, default="sirt"
        Start: 800 steps of SIRT, thresholded; or DART from there.
    tol : float, default=0.0
        Stop when so many of the annealing rounds are left.
    random_state : int, RandomState or None, default=None
        Seed; None is the fixed seed 0.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.
    time_limit : float, default=None
        Seconds, checked between rounds.

    Attributes
    ----------
    image_ : ndarray of shape image_shape
        Reconstruction.
    violation_ : float
        Largest absolute residual.
    lower_bound_ : float
        No image of values in the range of the levels fits better; often 0.
    smoothness_ : float
        Strength of the prior that was used.
    noise_ : float
        Noise bound that was used.
    n_iter_ : int
        Annealing rounds, at most five.
    history_ : dict of str to ndarray
        Energy and violation, one entry a round.
    n_features_in_ : int
        Number of angles (columns of the sinogram).

    See Also
    --------
    parallel_beam_matrix : The projection in use.

    Notes
    -----
    Noise that is uniform within a bound says nothing about images whose residuals stay
    within it: minimising the largest residual alone gives worse images than a
    thresholded SIRT. The gain comes from the prior. Five rounds go from a wide noise
    bound, under which the prior decides, to the given one. A round makes 400 proposals
    a pixel, each of cost proportional to the number of angles.

    References
    ----------
    Batenburg, Sijbers, "DART", IEEE Trans. Image Processing 20, 2011. Gilbert,
    "Iterative methods for the three-dimensional reconstruction of an object from
    projections", 1972 (SIRT).

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.dmmv import DiscreteTomography, parallel_beam_matrix
    >>> image = np.zeros((12, 12))
    >>> image[3:8, 4:9] = 1.0
    >>> theta = [0.0, 45.0, 90.0, 135.0]
    >>> sinogram = parallel_beam_matrix((12, 12), theta) @ image.ravel()
    >>> model = DiscreteTomography(theta=theta, image_shape=(12, 12), noise=0.1)
    >>> model = model.fit(sinogram.reshape(-1, 4))
    >>> model.score(image)
    0.0
    """

    _parameter_constraints: dict[str, list[Any]] = {
        "levels": ["array-like"],
        "theta": ["array-like", None],
        "image_shape": [tuple, list, None],
        "criterion": [StrOptions({"l2", "max"})],
        "noise": [Interval(Real, 0, None, closed="neither"), None],
        "smoothness": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "method": [StrOptions({"anneal", "sirt"})],
        "init": [StrOptions({"sirt", "dart"})],
        "tol": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
        "verbose": [Options(Integral, {0, 1, 2}), "boolean"],
        "time_limit": [Interval(Real, 0, None, closed="neither"), None],
    }

    def __init__(
        self,
        levels: Any = (0, 1),
        theta: Any = None,
        image_shape: Any = None,
        criterion: str = "l2",
        noise: float | None = None,
        smoothness: Any = "auto",
        max_iter: int = 10,
        method: str = "anneal",
        init: str = "sirt",
        tol: float = 0.0,
        random_state: Any = None,
        verbose: int = 0,
        time_limit: float | None = None,
    ) -> None:
        self.levels = levels
        self.theta = theta
        self.image_shape = image_shape
        self.criterion = criterion
        self.noise = noise
        self.smoothness = smoothness
        self.max_iter = max_iter
        self.method = method
        self.init = init
        self.tol = tol
        self.random_state = random_state
        self.verbose = verbose
        self.time_limit = time_limit

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, sinogram: Array, y: Any = None, *, matrix: Any = None) -> Self:
        """Reconstruct.

        Parameters
        ----------
        sinogram : array-like of shape (n_detectors, n_angles)
            Projections as of ``skimage.transform.radon(..., circle=False)``; with a
            ``matrix`` measurements of shape (n_rays,).
        y : None
            Ignored.
        matrix : sparse matrix of shape (n_rays, n_pixels), default=None
            Projection to use instead; ``theta`` is not needed then.

        Returns
        -------
        DiscreteTomography
            The estimator itself.
        """
        started = time.perf_counter()
        if matrix is None:
            A, b, shape = self._from_sinogram(sinogram)
        else:
            A, b, shape = self._from_matrix(sinogram, matrix)
        problem = self._problem(A, b, shape)
        auto = self.smoothness == "auto"
        strength = STRENGTH if auto else float(self.smoothness)
        solver = TomographySolver(
            criterion=self.criterion,
            strength=strength,
            init_method=self.init,
            seed=seed_of(self.random_state),
            time_limit=self.time_limit,
            started=started,
            rounds=min(ROUNDS, self.max_iter),
        )
        fields = iterate(
            solver,
            problem,
            tol=np.inf if self.method == "sirt" else self.tol,
            max_iter=self.max_iter,
            verbose=int(self.verbose),
            warn=False,
        )
        self.image_ = problem.levels[fields["labels"]].reshape(shape)
        self.violation_ = fields["violation"]
        self.smoothness_ = strength
        self.noise_ = problem.noise
        self.lower_bound_ = _range_bound(problem)
        self.n_iter_ = fields["n_iter"]
        self.history_ = fields["history"]
        return self

    def _from_sinogram(
        self, sinogram: Array
    ) -> tuple[sp.csc_array, np.ndarray, tuple[int, int]]:
        data = validate_data(self, sinogram, dtype=np.float64)
        detectors, angles = data.shape
        theta = self.theta
        if theta is None:
            theta = np.linspace(0.0, 180.0, angles, endpoint=False)
        if len(theta) != angles:
            raise ValueError(
                v.message("theta", f"{angles} angles, one a column", len(theta))
            )
        if self.image_shape is None:
            side = max(1, int(np.floor(detectors / np.sqrt(2))))
            shape = (side, side)
        else:
            shape = (int(self.image_shape[0]), int(self.image_shape[1]))
        return (
            parallel_beam_matrix(shape, theta, n_detectors=detectors),
            data.ravel(),
            shape,
        )

    def _from_matrix(
        self, b: Array, matrix: Any
    ) -> tuple[sp.csc_array, np.ndarray, tuple[int, int]]:
        if not is_sparse(matrix):
            matrix = sp.csc_array(check_matrix(matrix, "matrix"))
        A = check_matrix(matrix, "matrix")
        data = host_array("sinogram", b).ravel()
        v.check_shape("sinogram", data, (A.shape[0],), why="as `matrix` has rows")
        v.check_values("sinogram", data)
        self.n_features_in_ = 1
        n = A.shape[1]
        if self.image_shape is None:
            side = int(np.rint(np.sqrt(n)))
            shape = (side, side) if side * side == n else (1, n)
        else:
            shape = (int(self.image_shape[0]), int(self.image_shape[1]))
        if shape[0] * shape[1] != n:
            raise ValueError(v.message("image_shape", f"of {n} pixels", f"{shape}"))
        return A, data, shape

    def _problem(
        self, A: sp.csc_array, b: np.ndarray, shape: tuple[int, int]
    ) -> Tomography:
        levels = np.unique(host_array("levels", np.asarray(self.levels)).ravel())
        v.check_values("levels", levels)
        if levels.size < 2:
            raise ValueError(v.message("levels", "at least two values", levels.size))
        A.indices = A.indices.astype(np.int64)
        A.indptr = A.indptr.astype(np.int64)
        noise = self.noise
        if noise is None:
            # What a real-valued image in the same box leaves: noise, and no more.
            x = sirt(A, b, levels[0], levels[-1], 200)
            residual = np.abs(A @ x - b)
            size = np.max(np.abs(b), initial=0.0)
            noise = max(float(np.max(residual, initial=0.0)), 1e-3 * size, 1e-6)
        start, end = neighbours(shape)
        return Tomography(A, b, levels, start, end, float(noise))

    def fit_predict(self, sinogram: Array, y: Any = None, *, matrix: Any = None) -> Any:
        """Reconstruct and return the image.

        Parameters
        ----------
        sinogram : array-like of shape (n_detectors, n_angles)
            Projections, as in ``fit``.
        y : None
            Ignored.
        matrix : sparse matrix of shape (n_rays, n_pixels), default=None
            Projection to use instead.

        Returns
        -------
        ndarray of shape image_shape
            ``image_``.
        """
        return self.fit(sinogram, matrix=matrix).image_

    def score(self, image: Array, y: Any = None) -> float:
        """Return minus the fraction of pixels that differ from an image.

        Parameters
        ----------
        image : array-like of shape image_shape
            True image.
        y : None
            Ignored.

        Returns
        -------
        float
            Minus the misclassified fraction, 0 at best.
        """
        check_is_fitted(self)
        truth = np.asarray(image)
        v.check_shape("image", truth, self.image_.shape, why="as the reconstruction")
        return -float(np.mean(truth != self.image_)) + 0.0


def _range_bound(problem: Tomography) -> float:
    """Distance of the measurements to what values in the range of the levels give."""
    by_row = sp.csr_array(problem.A)
    low, high = problem.levels[0], problem.levels[-1]
    positive = np.asarray(by_row.maximum(0).sum(axis=1)).ravel()
    negative = np.asarray(by_row.minimum(0).sum(axis=1)).ravel()
    top = positive * high + negative * low
    bottom = positive * low + negative * high
    outside = np.maximum(problem.b - top, bottom - problem.b)
    return float(max(np.max(outside, initial=0.0), 0.0))
