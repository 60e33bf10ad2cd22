# SPDX-License-Identifier: BSD-3-Clause
"""What learned denoisers share: images in and out, prediction, the score."""

import abc
import contextlib
import math
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from numopt import _validation as v
from numopt._array.namespace import array_namespace, to_numpy
from numopt._estimator.sklearn_compat import fit_context
from numopt._kernels.threads import config_context
from numopt.bilevel._problem.images import check_pair
from numopt.bilevel._problem.protocols import BilevelProblem
from numopt.bilevel._solvers.result import BilevelResult
from numopt.bilevel._solvers.single import solve_lower
from numopt.typing import Array

__all__ = ["ImageDenoiser"]

#: Grey values that spread over 1 within this factor are taken as they are.
USUAL = 16.0


class ImageDenoiser(TransformerMixin, BaseEstimator, abc.ABC):
    """A denoiser fitted on pairs; subclasses have ``n_jobs, dtype, predict_tol``."""

    n_jobs: int | None
    dtype: str | None
    predict_tol: float

    def __sklearn_tags__(self) -> Any:
        """Images, not a table of features; clean images are required."""
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.target_tags.required = True
        return tags

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, noisy: Array, clean: Array) -> Self:
        """Learn from pairs of noisy and clean images.

        Parameters
        ----------
        noisy, clean : array of shape (H, W), (B, H, W) or (B, H, W, C)
            Pairs of images.

        Returns
        -------
        ImageDenoiser
            The estimator itself.
        """
        first, second = self._pair(noisy, clean)
        self.unit_ = _unit(second)
        with self._threads():
            self.result_ = self._fitted(first / self.unit_, second / self.unit_)
        self.n_iter_ = max(1, self.result_.n_iter)
        return self

    @abc.abstractmethod
    def _fitted(self, noisy: Array, clean: Array) -> BilevelResult:
        """Learn from batches (B, H, W): set the learned attributes."""

    @abc.abstractmethod
    def _prediction_problem(self, image: Array) -> tuple[BilevelProblem, Array]:
        """The lower level of one image (1, H, W) and the learned hyper-parameters."""

    def _pair(self, noisy: Array, clean: Array) -> tuple[Array, Array]:
        """Both batches as (B, H, W) floats of one shape."""
        if tuple(np.shape(noisy)) != tuple(np.shape(clean)):
            raise ValueError(
                v.message(
                    "clean",
                    f"of the shape of `noisy` {tuple(np.shape(noisy))}",
                    f"shape {tuple(np.shape(clean))}",
                )
            )
        first = _flat(self._converted("noisy", noisy))
        return check_pair(first, _flat(self._converted("clean", clean)))

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
            Denoised images, floats in the scale of [0, 1] where ``noisy`` holds
            integers, in that of ``noisy`` otherwise.
        """
        check_is_fitted(self)
        images = self._converted("noisy", noisy)
        flat = _flat(images)
        flat, _ = check_pair(flat, flat)
        with self._threads():
            # One image at a time: an image's answer does not depend on the others.
            parts = [
                self.unit_ * self._denoised(flat[b : b + 1, :, :] / self.unit_)
                for b in range(flat.shape[0])
            ]
        return _restored(array_namespace(flat).concat(parts, axis=0), images)

    def _denoised(self, image: Array) -> Array:
        """One image (1, H, W), within ``predict_tol`` of the minimiser."""
        problem, theta = self._prediction_problem(image)
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
            Mean over the images (and channels), for a range of ``unit_``.
        """
        out, truth = self.predict(noisy), self._converted("clean", clean)
        out, truth = check_pair(_flat(out), _flat(truth))
        xp = array_namespace(out)
        difference = (out - truth) / self.unit_
        errors = to_numpy(xp.mean(difference**2, axis=(1, 2)))
        return float(np.mean(-10 * np.log10(np.maximum(errors, 1e-30))))


def _unit(clean: Array) -> float:
    """1 where grey values spread over something like [0, 1], else a power of two."""
    xp = array_namespace(clean)
    spread = float(to_numpy(xp.max(clean) - xp.min(clean)))
    if spread == 0.0 or 1.0 / USUAL <= spread <= USUAL:
        return 1.0
    return 2.0 ** round(math.log2(spread))


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
