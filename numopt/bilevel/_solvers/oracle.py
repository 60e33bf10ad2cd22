# SPDX-License-Identifier: BSD-3-Clause
"""The problem as solvers see it: counted, checked, with error measures."""

import math
from collections.abc import Callable
from typing import Any

from numopt import _validation as v
from numopt._array.namespace import array_namespace, to_numpy
from numopt.bilevel._problem.arrays import norm
from numopt.bilevel._problem.protocols import BilevelProblem
from numopt.typing import Array

__all__ = ["Oracle"]

#: Least curvature assumed in the metric of the preconditioner, accuracy="estimate".
SCALED_FLOOR = 1e-2
#: A Lipschitz constant estimated by secants is multiplied by this.
SECANT_SAFETY = 2.0


class Oracle:
    """Counts lower gradients and Hessian products, and knows how far x may be off.

    With ``accuracy="certified"`` distances follow from strong convexity,
    ``||x - x*|| <= ||grad_x h|| / mu``. With "estimate" the modulus is replaced by the
    smallest curvature met by conjugate gradients (never below mu).
    """

    def __init__(self, problem: BilevelProblem, accuracy: str) -> None:
        self.problem = problem
        self.lower: Any = problem.lower
        self.upper: Any = problem.upper
        self.accuracy = accuracy
        self.n_grad = 0
        self.n_hvp = 0
        self.n_solves = 0
        self.L_g = float(problem.upper.lipschitz)
        self._constants_at: Any = None
        self._mu = self._L = math.nan
        self._ritz = math.inf
        self._secant = 0.0
        self.cross_norm_seen = 0.0
        self._direct_known = True
        if hasattr(self.lower, "forget"):
            # What another run has left would make this one hard to repeat.
            self.lower.forget()

    @property
    def work(self) -> int:
        """Lower gradients plus Hessian products so far."""
        return self.n_grad + self.n_hvp

    # ------------------------------------------------------------------ levels
    def gradient(self, x: Array, theta: Array) -> tuple[float, Array]:
        """Lower value and gradient."""
        self.n_grad += 1
        value, grad = self.lower.value_grad(x, theta)
        value = float(to_numpy(value))
        if tuple(grad.shape) != tuple(x.shape):
            raise ValueError(
                f"lower.value_grad returned a gradient of shape {tuple(grad.shape)} "
                f"for x of shape {tuple(x.shape)}"
            )
        if not (math.isfinite(value) and math.isfinite(norm(grad))):
            raise ValueError(
                "lower.value_grad returned a value or gradient that is not finite"
            )
        return value, grad

    def hessian(self, x: Array, theta: Array) -> Callable[[Array], Array]:
        """Counted ``v -> H v``."""
        product = self.lower.hessian(x, theta)

        def counted(u: Array) -> Array:
            self.n_hvp += 1
            return product(u)

        return counted

    def objective(self, x: Array, theta: Array) -> tuple[float, Array, Array]:
        """Upper value, gradient in x, gradient in theta (zeros for None)."""
        value, grad, direct = self.upper.value_grad(x, theta)
        value = float(to_numpy(value))
        if not (math.isfinite(value) and math.isfinite(norm(grad))):
            raise ValueError(
                "upper.value_grad returned a value or gradient that is not finite"
            )
        if direct is None:
            return value, grad, array_namespace(theta).zeros_like(theta)
        self._direct_known = hasattr(self.upper, "cross_lipschitz")
        return value, grad, direct

    def start(self, x0: Array | None, theta: Array) -> Array:
        """The given start, or the problem's own."""
        if x0 is not None:
            _, (x,) = v.float_arrays(x0=x0)
            v.check_values("x0", x)
            if hasattr(self.lower, "x_init"):
                expected = tuple(self.lower.x_init(theta).shape)
                v.check_shape("x0", x, expected, why="(as lower.x_init)")
            return x
        if not hasattr(self.lower, "x_init"):
            raise ValueError("`x0` must be given: the lower level has no x_init(theta)")
        return self.lower.x_init(theta)

    def preconditioner(self, x: Array, theta: Array) -> Callable[[Array], Array] | None:
        """The problem's preconditioner, if any; its set-up counts as products."""
        make = getattr(self.lower, "preconditioner", None)
        if make is None:
            return None
        before = getattr(self.lower, "setup_work", 0)
        made = make(x, theta)
        self.n_hvp += math.ceil(getattr(self.lower, "setup_work", 0) - before)
        return made

    # --------------------------------------------------------------- constants
    def _constants(self, theta: Array) -> tuple[float, float]:
        if self._constants_at is not theta:
            mu = float(to_numpy(self.lower.strong_convexity(theta)))
            if not (math.isfinite(mu) and mu > 0):
                raise ValueError(
                    f"strong_convexity(theta) returned {mu}, a positive finite number "
                    "is needed"
                )
            L = float(to_numpy(self.lower.lipschitz(theta)))
            if not (math.isfinite(L) and mu * (1 - 1e-9) <= L):
                raise ValueError(
                    f"lipschitz(theta) returned {L}, a finite number not below "
                    f"strong_convexity(theta) = {mu} is needed"
                )
            self._mu, self._L, self._constants_at = mu, max(mu, L), theta
        return self._mu, self._L

    def mu(self, theta: Array) -> float:
        """True modulus of strong convexity."""
        return self._constants(theta)[0]

    def L(self, theta: Array) -> float:
        """Largest curvature."""
        return self._constants(theta)[1]

    def curvature(self, theta: Array) -> float:
        """Modulus that distances are measured with."""
        mu, L = self._constants(theta)
        if not self.estimates or not math.isfinite(self._ritz):
            return mu
        return max(mu, min(self._ritz, L))

    @property
    def estimates(self) -> bool:
        """Whether the modulus is replaced by curvature met."""
        attained = getattr(self.lower, "modulus_attained", False)
        return self.accuracy == "estimate" and not attained

    def saw_curvature(self, ritz: float) -> None:
        """Note the smallest Ritz value of a run of conjugate gradients.

        Old values are forgotten slowly: theta moves.
        """
        if ritz > 0:
            self._ritz = min(ritz, 2 * self._ritz)

    def distance(
        self, r: Array, theta: Array, precondition: Callable[[Array], Array] | None
    ) -> float:
        """Bound (or estimate) of ``||x - x*||`` from the lower gradient at x."""
        if not self.estimates:
            return norm(r) / self.mu(theta)
        mu, _ = self._constants(theta)
        if precondition is None:
            return norm(r) / self.curvature(theta)
        return min(norm(r) / mu, norm(precondition(r)) / self.scaled_curvature)

    @property
    def scaled_curvature(self) -> float:
        """Least curvature in the metric of the preconditioner, as far as it was met."""
        ritz = self._ritz if math.isfinite(self._ritz) else SCALED_FLOOR
        return max(min(ritz, 1.0), SCALED_FLOOR)

    # -------------------------------------------------------------- variation
    @property
    def knows_variation(self) -> bool:
        """Whether the third derivative of the lower level is bounded by formula."""
        return hasattr(self.lower, "hessian_variation") or hasattr(
            self.lower, "hessian_lipschitz"
        )

    @property
    def knows_cross(self) -> bool:
        """Whether the mixed derivative is bounded by formula."""
        return (
            self.knows_variation
            and self._direct_known
            and hasattr(self.lower, "cross_norm")
            and hasattr(self.lower, "cross_lipschitz")
        )

    @property
    def by_secants(self) -> bool:
        """Whether third derivatives are estimated."""
        loose = getattr(self.lower, "loose_variation", False)
        return not self.knows_variation or (self.accuracy == "estimate" and loose)

    @property
    def needs_secant(self) -> bool:
        """Whether third derivatives are to be estimated and none was seen yet."""
        return self.by_secants and self._secant == 0.0

    def variation(self, x: Array, theta: Array, q: Array, radius: float) -> float:
        """Bound of ``|D^3 h(y)[q, u, u]| / ||u||^2`` near x.

        An estimate by secants where the problem gives no formula, or a formula for the
        worst case only (``loose_variation``) and estimates are allowed.
        """
        if self.by_secants and self._secant > 0:
            return SECANT_SAFETY * self._secant * norm(q)
        if hasattr(self.lower, "hessian_variation"):
            return float(to_numpy(self.lower.hessian_variation(x, theta, q, radius)))
        if hasattr(self.lower, "hessian_lipschitz"):
            return float(to_numpy(self.lower.hessian_lipschitz(theta))) * norm(q)
        return 0.0

    def saw_secant(self, x_old: Array, x: Array, theta: Array, q: Array) -> None:
        """Learn how fast ``H q`` changes with x, where that is to be estimated."""
        if not self.by_secants:
            return
        length = norm(x - x_old) * norm(q)
        if length > 0:
            change = self.hessian(x, theta)(q) - self.hessian(x_old, theta)(q)
            self._secant = max(self._secant, norm(change) / length)

    def cross_norm(self, x: Array, theta: Array) -> float:
        """Norm of the mixed derivative: by formula, else the largest ratio seen."""
        if hasattr(self.lower, "cross_norm") and not self.by_secants:
            return float(to_numpy(self.lower.cross_norm(x, theta)))
        return self.cross_norm_seen

    def cross_lipschitz(self, theta: Array) -> float:
        """Lipschitz constant of the mixed derivative in x; 0 without a formula."""
        known = hasattr(self.lower, "cross_norm") and not self.by_secants
        if known and hasattr(self.lower, "cross_lipschitz"):
            return float(to_numpy(self.lower.cross_lipschitz(theta)))
        return 0.0

    def cross_vjp(self, x: Array, theta: Array, q: Array) -> Array:
        """``J^T q``, of the shape of theta."""
        product = self.lower.cross_vjp(x, theta, q)
        if tuple(product.shape) != tuple(theta.shape):
            raise ValueError(
                f"lower.cross_vjp returned shape {tuple(product.shape)} for theta of "
                f"shape {tuple(theta.shape)}"
            )
        size, length = norm(product), norm(q)
        if not math.isfinite(size):
            raise ValueError("lower.cross_vjp returned a value that is not finite")
        if length > 0:
            self.cross_norm_seen = max(self.cross_norm_seen, size / length)
        return product

    def floor(self, x: Array, theta: Array) -> float:
        """Distance below which rounding of the gradient hides the truth."""
        xp = array_namespace(x)
        eps = float(xp.finfo(x.dtype).eps)
        scale = self.L(theta) / self.curvature(theta)
        return 2 * eps * max(norm(x), 1e-300) * scale
