# SPDX-License-Identifier: BSD-3-Clause
"""Denoising and deblurring by fields of experts: filters, weights, smoothings."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import array_namespace, device, to_numpy
from numopt.bilevel._kernels.experts import (
    experts_cross,
    experts_curvature,
    experts_gradient,
    experts_products,
    experts_third,
)
from numopt.bilevel._problem.arrays import norm
from numopt.bilevel._problem.fidelity import RIDGE, gram_bound, make_fidelity
from numopt.bilevel._problem.images import (
    CleanUpper,
    check_pair,
    folded,
    mirrored,
    noise_level,
)
from numopt.bilevel._problem.protocols import BilevelProblem
from numopt.typing import Array

__all__ = ["Experts", "ExpertsLower", "FoEDenoisingProblem", "first_filters"]

#: Bounds of log a, log b and of the taps of the filters before normalisation.
WEIGHTS, SMOOTHINGS, TAPS = (-14.0, 3.0), (-5.3, 3.0), (-10.0, 10.0)
#: An entry of a mirrored image is read at most four times by a window.
COPIES = 2.0


class Experts(NamedTuple):
    """What theta means: filters of mean zero and norm one, weights, smoothings."""

    filters: np.ndarray
    a: np.ndarray
    b: np.ndarray
    lengths: np.ndarray


class ExpertsLower:
    """Fidelity plus ``sum_k a_k sum (sqrt((c_k * x)^2 + b_k^2) - b_k)``.

    theta is (log a, log b, taps): the taps of each filter less their mean, divided by
    their length, make c_k, so that a_k alone carries the scale.
    """

    solver = "lbfgs"
    #: ``hessian_variation`` is that of the worst error of x, of one pixel.
    loose_variation = True

    def __init__(
        self, noisy: Array, n_filters: int, filter_size: int, blur: Any, ridge: float
    ) -> None:
        self.fidelity = make_fidelity(noisy, blur, ridge)
        self.n_filters, self.filter_size = n_filters, filter_size
        xp = array_namespace(noisy)
        self._gradient = experts_gradient.for_namespace(xp)
        self._curvature = experts_curvature.for_namespace(xp)
        self._products = experts_products.for_namespace(xp)
        self._cross = experts_cross.for_namespace(xp)
        self._third = experts_third.for_namespace(xp)

    # ------------------------------------------------------------------- theta
    def experts(self, theta: Array) -> Experts:
        """Filters, weights and smoothings of theta, on the host."""
        K, size = self.n_filters, self.filter_size
        flat = np.asarray(to_numpy(theta), np.float64)
        taps = flat[2 * K :].reshape(K, size * size)
        centred = taps - taps.mean(axis=1, keepdims=True)
        lengths = np.sqrt(np.sum(centred**2, axis=1, keepdims=True))
        if not (lengths > 1e-12).all():
            raise ValueError("a filter in theta is constant: its taps must differ")
        filters = (centred / lengths).reshape(K, size, size)
        return Experts(filters, np.exp(flat[:K]), np.exp(flat[K : 2 * K]), lengths)

    def _device(self, like: Array, *parts: np.ndarray) -> list[Array]:
        """Parts in the dtype and on the device of the images."""
        xp, where = array_namespace(like), device(like)
        return [xp.asarray(part, dtype=like.dtype, device=where) for part in parts]

    # ------------------------------------------------------------------ levels
    def x_init(self, theta: Array) -> Array:
        return self.fidelity.y

    def value_grad(self, x: Array, theta: Array) -> tuple[float, Array]:
        filters, a, b, _ = self.experts(theta)
        padded = mirrored(x, self.filter_size)
        values, grad = self._gradient(padded, *self._device(x, filters, a, b))
        value, residual = self.fidelity.value_grad(x)
        total = float(to_numpy(array_namespace(values).sum(values)))
        return value + total, residual + folded(grad, self.filter_size)

    def hessian(self, x: Array, theta: Array) -> Callable[[Array], Array]:
        size = self.filter_size
        filters, a, b = self._device(x, *self.experts(theta)[:3])
        weights = self._curvature(mirrored(x, size), filters, a, b)

        def product(u: Array) -> Array:
            spread = self._products(mirrored(u, size), filters, weights)
            return self.fidelity.product(u) + folded(spread, size)

        return product

    def cross_vjp(self, x: Array, theta: Array, q: Array) -> Array:
        """Sums of the kernel; the taps through their projection and normalisation."""
        size = self.filter_size
        filters, a, b, lengths = self.experts(theta)
        sums = self._cross(
            mirrored(x, size), mirrored(q, size), *self._device(x, filters, a, b)
        )
        host = np.asarray(to_numpy(sums), np.float64)
        c, grad = filters.reshape(len(a), -1), host[:, 2:]
        grad = (grad - np.sum(c * grad, axis=1, keepdims=True) * c) / lengths
        grad = grad - grad.mean(axis=1, keepdims=True)
        flat = np.concatenate([host[:, 0], host[:, 1], grad.ravel()])
        xp = array_namespace(theta)
        return xp.asarray(flat, dtype=theta.dtype, device=device(theta))

    def strong_convexity(self, theta: Array) -> float:
        return self.fidelity.mu

    def lipschitz(self, theta: Array) -> float:
        filters, a, b, _ = self.experts(theta)
        return self.fidelity.lipschitz + gram_bound(filters, a / b)

    def cross_norm(self, x: Array, theta: Array) -> float:
        """Bound by the blocks of log a, log b and the taps.

        ``|phi'| <= 1``, ``|u phi''| <= 2 / (3 sqrt 3)``, ``phi'' <= 1/b``; a change of
        the taps by a unit vector moves all responses to z by at most ``2 k ||z||``.
        """
        filters, a, b, lengths = self.experts(theta)
        sizes = np.sqrt([gram_bound(one[None], np.ones(1)) for one in filters])
        root = math.sqrt(math.prod(x.shape))
        spread = COPIES * self.filter_size
        centred = norm(x - float(to_numpy(array_namespace(x).mean(x))))
        taps = spread * (a * root + sizes * a / b * centred) / lengths[:, 0]
        share = 1 + 4 / 27
        return math.sqrt(np.sum(share * (a * sizes * root) ** 2 + taps**2))

    def hessian_variation(
        self, x: Array, theta: Array, q: Array, radius: float
    ) -> float:
        """Third derivative along q: each expert by its largest one near x."""
        size = self.filter_size
        filters, a, b, _ = self.experts(theta)
        near = np.full(len(a), COPIES * min(radius, 1e6))
        worst = self._third(
            mirrored(x, size), mirrored(q, size), *self._device(x, filters, b, near)
        )
        return gram_bound(filters, a * np.asarray(to_numpy(worst), np.float64))


def first_filters(n_filters: int, filter_size: int, seed: int = 0) -> np.ndarray:
    """Cosine filters from low to high frequency, without the constant one.

    Beyond the ``filter_size**2 - 1`` of them, random ones of mean zero.
    """
    n = np.arange(filter_size)
    waves = np.cos(np.pi / filter_size * np.outer(n, n + 0.5))
    waves /= np.sqrt(np.sum(waves**2, axis=1, keepdims=True))
    order = sorted(
        ((i, j) for i in n for j in n if i + j > 0), key=lambda ij: (sum(ij), ij)
    )
    made = [np.outer(waves[i], waves[j]) for i, j in order[:n_filters]]
    rng = np.random.default_rng(seed)
    for _ in range(n_filters - len(made)):
        one = rng.standard_normal((filter_size, filter_size))
        one -= one.mean()
        made.append(one / np.sqrt(np.sum(one**2)))
    return np.stack(made)


class FoEDenoisingProblem(BilevelProblem):
    r"""Fields of experts that bring images to clean ones: every filter is learned.

    .. math:: h(x, \theta) = \sum_b \tfrac12 \|K x_b - y_b\|^2
              + \sum_k a_k \sum_{ij}
              \left(\sqrt{(c_k * x_b)_{ij}^2 + b_k^2} - b_k\right),
              \qquad g(x) = \frac{1}{2B} \sum_b \|x_b - \mathrm{clean}_b\|^2

    with :math:`\theta = (\log a, \log b, \mathrm{taps})`; the taps of a filter less
    their mean, divided by their length, are :math:`c_k`. Images are continued by
    reflection. K is the identity or a given blur.

    Parameters
    ----------
    noisy, clean : array of shape (B, H, W) or (H, W)
        Pairs of images.
    n_filters : int, default=24
        Number of experts.
    filter_size : int, default=5
        Width and height of the filters.
    blur : array-like of shape (m, m), default=None
        Known convolution kernel of odd width that blurred the noisy images; None for
        denoising.
    ridge : float, default=1e-2
        With a blur, ``ridge ||x||^2 / 2`` is added to h: a blur alone is not strongly
        convex.

    Attributes
    ----------
    lower, upper : object
        The two levels; the unknown is (B, H, W).
    theta0 : array of shape (n_filters * (2 + filter_size**2),)
        Cosine filters of equal weight, scaled with the noise.
    bounds : tuple
        Boxes for log a, log b and the taps.

    Raises
    ------
    ValueError
        When shapes differ, images are smaller than the filters, entries are not finite,
        or the blur is not a square of odd width.

    See Also
    --------
    FoEDenoiser : The estimator.
    TVDenoisingProblem : Two numbers instead of filters.

    Notes
    -----
    mu = 1 (``ridge`` with a blur); L comes from the spectra of the filters. The value
    bounds are certified, the error of the hypergradient is estimated. A lower gradient
    takes about ``4 n_filters filter_size**2`` operations a pixel.

    References
    ----------
    Roth & Black (2009), Fields of experts, IJCV 82. Chen, Ranftl & Pock (2014),
    Insights into analysis operator learning: from patch-based sparse models to
    higher-order MRFs, IEEE Trans. Image Process. 23. Salehi, Mukherjee, Roberts &
    Ehrhardt (2025), SIAM J. Math. Data Sci. 7(3).

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.bilevel import FoEDenoisingProblem, check_problem
    >>> rng = np.random.default_rng(0)
    >>> clean = np.zeros((12, 12))
    >>> clean[3:9, 3:9] = 1.0
    >>> noisy = clean + 0.1 * rng.normal(size=clean.shape)
    >>> problem = FoEDenoisingProblem(noisy, clean, n_filters=2, filter_size=3)
    >>> max(check_problem(problem, problem.theta0).values()) < 1e-4
    True
    """

    def __init__(
        self,
        noisy: Array,
        clean: Array,
        n_filters: int = 24,
        filter_size: int = 5,
        blur: Any = None,
        ridge: float = RIDGE,
    ) -> None:
        K = v.check_int("n_filters", n_filters, low=1)
        size = v.check_int("filter_size", filter_size, low=2)
        noisy, clean = check_pair(noisy, clean, smallest=size)
        ends = zip(WEIGHTS, SMOOTHINGS, TAPS, strict=True)
        low, high = (np.repeat(side, (K, K, K * size * size)) for side in ends)
        super().__init__(
            ExpertsLower(noisy, K, size, blur, ridge),
            CleanUpper(clean),
            bounds=(low, high),
        )
        self._like = clean
        noise = noise_level(noisy, clean)
        self.theta0 = self.pack(
            first_filters(K, size), np.full(K, 2 * noise / K), np.full(K, noise / 3)
        )

    def pack(self, filters: Any, weights: Any, smoothings: Any) -> Array:
        """Return theta of filters, weights and smoothings.

        Parameters
        ----------
        filters : array-like of shape (n_filters, filter_size, filter_size)
            Filters; a mean or a scale is without effect.
        weights, smoothings : array-like of shape (n_filters,)
            Positive weights a and smoothings b.

        Returns
        -------
        array of shape (n_filters * (2 + filter_size**2),)
            Hyper-parameters in the library of the images.
        """
        parts = np.log(weights), np.log(smoothings), np.ravel(filters)
        xp = array_namespace(self._like)
        theta = np.concatenate(parts)
        return xp.asarray(theta, dtype=xp.float64, device=device(self._like))
