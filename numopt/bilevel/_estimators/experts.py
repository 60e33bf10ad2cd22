# SPDX-License-Identifier: BSD-3-Clause
"""Denoising by fields of experts whose filters are learned from pairs."""

import math
import numbers
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt._docstring import fill_docstring
from numopt._estimator.sklearn_compat import Interval, StrOptions
from numopt._iterate.stopping import warn_not_converged
from numopt.bilevel._estimators.images import ImageDenoiser
from numopt.bilevel._estimators.shared_docs import PARTS
from numopt.bilevel._problem.experts import (
    ExpertsLower,
    FoEDenoisingProblem,
    first_filters,
)
from numopt.bilevel._problem.fidelity import RIDGE
from numopt.bilevel._problem.images import CleanUpper
from numopt.bilevel._problem.protocols import BilevelProblem
from numopt.bilevel._problem.tv import TVDenoisingProblem
from numopt.bilevel._solvers.maid import maid
from numopt.bilevel._solvers.result import BilevelResult
from numopt.bilevel._solvers.single import solve_lower
from numopt.typing import Array

__all__ = ["FoEDenoiser"]

#: Accepted steps without a better validation error, after which learning stops.
PATIENCE = 10
#: Weight of the other filters at the start, as a share of that of the differences.
SMALL = 0.02
#: Root mean square accuracy of validation predictions.
VALIDATION = 1e-3


@fill_docstring(**PARTS)
class FoEDenoiser(ImageDenoiser):
    r"""Denoising (or deblurring) by fields of experts learned from pairs of images.

    .. math:: \min_x \tfrac12 \|K x - y\|^2 + \sum_k a_k \sum_{ij}
              \left(\sqrt{(c_k * x)_{ij}^2 + b_k^2} - b_k\right)

    with the filters, weights and smoothings that bring noisy patches nearest to the
    clean ones in the mean square. Learning starts from total variation with its best
    weight and stops early on patches held out, so that it does not end worse there.

    Parameters
    ----------
    n_filters : int, default=24
        Number of experts, at least 2.
    filter_size : int, default=5
        Width and height of the filters.
    init : {"dct", "random"}, default="dct"
        First filters beside two differences: cosines, or random ones.
    max_iter : int, default=200
        Bound on outer steps.
    max_work : int, default=5000
        Bound on lower gradients plus Hessian products, validation not counted.
    patch_size : int, default=64
        Width and height of the training patches (at most that of the images).
    n_patches : int, default=32
        Number of patches, drawn at random.
    validation_fraction : float, default=0.2
        Share of the patches held out to choose among the steps; 0 holds none out.
    blur : array-like of shape (m, m), default=None
        Known convolution kernel of odd width that blurred the noisy images.
    tol : float, default=1e-4
        Relative decrease of the training error at which learning stops.
    {predict_tol}
    dtype : str or None, default=None
        "float32" or "float64" to compute in; None takes that of the images.
    random_state : int, RandomState or None, default=None
        Draws patches and random filters.
    {verbose}

    Attributes
    ----------
    filters_ : ndarray of shape (n_filters, filter_size, filter_size)
        Filters of mean 0 and norm 1, the heaviest first.
    weights_, smoothings_ : ndarray of shape (n_filters,)
        Weights a and smoothings b.
    validation_error_, validation_error_start_ : float
        Mean squared error on the patches held out, of the answer and of total
        variation; on the training patches where none are held out.
    unit_ : float
        What images are divided by, see ``TVDenoiser``.
    result_ : BilevelResult
        The outer run; the answer may be an earlier step of it.
    n_iter_ : int
        Outer steps.

    See Also
    --------
    FoEDenoisingProblem : The bilevel problem.
    TVDenoiser : Two numbers instead of filters.

    Notes
    -----
    Images are as for ``TVDenoiser``. A lower gradient takes about
    ``4 n_filters filter_size**2`` operations a pixel: the default fit is minutes of
    work for one core, in float32 half of them.

    References
    ----------
    Roth & Black (2009), Fields of experts, IJCV 82. Salehi, Mukherjee, Roberts &
    Ehrhardt (2025), SIAM J. Math. Data Sci. 7(3).

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.bilevel import FoEDenoiser
    >>> rng = np.random.default_rng(0)
    >>> clean = np.zeros((2, 16, 16))
    >>> clean[:, 4:12, 4:12] = 1.0
    >>> noisy = clean + 0.1 * rng.normal(size=clean.shape)
    >>> model = FoEDenoiser(3, 3, max_work=60, n_patches=3, patch_size=12)
    >>> model = model.set_params(random_state=0).fit(noisy, clean)
    >>> bool(model.validation_error_ <= model.validation_error_start_)
    True
    """

    _parameter_constraints = {
        "n_filters": [Interval(numbers.Integral, 2, None, closed="left")],
        "filter_size": [Interval(numbers.Integral, 2, None, closed="left")],
        "init": [StrOptions({"dct", "random"})],
        "max_iter": [Interval(numbers.Integral, 1, None, closed="left")],
        "max_work": [Interval(numbers.Integral, 1, None, closed="left")],
        "patch_size": [Interval(numbers.Integral, 2, None, closed="left")],
        "n_patches": [Interval(numbers.Integral, 1, None, closed="left")],
        "validation_fraction": [Interval(numbers.Real, 0, 1, closed="left")],
        "blur": ["array-like", None],
        "tol": [Interval(numbers.Real, 0, None, closed="left")],
        "predict_tol": [Interval(numbers.Real, 0, None, closed="neither")],
        "n_jobs": [Interval(numbers.Integral, 1, None, closed="left"), None],
        "dtype": [StrOptions({"float32", "float64"}), None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_filters: int = 24,
        filter_size: int = 5,
        init: str = "dct",
        max_iter: int = 200,
        max_work: int = 5000,
        patch_size: int = 64,
        n_patches: int = 32,
        validation_fraction: float = 0.2,
        blur: Any = None,
        tol: float = 1e-4,
        predict_tol: float = 1e-3,
        n_jobs: int | None = None,
        dtype: str | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.n_filters = n_filters
        self.filter_size = filter_size
        self.init = init
        self.max_iter = max_iter
        self.max_work = max_work
        self.patch_size = patch_size
        self.n_patches = n_patches
        self.validation_fraction = validation_fraction
        self.blur = blur
        self.tol = tol
        self.predict_tol = predict_tol
        self.n_jobs = n_jobs
        self.dtype = dtype
        self.random_state = random_state
        self.verbose = verbose

    def _fitted(self, noisy: Array, clean: Array) -> BilevelResult:
        """Learn filters, weights and smoothings on patches."""
        random = check_random_state(self.random_state)
        train, held_out = self._patches(noisy, clean, random)
        theta0 = self._start(*train, random)
        best = _Best(self._problem(*(held_out or train)), theta0)
        result = maid(
            self._problem(*train),
            theta0,
            accuracy="estimate",
            tau=0.1,
            max_step=1.0,
            ftol=self.tol,
            max_iter=self.max_iter,
            max_work=self.max_work,
            callback=best.look,
            verbose=self.verbose,
            warn=False,
        )
        if not (result.converged or result.status in ("callback", "max_iter")):
            warn_not_converged(type(self).__name__, result.message)
        self.validation_error_, self.validation_error_start_ = best.error, best.first
        self._take(best)
        return result

    def _take(self, best: "_Best") -> None:
        """Keep the experts of the best step, the heaviest first."""
        lower: Any = best.problem.lower
        filters, a, b, _ = lower.experts(best.theta)
        order = np.argsort(-a, kind="stable")
        self.filters_, self.weights_ = filters[order], a[order]
        self.smoothings_ = b[order]

    def _problem(self, noisy: Array, clean: Array) -> FoEDenoisingProblem:
        size = (self.n_filters, self.filter_size)
        return FoEDenoisingProblem(noisy, clean, *size, blur=self.blur)

    def _patches(
        self, noisy: Array, clean: Array, random: np.random.RandomState
    ) -> tuple[tuple[Array, Array], tuple[Array, Array] | None]:
        """Patches to train on, and those held out."""
        B, H, W = noisy.shape
        height, width = (min(self.patch_size, n) for n in (H, W))
        corners = zip(
            random.randint(B, size=self.n_patches),
            random.randint(H - height + 1, size=self.n_patches),
            random.randint(W - width + 1, size=self.n_patches),
            strict=True,
        )
        places = [
            (int(b), slice(int(i), int(i) + height), slice(int(j), int(j) + width))
            for b, i, j in corners
        ]
        held = math.ceil(self.validation_fraction * self.n_patches)
        xp = array_namespace(noisy)

        def cut(chosen: list[Any]) -> tuple[Array, Array]:
            first, second = (
                xp.stack([images[place] for place in chosen])
                for images in (noisy, clean)
            )
            return first, second

        if not 0 < held < self.n_patches:
            return cut(places), None
        return cut(places[held:]), cut(places[:held])

    def _start(
        self, noisy: Array, clean: Array, random: np.random.RandomState
    ) -> Array:
        """Two differences with the best weight of total variation, others small."""
        tv = TVDenoisingProblem(noisy, clean, isotropic=False, blur=self.blur)
        assert tv.theta0 is not None
        best = maid(
            tv,
            tv.theta0,
            accuracy="estimate",
            tau=0.1,
            max_step=1.0,
            ftol=1e-3,
            max_iter=15,
            warn=False,
        )
        lam, nu = np.exp(to_numpy(best.theta))
        k, centre = self.filter_size, (self.filter_size - 1) // 2
        K = self.n_filters
        if self.init == "dct":
            filters = first_filters(K, k)
        else:
            filters = random.standard_normal((K, k, k))
        filters[:2] = 0.0
        filters[:2, centre, centre] = -1.0
        filters[0, centre + 1, centre] = filters[1, centre, centre + 1] = 1.0
        # A difference has length sqrt(2): a phi(u / sqrt(2)) is the penalty of TV.
        weights = np.full(K, math.sqrt(2) * lam * SMALL)
        weights[:2] = math.sqrt(2) * lam
        problem = self._problem(noisy, clean)
        theta = problem.pack(filters, weights, np.full(K, nu / math.sqrt(2)))
        xp = array_namespace(theta)
        low, high = problem.box(theta)
        return xp.minimum(xp.maximum(theta, low), high)

    def _prediction_problem(self, image: Array) -> tuple[BilevelProblem, Array]:
        K, k = self.weights_.shape[0], self.filters_.shape[1]
        lower = ExpertsLower(image, K, k, self.blur, RIDGE)
        parts = np.log(self.weights_), np.log(self.smoothings_), self.filters_.ravel()
        xp = array_namespace(image)
        theta = np.concatenate(parts)
        return (
            BilevelProblem(lower, CleanUpper(image)),
            xp.asarray(theta, dtype=xp.float64, device=device(image)),
        )


class _Best:
    """The step with the smallest error on the patches held out."""

    def __init__(self, problem: FoEDenoisingProblem, theta: Array) -> None:
        self.problem, self.theta = problem, theta
        self.error = self.first = math.inf
        self._x: Array | None = None
        self._since = 0

    def look(self, info: Any) -> bool:
        """Measure a step; True once there was no better one for long."""
        problem = self.problem
        clean = problem.upper.clean  # type: ignore[attr-defined]
        pixels = math.prod(clean.shape)
        found = solve_lower(
            problem,
            info.theta,
            x0=self._x,
            tol=VALIDATION * math.sqrt(pixels),
            warn=False,
        )
        self._x = found.x
        value = problem.upper.value_grad(found.x, info.theta)[0]
        error = 2 * value * clean.shape[0] / pixels
        if info.n_iter == 0:
            self.first = error
        if error < self.error:
            self.error, self.theta, self._since = error, info.theta, 0
        else:
            self._since += 1
        return self._since >= PATIENCE
