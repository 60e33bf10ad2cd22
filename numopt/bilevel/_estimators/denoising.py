# SPDX-License-Identifier: BSD-3-Clause
"""Total variation denoising, its weight and smoothing learned from pairs."""

import math
import numbers
from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import array_namespace, device, to_numpy
from numopt._docstring import fill_docstring
from numopt._estimator.sklearn_compat import Interval, StrOptions
from numopt._iterate.stopping import warn_not_converged
from numopt.bilevel._estimators.images import ImageDenoiser
from numopt.bilevel._estimators.shared_docs import PARTS
from numopt.bilevel._problem.images import CleanUpper, noise_level
from numopt.bilevel._problem.protocols import BilevelProblem
from numopt.bilevel._problem.tv import TVLower
from numopt.bilevel._solvers.maid import maid
from numopt.bilevel._solvers.result import BilevelResult
from numopt.typing import Array

__all__ = ["TVDenoiser"]

#: Range of the logarithm of the weight.
WEIGHTS = (-12.0, 3.0)
#: Where learning starts, in units of the noise.
FIRST_WEIGHT, FIRST_SMOOTHING = 0.65, 0.05
#: The error's second derivative in log weight is about the noise over this.
FIRST_STEP = 3.5


@fill_docstring(**PARTS)
class TVDenoiser(ImageDenoiser):
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
    {predict_tol}
    dtype : str or None, default=None
        "float32" or "float64" to compute in; None learns in float32 and predicts in
        the type of the images.
    {verbose}

    Attributes
    ----------
    weight_ : float
        Learned weight, in the convention of scikit-image's ``denoise_tv_chambolle``.
    smoothing_ : float
        Smoothing.
    train_error_ : float
        Mean squared error on the training pairs.
    unit_ : float
        What images are divided by.
    result_ : BilevelResult
        The outer run; its bounds are estimates, as it learns in float32.
    n_iter_ : int
        Outer steps.

    See Also
    --------
    TVDenoisingProblem : The bilevel problem.

    Notes
    -----
    Images are (H, W), (B, H, W) or (B, H, W, C) with channels denoised separately; an
    array of three dimensions is a batch of grey images. Integer images are scaled by
    the range of their type, floats are taken to spread over about 1. Where the clean
    ones spread over more or less by a factor beyond 16, all images are divided by
    ``unit_``, a power of two near it, and every parameter and attribute is meant for
    the divided images. Because input is not a table of features, scikit-learn's checks
    that feed one are left out by the tag ``two_d_array=False``.

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

    def _fitted(self, noisy: Array, clean: Array) -> BilevelResult:
        """Learn weight and smoothing."""
        result = self._learn(noisy, clean)
        if not result.converged:
            warn_not_converged(type(self).__name__, result.message)
        scalars = np.exp(to_numpy(result.theta))
        self.weight_ = float(scalars[0])
        learned = self.smoothing == "learn"
        self.smoothing_ = float(scalars[1] if learned else self.smoothing)
        self.train_error_ = 2 * result.value / (noisy.shape[1] * noisy.shape[2])
        return result

    def _learn(self, noisy: Array, clean: Array) -> BilevelResult:
        """Run ``maid`` on the pairs, in float32 unless a type was asked for."""
        fixed = None if self.smoothing == "learn" else float(self.smoothing)
        low, high = [WEIGHTS[0]], [WEIGHTS[1]]
        if fixed is None:
            bottom, top = self._smoothing_range()
            low.append(math.log(bottom))
            high.append(math.log(top))
        size = len(low)
        xp, where = array_namespace(noisy), device(noisy)
        if self.theta0 is None:
            noise = noise_level(noisy, clean)
            first = [math.log(FIRST_WEIGHT * noise), math.log(FIRST_SMOOTHING * noise)]
            inside = np.clip(first[:size], low, high)
            theta0 = xp.asarray(inside, dtype=xp.float64, device=where)
        else:
            given = np.asarray(to_numpy(self.theta0), np.float64)
            v.check_shape("theta0", given, (size,))
            theta0 = xp.asarray(given, device=where)
        if self.dtype is None:
            noisy, clean = (xp.astype(one, xp.float32) for one in (noisy, clean))
        pixels = noisy.shape[1] * noisy.shape[2]
        problem = BilevelProblem(
            TVLower(noisy, self.isotropic, fixed),
            CleanUpper(clean),
            bounds=(np.asarray(low), np.asarray(high)),
        )
        return maid(
            problem,
            theta0,
            accuracy="estimate",
            step0=FIRST_STEP / (noise_level(noisy, clean) ** 2 * pixels),
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

    def _prediction_problem(self, image: Array) -> tuple[BilevelProblem, Array]:
        xp = array_namespace(image)
        theta = xp.asarray(
            [math.log(self.weight_)], dtype=xp.float64, device=device(image)
        )
        lower = TVLower(image, self.isotropic, self.smoothing_)
        return BilevelProblem(lower, CleanUpper(image)), theta
