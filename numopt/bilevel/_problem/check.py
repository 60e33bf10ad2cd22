# SPDX-License-Identifier: BSD-3-Clause
"""Checks of one's own levels: derivatives, symmetry, adjoints, constants."""

import math
from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._array.namespace import array_namespace, device, to_numpy
from numopt.bilevel._problem.arrays import dot, norm
from numopt.bilevel._problem.protocols import BilevelProblem
from numopt.typing import Array

__all__ = ["check_problem"]

#: A product whose relative error exceeds this is called wrong.
WRONG = 1e-4
#: Of the step's own size: truncation and rounding balance near the cube root of eps.
STEP = 1e-5


def check_problem(
    problem: BilevelProblem,
    theta: Array,
    x: Array | None = None,
    *,
    random_state: int = 0,
) -> dict[str, float]:
    r"""Check the products of both levels by central differences.

    Parameters
    ----------
    problem : BilevelProblem
        The problem to check.
    theta : array
        Where to check.
    x : array, default=None
        Where to check; None takes ``lower.x_init(theta)`` plus a random displacement.
    random_state : int, default=0
        Seed of the random directions.

    Returns
    -------
    dict of str to float
        Relative errors: "lower.value_grad", "lower.hessian", "lower.cross_vjp",
        "upper.value_grad" (in x), "upper.value_grad (theta)", "symmetry"; and
        "curvature", how far a Rayleigh quotient leaves ``[mu, L]``, relatively.

    Raises
    ------
    ValueError
        Naming the wrong product and its relative error; or when ``x`` is not given and
        the lower level has no ``x_init``.

    See Also
    --------
    maid : The solver that needs the products.

    Notes
    -----
    Products are tested in float64 along three random directions. Errors of the first
    derivatives in kinks and of random losses are not found this way.

    Examples
    --------
    >>> import numpy as np
    >>> from numopt.bilevel import QuadraticProblem, check_problem
    >>> eye, one = np.eye(2), np.ones(2)
    >>> errors = check_problem(QuadraticProblem(eye, one, eye, eye, one), one)
    >>> max(errors.values()) < 1e-6
    True
    """
    if not isinstance(problem, BilevelProblem):
        raise ValueError(
            v.message("problem", "a BilevelProblem", type(problem).__name__)
        )
    rng = np.random.default_rng(v.check_int("random_state", random_state, low=0))
    xp, (theta,) = v.float_arrays(theta=theta)
    v.check_present("theta", theta)
    v.check_values("theta", theta)
    if problem.theta0 is not None:
        v.check_shape(
            "theta", theta, tuple(problem.theta0.shape), why="as problem.theta0"
        )
    theta = xp.astype(theta, xp.float64)
    x = _place(problem, theta, x, rng)
    check = _Check(problem, x, theta, rng)
    if not check.is_finite():
        raise ValueError(
            v.message("theta", "where h and its gradient are finite", f"{theta}")
        )
    errors = {
        "lower.value_grad": check.lower_gradient(),
        "lower.hessian": check.hessian(),
        "symmetry": check.symmetry(),
        "lower.cross_vjp": check.cross(),
        "upper.value_grad": check.upper_gradient(),
        "upper.value_grad (theta)": check.direct(),
        "curvature": check.curvature(),
    }
    for name, error in errors.items():
        if not error <= WRONG:
            raise ValueError(f"{_NAMES.get(name, name)}: relative error {error:.1e}")
    return errors


_NAMES = {
    "lower.value_grad": "lower.value_grad returned a gradient that does not match its "
    "value",
    "lower.hessian": "lower.hessian does not match the gradient of lower.value_grad",
    "symmetry": "lower.hessian is not symmetric",
    "lower.cross_vjp": "lower.cross_vjp does not match the gradient of "
    "lower.value_grad as theta changes",
    "upper.value_grad": "upper.value_grad returned a gradient in x that does not match "
    "its value",
    "upper.value_grad (theta)": "upper.value_grad returned a gradient in theta that "
    "does not match its value (None means zero)",
    "curvature": "strong_convexity or lipschitz at this `theta` is contradicted by a "
    "Rayleigh quotient of lower.hessian",
}


def _place(
    problem: BilevelProblem, theta: Array, x: Any, rng: np.random.Generator
) -> Array:
    if x is not None:
        xp, (x,) = v.float_arrays(x=x)
        v.check_values("x", x)
        return xp.astype(x, xp.float64)
    if not hasattr(problem.lower, "x_init"):
        raise ValueError("`x` must be given: the lower level has no x_init(theta)")
    x = problem.lower.x_init(theta)
    xp = array_namespace(x)
    noise = _random(rng, x)
    return xp.astype(x, xp.float64) + noise * max(norm(x) / norm(noise), 0.1)


def _random(rng: np.random.Generator, like: Array) -> Array:
    xp = array_namespace(like)
    draws = rng.standard_normal(tuple(like.shape))
    return xp.asarray(draws, dtype=xp.float64, device=device(like))


class _Check:
    """Central differences about one point."""

    def __init__(
        self, problem: BilevelProblem, x: Array, theta: Array, rng: Any
    ) -> None:
        self.lower: Any = problem.lower
        self.upper: Any = problem.upper
        self.x, self.theta = x, theta
        self.u, self.w = _random(rng, x), _random(rng, x)
        self.t = _random(rng, theta)
        self.hx = STEP * max(norm(x), 1.0) / norm(self.u)
        self.ht = STEP * max(norm(theta), 1.0) / norm(self.t)

    def is_finite(self) -> bool:
        """Whether h and its gradient can be compared at all."""
        value, grad = self.lower.value_grad(self.x, self.theta)[:2]
        return math.isfinite(float(to_numpy(value))) and math.isfinite(norm(grad))

    def lower_gradient(self) -> float:
        """Slope of h along u."""
        value = lambda s: self.lower.value_grad(self.x + s * self.u, self.theta)[0]  # noqa: E731
        grad = self.lower.value_grad(self.x, self.theta)[1]
        return _relative(_slope(value, self.hx), dot(grad, self.u), norm(grad), self.u)

    def hessian(self) -> float:
        """Change of the gradient along u."""
        h, u = self.hx, self.u
        up = self.lower.value_grad(self.x + h * u, self.theta)[1]
        down = self.lower.value_grad(self.x - h * u, self.theta)[1]
        product = self.lower.hessian(self.x, self.theta)(u)
        return norm((up - down) / (2 * h) - product) / max(norm(product), 1e-12)

    def symmetry(self) -> float:
        """Whether <w, H u> = <H w, u>."""
        product = self.lower.hessian(self.x, self.theta)
        left, right = product(self.u), product(self.w)
        size = norm(left) * norm(self.w) + norm(right) * norm(self.u)
        return 2 * abs(dot(self.w, left) - dot(right, self.u)) / max(size, 1e-300)

    def cross(self) -> float:
        """Change of <grad h, w> along t."""
        value = lambda s: dot(  # noqa: E731
            self.lower.value_grad(self.x, self.theta + s * self.t)[1], self.w
        )
        product = self.lower.cross_vjp(self.x, self.theta, self.w)
        slope = _slope(value, self.ht)
        return _relative(slope, dot(product, self.t), norm(product), self.t)

    def upper_gradient(self) -> float:
        """Slope of g along u."""
        value = lambda s: self.upper.value_grad(self.x + s * self.u, self.theta)[0]  # noqa: E731
        grad = self.upper.value_grad(self.x, self.theta)[1]
        return _relative(_slope(value, self.hx), dot(grad, self.u), norm(grad), self.u)

    def direct(self) -> float:
        """Slope of g along t."""
        value = lambda s: self.upper.value_grad(self.x, self.theta + s * self.t)[0]  # noqa: E731
        grad = self.upper.value_grad(self.x, self.theta)[2]
        exact = 0.0 if grad is None else dot(grad, self.t)
        size = 1e-3 if grad is None else norm(grad)
        return _relative(_slope(value, self.ht), exact, size, self.t)

    def curvature(self) -> float:
        """How far Rayleigh quotients leave [mu, L]."""
        mu = float(to_numpy(self.lower.strong_convexity(self.theta)))
        L = float(to_numpy(self.lower.lipschitz(self.theta)))
        if not (math.isfinite(mu) and 0 < mu <= L * (1 + 1e-9) and math.isfinite(L)):
            return math.inf
        product = self.lower.hessian(self.x, self.theta)
        worst = 0.0
        for one in (self.u, self.w, self.lower.value_grad(self.x, self.theta)[1]):
            if norm(one) > 0:
                quotient = dot(one, product(one)) / dot(one, one)
                worst = max(worst, mu / max(quotient, 1e-300) - 1, quotient / L - 1)
        return worst


def _slope(value: Any, h: float) -> float:
    return (float(to_numpy(value(h))) - float(to_numpy(value(-h)))) / (2 * h)


def _relative(difference: float, exact: float, size: float, along: Array) -> float:
    """Error relative to a typical slope along a random direction."""
    typical = max(abs(exact), size * norm(along) / math.sqrt(math.prod(along.shape)))
    return abs(difference - exact) / max(typical, 1e-12)
