# SPDX-License-Identifier: BSD-3-Clause
"""Denoising by smoothed total variation: weight and smoothing are learned."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import array_namespace, device, to_numpy
from numopt.bilevel._kernels.total_variation import (
    tv_curvature,
    tv_descent,
    tv_diagonal,
    tv_gradient,
    tv_products,
)
from numopt.bilevel._problem.arrays import contiguous, norm
from numopt.bilevel._problem.fidelity import RIDGE, BlurredFidelity
from numopt.bilevel._problem.images import (
    CleanUpper,
    check_pair,
    noise_level,
)
from numopt.bilevel._problem.protocols import BilevelProblem
from numopt.typing import Array

__all__ = ["TVDenoisingProblem", "TVLower"]

#: Largest third derivative of phi in units of 1/nu^2, at a difference of nu/2, and its
#: decay 2 / (sqrt 3 phi^2) away from there.
THIRD, TAIL = 48 / (25 * math.sqrt(5)), 2 / math.sqrt(3)
#: ``||D||^2 <= 8``, and 3 for the differences of one pixel.
GLOBAL, LOCAL = 8.0, 3.0


class TVLower:
    """``sum_b ||x_b - y_b||^2 / 2 + lam sum (phi(D x_b) - nu)``, theta their logs.

    With a fixed ``smoothing`` theta is the logarithm of lam alone. With a blur the
    fidelity is that of ``BlurredFidelity``.
    """

    solver = "agd"
    #: ``hessian_variation`` is that of the worst error of x, of one pixel.
    loose_variation = True

    def __init__(
        self,
        noisy: Array,
        isotropic: bool,
        smoothing: float | None = None,
        *,
        blur: Any = None,
        ridge: float = RIDGE,
    ) -> None:
        self.smoothing = smoothing
        xp = array_namespace(noisy)
        self.y, self.isotropic = contiguous(noisy), isotropic
        self._blurred = None if blur is None else BlurredFidelity(self.y, blur, ridge)
        self._gradient = tv_gradient.for_namespace(xp)
        self._curvature = tv_curvature.for_namespace(xp)
        self._products = tv_products.for_namespace(xp)
        self._diagonal = tv_diagonal.for_namespace(xp)
        self.setup_work = 0
        self._at: tuple[Any, Any] = (None, None)
        self._a: Any = None
        self._inverse: Any = None

    def _scalars(self, theta: Array) -> tuple[float, float]:
        scalars = [math.exp(float(one)) for one in to_numpy(theta)]
        nu = scalars[1] if self.smoothing is None else self.smoothing
        return scalars[0], nu

    def x_init(self, theta: Array) -> Array:
        return self.y

    def value_grad(self, x: Array, theta: Array) -> tuple[float, Array]:
        lam, nu = self._scalars(theta)
        x = contiguous(x)
        # The kernel's own fidelity is that to y; to x itself it vanishes.
        y = self.y if self._blurred is None else x
        values, grad = self._gradient(x, y, lam, nu, self.isotropic)
        value = float(to_numpy(array_namespace(values).sum(values)))
        if self._blurred is None:
            return value, grad
        misfit, residual = self._blurred.value_grad(x)
        return value + misfit, grad + residual

    @property
    def descends(self) -> bool:
        """Whether there is a compiled loop of accelerated gradients."""
        return self._blurred is None and isinstance(self.y, np.ndarray)

    def descend(
        self,
        x: Array,
        theta: Array,
        L: float,
        momentum: float,
        tol: float,
        max_iter: int,
    ) -> tuple[Array, Array, float, int]:
        """Accelerated gradients to a gradient norm of tol: x, gradient, value, count.

        The images share tol evenly and stop one by one; the count is their mean.
        """
        lam, nu = self._scalars(theta)
        B = x.shape[0]
        out, grad, values, counts = tv_descent.for_namespace(array_namespace(x))(
            contiguous(x), self.y, lam, nu, self.isotropic, L, momentum,
            tol / math.sqrt(B), max_iter,
        )  # fmt: skip
        return out, grad, float(values.sum()), math.ceil(counts.sum() / B)

    def hessian(self, x: Array, theta: Array) -> Callable[[Array], Array]:
        lam, _ = self._scalars(theta)
        a = self._curvature_at(x, theta)
        if self._blurred is None:
            return lambda u: self._products(u, a, lam)
        fidelity = self._blurred
        return lambda u: self._products(u, a, lam) - u + fidelity.product(u)

    def _curvature_at(self, x: Array, theta: Array) -> Array:
        """Hessian of phi, kept: products and their preconditioner need it in turn."""
        if self._at[0] is not x or self._at[1] is not theta:
            _, nu = self._scalars(theta)
            a = self._curvature(contiguous(x), nu, self.isotropic)
            self._at, self._a, self._inverse = (x, theta), a, None
        return self._a

    def preconditioner(self, x: Array, theta: Array) -> Callable[[Array], Array] | None:
        """Diagonal of the Hessian; none with a blur."""
        if self._blurred is not None:
            return None
        a = self._curvature_at(x, theta)
        if self._inverse is None:
            self._inverse = 1 / self._diagonal(a, self._scalars(theta)[0])
            self.setup_work += 1
        inverse = self._inverse
        return lambda r: inverse * r

    def forget(self) -> None:
        """Drop what is kept of the last point."""
        self.setup_work, self._at = 0, (None, None)

    @property
    def modulus_attained(self) -> bool:
        """Without a blur constant images have the curvature 1."""
        return self._blurred is None

    def cross_vjp(self, x: Array, theta: Array, q: Array) -> Array:
        """The weight scales the flux; the smoothing acts through ``d phi / d nu``.

        ``d/d(log nu) grad phi(t) = -nu^2 t / phi^3``.
        """
        xp = array_namespace(x)
        lam, nu = self._scalars(theta)
        u, w = _differences(x)
        du, dw = _differences(q)
        along = u * du + w * dw
        if self.isotropic:
            phi = xp.sqrt(u * u + w * w + nu * nu)
            first, second = along / phi, along / phi**3
        else:
            a, b = xp.sqrt(u * u + nu * nu), xp.sqrt(w * w + nu * nu)
            first = u * du / a + w * dw / b
            second = u * du / a**3 + w * dw / b**3
        sums = [
            lam * float(to_numpy(xp.sum(first, dtype=xp.float64))),
            -lam * nu * nu * float(to_numpy(xp.sum(second, dtype=xp.float64))),
        ]
        sums = sums[: theta.shape[0]]
        return xp.asarray(sums, dtype=theta.dtype, device=device(theta))

    def strong_convexity(self, theta: Array) -> float:
        return 1.0 if self._blurred is None else self._blurred.mu

    def lipschitz(self, theta: Array) -> float:
        lam, nu = self._scalars(theta)
        fidelity = 1.0 if self._blurred is None else self._blurred.lipschitz
        return fidelity + GLOBAL * lam / nu

    def hessian_lipschitz(self, theta: Array) -> float:
        lam, nu = self._scalars(theta)
        return lam * THIRD / nu**2 * math.sqrt(LOCAL) * GLOBAL

    def hessian_variation(
        self, x: Array, theta: Array, q: Array, radius: float
    ) -> float:
        """Third derivative along q: large only where q has an edge and x has none.

        Differences of one pixel move by at most ``sqrt(3) radius``.
        """
        xp = array_namespace(x)
        lam, nu = self._scalars(theta)
        u, w = _differences(x)
        du, dw = _differences(q)
        along = xp.sqrt(du * du + dw * dw)
        size = xp.sqrt(u * u + w * w) if self.isotropic else 0 * u
        near = size - math.sqrt(LOCAL) * min(radius, 1e6)
        near = xp.where(near > 0, near, xp.zeros_like(near))
        decayed = TAIL / (near * near + nu * nu)
        third = xp.where(decayed < THIRD / nu**2, decayed, THIRD / nu**2 + 0 * decayed)
        worst = float(to_numpy(xp.max(along * third)))
        return min(GLOBAL * lam * worst, self.hessian_lipschitz(theta) * norm(q))

    def _columns(self, x: Array, theta: Array) -> tuple[float, float]:
        """Bounds of the norms of the two columns of the mixed derivative."""
        lam, nu = self._scalars(theta)
        x = contiguous(x)
        weight = norm(self._gradient(x, x, lam, nu, self.isotropic)[1])
        if self.smoothing is not None:
            return weight, 0.0
        pixels = math.sqrt(math.prod(x.shape))
        # |nu^2 t / phi^3| <= 2 / (3 sqrt 3) in each pixel.
        smooth = lam * math.sqrt(GLOBAL) * 2 / (3 * math.sqrt(3)) * pixels
        return weight, smooth * (1.0 if self.isotropic else math.sqrt(2.0))

    def cross_norm(self, x: Array, theta: Array) -> float:
        return math.hypot(*self._columns(x, theta))

    def cross_lipschitz(self, theta: Array) -> float:
        """``lam ||D||^2 / nu``, and the slope of ``nu^2 t / phi^3`` is <= 1/nu."""
        lam, nu = self._scalars(theta)
        return math.sqrt(2.0) * GLOBAL * lam / nu


def _differences(x: Array) -> tuple[Array, Array]:
    """Forward differences, zero at the far border."""
    xp = array_namespace(x)
    if isinstance(x, np.ndarray):
        u, w = np.zeros_like(x), np.zeros_like(x)
        np.subtract(x[:, 1:, :], x[:, :-1, :], out=u[:, :-1, :])
        np.subtract(x[:, :, 1:], x[:, :, :-1], out=w[:, :, :-1])
        return u, w
    row = xp.zeros_like(x[:, :1, :])
    column = xp.zeros_like(x[:, :, :1])
    return (
        xp.concat([x[:, 1:, :] - x[:, :-1, :], row], axis=1),
        xp.concat([x[:, :, 1:] - x[:, :, :-1], column], axis=2),
    )


class TVDenoisingProblem(BilevelProblem):
    r"""Weight and smoothing of total variation that bring images to clean ones.

    .. math:: h(x, \theta) = \sum_b \tfrac12 \|K x_b - y_b\|^2
              + \lambda \sum_{ij} \left(\sqrt{|\nabla x_b|_{ij}^2 + \nu^2} - \nu\right),
              \qquad g(x) = \frac{1}{2B} \sum_b \|x_b - c_b\|^2

    with :math:`\theta = (\log\lambda, \log\nu)`, forward differences that vanish at the
    far border, and B images; K is the identity or a given blur, images continued by
    reflection.

    Parameters
    ----------
    noisy, clean : array of shape (B, H, W) or (H, W)
        Pairs of images.
    isotropic : bool, default=True
        Whether both differences share a root; otherwise each has its own.
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
    theta0 : array of shape (2,)
        (log(noise / 2), log(noise / 5)) with the standard deviation of noisy - clean.
    bounds : tuple
        (-12, 3).

    Raises
    ------
    ValueError
        When shapes differ, are not 2-D or 3-D, are empty or smaller than 2 x 2, or
        entries are not finite.

    See Also
    --------
    TVDenoiser : The estimator.

    Notes
    -----
    Without a blur mu = 1 and L = 1 + 8 lam / nu. As nu goes to 0 this is the model of
    scikit-image's ``denoise_tv_chambolle`` with ``weight=lam``.

    References
    ----------
    Rudin, Osher & Fatemi (1992), Nonlinear total variation based noise removal
    algorithms, Physica D 60. Salehi, Mukherjee, Roberts & Ehrhardt (2025), SIAM J.
    Math. Data Sci. 7(3).

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.bilevel import TVDenoisingProblem, maid
    >>> rng = np.random.default_rng(0)
    >>> clean = np.zeros((16, 16))
    >>> clean[4:12, 4:12] = 1.0
    >>> problem = TVDenoisingProblem(clean + 0.1 * rng.normal(size=(16, 16)), clean)
    >>> result = maid(problem, problem.theta0, max_step=1.0, ftol=1e-3)
    >>> bool(result.value < result.history["value"][0])
    True
    """

    def __init__(
        self,
        noisy: Array,
        clean: Array,
        isotropic: bool = True,
        blur: Any = None,
        ridge: float = RIDGE,
    ) -> None:
        noisy, clean = check_pair(noisy, clean)
        isotropic = v.check_flag("isotropic", isotropic)
        lower = TVLower(noisy, isotropic, blur=blur, ridge=ridge)
        super().__init__(lower, CleanUpper(clean), bounds=(-12.0, 3.0))
        xp = array_namespace(noisy)
        noise = noise_level(noisy, clean)
        self.theta0 = xp.asarray(
            [math.log(noise / 2), math.log(noise / 5)],
            dtype=xp.float64,
            device=device(noisy),
        )
