# SPDX-License-Identifier: BSD-3-Clause
"""Denoisers that learn their parameters from pairs of noisy and clean images."""

import contextlib
import math
import numbers
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from numopt import _validation as v
from numopt._array.namespace import array_namespace, device, to_numpy
from numopt._estimator.sklearn_compat import Interval, StrOptions, fit_context
from numopt._iterate.stopping import warn_not_converged
from numopt._kernels.threads import config_context
from numopt.bilevel._problem.images import CleanUpper, check_pair
from numopt.bilevel._problem.protocols import BilevelProblem
from numopt.bilevel._problem.tv import TVDenoisingProblem, TVLower
from numopt.bilevel._solvers.maid import maid
from numopt.bilevel._solvers.single import solve_lower
from numopt.typing import Array

__all__ = ["TVDenoiser"]

#: Range of the logarithm of the weight.
WEIGHTS = (-12.0, 3.0)


class TVDenoiser(TransformerMixin, BaseEstimator):
    r"""Total variation denoising whose weight and smoothing are learned from pairs.

    .. math:: \min_x \tfrac12 \|x - y\|^2
              + \lambda \sum_{ij} \left(\sqrt{|\nabla x|_{ij}^2 + \nu^2} - \nu\right)

    with the weight and the smoothing that bring the noisy images nearest to the clean
    ones in the mean square.

    Parameters
    ----------
    isotropic : bool, default=True
        Whether both differences of a pixel share a root.
    smoothing : float or "learn", default="learn"
        The smoothing nu, or learn it too.
    smoothing_bounds : tuple of (low, high), default=(5e-3, 1.0)
        Bounds of a learned smoothing, for images in [0, 1]. Small values cost
        iterations and hardly change photographs; piecewise constant images want them.
    theta0 : array-like of shape (2,) or (1,), default=None
        Start of the logarithms of weight and smoothing (weight only when the smoothing
        is fixed); None starts from the noise level.
    tol : float, default=1e-3
        Relative decrease of the training error at which learning stops.
    max_iter : int, default=30
        Bound on outer steps.
    predict_tol : float, default=1e-3
        Root mean square distance of a prediction from the exact minimiser, certified.
    n_jobs : int, default=None
        Threads; None takes numopt's setting. Results do not depend on it.
    dtype : str or None, default=None
        "float32" or "float64" to compute in; None takes that of the images.
    verbose : int, default=0
        0 silent, 1 progress bar, 2 log lines.

    Attributes
    ----------
    weight_ : float
        Learned weight, in the convention of scikit-image's ``denoise_tv_chambolle``.
    smoothing_ : float
        Smoothing.
    train_error_ : float
        Mean squared error on the training pairs.
    result_ : BilevelResult
        The outer run, with certified bounds.
    n_iter_ : int
        Outer steps.

    See Also
    --------
    TVDenoisingProblem : The bilevel problem.

    Notes
    -----
    Images are (H, W), (B, H, W) or (B, H, W, C) with channels denoised separately; an
    array of three dimensions is a batch of grey images. Integer images are scaled by
    the range of their type, floats are taken to be in [0, 1]. Because input is not a
    table of features, scikit-learn's checks that feed one are left out by the tag
    ``two_d_array=False``.

    References
    ----------
    Rudin, Osher & Fatemi (1992), Nonlinear total variation based noise removal
    algorithms, Physica D 60. Chambolle & Pock (2016), An introduction to continuous
    optimization for imaging, Acta Numerica 25.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.bilevel import TVDenoiser
    >>> rng = np.random.default_rng(0)
    >>> clean = np.zeros((2, 24, 24))
    >>> clean[:, 6:18, 6:18] = 1.0
    >>> noisy = clean + 0.1 * rng.normal(size=clean.shape)
    >>> model = TVDenoiser().fit(noisy[:1], clean[:1])
    >>> gain = model.score(noisy[1:], clean[1:]) + 10 * np.log10(0.01)
    >>> bool(gain > 5)
    True
    """

    _parameter_constraints = {
        "isotropic": ["boolean"],
        "smoothing": [
            StrOptions({"learn"}),
            Interval(numbers.Real, 0, None, closed="neither"),
        ],
        "smoothing_bounds": [tuple, list],
        "theta0": ["array-like", None],
        "tol": [Interval(numbers.Real, 0, None, closed="left")],
        "max_iter": [Interval(numbers.Integral, 1, None, closed="left")],
        "predict_tol": [Interval(numbers.Real, 0, None, closed="neither")],
        "n_jobs": [Interval(numbers.Integral, 1, None, closed="left"), None],
        "dtype": [StrOptions({"float32", "float64"}), None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        isotropic: bool = True,
        smoothing: float | str = "learn",
        smoothing_bounds: tuple[float, float] = (5e-3, 1.0),
        theta0: Any = None,
        tol: float = 1e-3,
        max_iter: int = 30,
        predict_tol: float = 1e-3,
        n_jobs: int | None = None,
        dtype: str | None = None,
        verbose: int = 0,
    ) -> None:
        self.isotropic = isotropic
        self.smoothing = smoothing
        self.smoothing_bounds = smoothing_bounds
        self.theta0 = theta0
        self.tol = tol
        self.max_iter = max_iter
        self.predict_tol = predict_tol
        self.n_jobs = n_jobs
        self.dtype = dtype
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        """Images, not a table of features; clean images are required."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.target_tags.required = True
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, noisy: Array, clean: Array) -> Self:
        """Learn weight and smoothing.

        Parameters
        ----------
        noisy, clean : array of shape (H, W), (B, H, W) or (B, H, W, C)
            Pairs of images.

        Returns
        -------
        TVDenoiser
            The estimator itself.
        """
        if tuple(np.shape(noisy)) != tuple(np.shape(clean)):
            raise ValueError(
                v.message(
                    "clean",
                    f"of the shape of `noisy` {tuple(np.shape(noisy))}",
                    f"shape {tuple(np.shape(clean))}",
                )
            )
        first, second = (
            _flat(self._converted(name, one))
            for name, one in (("noisy", noisy), ("clean", clean))
        )
        first, second = check_pair(first, second)
        with self._threads():
            result = self._learn(first, second)
        if not result.converged:
            warn_not_converged(type(self).__name__, result.message)
        scalars = np.exp(to_numpy(result.theta))
        self.weight_ = float(scalars[0])
        learned = self.smoothing == "learn"
        self.smoothing_ = float(scalars[1] if learned else self.smoothing)
        self.train_error_ = 2 * result.value / (first.shape[1] * first.shape[2])
        self.result_ = result
        self.n_iter_ = max(1, result.n_iter)
        return self

    def _learn(self, noisy: Array, clean: Array) -> Any:
        fixed = None if self.smoothing == "learn" else float(self.smoothing)
        low, high = [WEIGHTS[0]], [WEIGHTS[1]]
        if fixed is None:
            bottom, top = self._smoothing_range()
            low.append(math.log(bottom))
            high.append(math.log(top))
        size = len(low)
        start = TVDenoisingProblem(noisy, clean, self.isotropic).theta0
        assert start is not None
        xp = array_namespace(start)
        if self.theta0 is None:
            ends = (
                xp.asarray(side, dtype=xp.float64, device=device(start))
                for side in (low, high)
            )
            bottom_end, top_end = ends
            theta0 = xp.minimum(xp.maximum(start[:size], bottom_end), top_end)
        else:
            given = np.asarray(to_numpy(self.theta0), np.float64)
            v.check_shape("theta0", given, (size,))
            theta0 = xp.asarray(given, device=device(start))
        problem = BilevelProblem(
            TVLower(noisy, self.isotropic, fixed),
            CleanUpper(clean),
            bounds=(np.asarray(low), np.asarray(high)),
        )
        return maid(
            problem,
            theta0,
            max_step=1.0,
            tau=0.1,
            ftol=self.tol,
            max_iter=self.max_iter,
            verbose=self.verbose,
            warn=False,
        )

    def _smoothing_range(self) -> tuple[float, float]:
        values = tuple(self.smoothing_bounds)
        if len(values) != 2:
            raise ValueError(
                v.message("smoothing_bounds", "a pair (low, high)", values)
            )
        low, high = (
            v.check_real("smoothing_bounds", one, low=0, include_low=False)
            for one in values
        )
        if not low < high:
            raise ValueError(v.message("smoothing_bounds", "low < high", values))
        return low, high

    def _threads(self) -> Any:
        if self.n_jobs is None:
            return contextlib.nullcontext()
        return config_context(num_threads=self.n_jobs)

    def _converted(self, name: str, images: Any) -> Array:
        """Images as floats; integers are divided by the largest of their type."""
        array = np.asarray(images) if isinstance(images, list | tuple) else images
        kind = getattr(array, "dtype", None)
        if isinstance(array, np.ndarray) and array.dtype.kind == "b":
            raise ValueError(v.message(name, "grey values", "booleans"))
        if isinstance(array, np.ndarray) and array.dtype.kind in "iu":
            array = array / float(np.iinfo(kind).max)
        xp, (made,) = v.float_arrays(**{name: array})
        if made is None or made.ndim not in (2, 3, 4):
            shape = () if made is None else tuple(made.shape)
            raise ValueError(
                v.message(name, "(H, W), (B, H, W) or (B, H, W, C)", f"shape {shape}")
            )
        if self.dtype is not None:
            made = xp.astype(made, getattr(xp, self.dtype), copy=False)
        return made

    def predict(self, noisy: Array) -> Array:
        """Denoise.

        Parameters
        ----------
        noisy : array of shape (H, W), (B, H, W) or (B, H, W, C)
            Images of any size.

        Returns
        -------
        array of the shape of ``noisy``
            Denoised images, floats in the scale of [0, 1].
        """
        check_is_fitted(self)
        images = self._converted("noisy", noisy)
        flat = _flat(images)
        flat, _ = check_pair(flat, flat)
        xp = array_namespace(flat)
        theta = xp.asarray(
            [math.log(self.weight_)], dtype=xp.float64, device=device(flat)
        )
        with self._threads():
            # One image at a time: an image's answer does not depend on the others.
            parts = [
                self._denoised(flat[b : b + 1, :, :], theta)
                for b in range(flat.shape[0])
            ]
        return _restored(xp.concat(parts, axis=0), images)

    def _denoised(self, image: Array, theta: Array) -> Array:
        lower = TVLower(image, self.isotropic, self.smoothing_)
        problem = BilevelProblem(lower, CleanUpper(image))
        distance = self.predict_tol * math.sqrt(image.shape[1] * image.shape[2])
        return solve_lower(problem, theta, tol=distance).x

    def transform(self, noisy: Array) -> Array:
        """Denoise, as ``predict``.

        Parameters
        ----------
        noisy : array of shape (H, W), (B, H, W) or (B, H, W, C)
            Images of any size.

        Returns
        -------
        array of the shape of ``noisy``
            Denoised images.
        """
        return self.predict(noisy)

    def score(self, noisy: Array, clean: Array) -> float:
        """Mean peak signal-to-noise ratio of the denoised images, in decibels.

        Parameters
        ----------
        noisy, clean : array of shape (H, W), (B, H, W) or (B, H, W, C)
            Pairs of images.

        Returns
        -------
        float
            Mean over the images (and channels), for a range of 1.
        """
        out, truth = self.predict(noisy), self._converted("clean", clean)
        out, truth = check_pair(_flat(out), _flat(truth))
        xp = array_namespace(out)
        errors = to_numpy(xp.mean((out - truth) ** 2, axis=(1, 2)))
        return float(np.mean(-10 * np.log10(np.maximum(errors, 1e-30))))


def _flat(images: Array) -> Array:
    """A batch (B, H, W); channels become images."""
    xp = array_namespace(images)
    if images.ndim == 2:
        return images[None, :, :]
    if images.ndim == 4:
        B, H, W, C = images.shape
        return xp.reshape(xp.permute_dims(images, (0, 3, 1, 2)), (B * C, H, W))
    return images


def _restored(flat: Array, like: Array) -> Array:
    """Undo ``_flat``."""
    xp = array_namespace(flat)
    if like.ndim == 2:
        return flat[0, :, :]
    if like.ndim == 4:
        B, H, W, C = like.shape
        return xp.permute_dims(xp.reshape(flat, (B, C, H, W)), (0, 2, 3, 1))
    return flat
