# SPDX-License-Identifier: BSD-3-Clause
"""What a block step does: gradient, matrix, Newton, proximal and projected forms.

Each update moves the model and never increases the objective: majorising ones by
construction, the others by a line search.
"""

# ruff: noqa: ARG001 - the updates share one signature

from collections.abc import Callable

import numpy as np

from numopt._numerics.line_search import backtrack
from numopt.coordinate._kernels.blocks import minimise_block
from numopt.coordinate._kernels.graph import forest_sweep, peel_leaves
from numopt.coordinate._solvers.bcd_composite import Composite, Grouped, Separable
from numopt.coordinate._solvers.bcd_model import QuadraticModel, SmoothModel
from numopt.coordinate._solvers.bcd_rules import Rule

__all__ = ["COMPOSITE_UPDATES", "SMOOTH_UPDATES", "UPDATES"]

#: Relative eigenvalue below which a block is solved by its pseudo-inverse.
RANK_TOLERANCE = 1e-12
#: Accuracy of the inner solve, relative to the block gradient.
INNER_TOLERANCE = 1e-12
#: Distance at which a coordinate counts as being at its bound.
AT_BOUND = 1e-12


class BlockStep:
    """What an update may use: model, composite, rule and remembered step bounds."""

    def __init__(self, model: SmoothModel, composite: Composite, rule: Rule) -> None:
        self.model, self.composite, self.rule = model, composite, rule
        self.trial: dict[int, float] = {}

    def objective_at(self, b: np.ndarray, d: np.ndarray) -> float:
        """F + g after a block step; g counts the block only."""
        x = self.model.w[b] + d
        return self.model.value_at(b, d) + self.composite.value(b, x)

    def objective(self, b: np.ndarray) -> float:
        """F + g now; g counts the block only."""
        return self.model.value() + self.composite.value(b, self.model.w[b])


def solve_psd(H: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Solve by Cholesky, by the pseudo-inverse when the block is rank deficient."""
    from scipy.linalg import LinAlgError, cho_factor, cho_solve

    try:
        factor = cho_factor(H, check_finite=False)
    except LinAlgError:
        return _pseudo_solve(H, g)
    diagonal = np.abs(np.diag(factor[0]))
    if diagonal.min() ** 2 < RANK_TOLERANCE * diagonal.max() ** 2:
        return _pseudo_solve(H, g)
    return cho_solve(factor, g, check_finite=False)


def _pseudo_solve(H: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Solve on the range of a singular matrix."""
    values, vectors = np.linalg.eigh(H)
    used = values > RANK_TOLERANCE * max(float(values[-1]), 1e-300)
    return vectors[:, used] @ ((vectors[:, used].T @ g) / values[used])


def gradient(s: BlockStep, k: int, b: np.ndarray) -> None:
    """w_b -= grad_b / L_b."""
    s.model.move(b, -s.model.gradient(b) / max(s.rule.constant(k, b), 1e-300))


def matrix(s: BlockStep, k: int, b: np.ndarray) -> None:
    """w_b -= H_bb^-1 grad_b with the majorising H."""
    s.model.move(b, -solve_psd(s.model.bound(b), s.model.gradient(b)))


def newton(s: BlockStep, k: int, b: np.ndarray) -> None:
    """Newton step with the Hessian here and backtracking."""
    g = s.model.gradient(b)
    d = -solve_psd(s.model.hessian(b), g)
    _search(s, b, d, float(g @ d))


def _search(s: BlockStep, b: np.ndarray, d: np.ndarray, slope: float) -> None:
    """Armijo along d; no move when rounding hides every decrease."""
    found = backtrack(lambda t: s.objective_at(b, t * d), s.objective(b), slope)
    if found.step > 0 and slope < 0:
        s.model.move(b, found.step * d)


def line_search(s: BlockStep, k: int, b: np.ndarray) -> None:
    """Exact step for squares (piecewise with a penalty), else doubling of L."""
    g = s.model.gradient(b)
    if s.model.exact and s.composite.smooth:
        curvature = float(g @ (s.model.bound(b) @ g))
        if curvature > 0:
            s.model.move(b, -float(g @ g) / curvature * g)
        return
    if s.model.exact and isinstance(s.composite, Separable):
        _piecewise(s, k, b, g)
        return
    x = s.model.w[b]
    key = k if s.rule.blocks is not None else -1
    known = s.trial.get(key, 2.0)
    L = 0.5 * known
    for _ in range(100):
        d = s.composite.prox(b, x - g / L, 1.0 / L) - x
        if _majorised(s, b, d, g, L, rounding=known <= L):
            s.trial[key] = L
            s.model.move(b, d)
            return
        L *= 2.0


def _majorised(
    s: BlockStep, b: np.ndarray, d: np.ndarray, g: np.ndarray, L: float, rounding: bool
) -> bool:
    """Whether the curvature along d is at most L.

    Squares know it. Other values are compared, and ``rounding`` lets their last digits
    pass: never for an L below one that held, or it would shrink where steps are small.
    """
    limit = 0.5 * L * float(d @ d)
    if s.model.exact:
        return 0.5 * float(d @ (s.model.bound(b) @ d)) <= limit
    before = s.model.value()
    excess = s.model.value_at(b, d) - before - float(g @ d)
    return excess <= limit + (1e-15 * abs(before) if rounding else 0.0)


def _piecewise(s: BlockStep, k: int, b: np.ndarray, g: np.ndarray) -> None:
    """Minimise along the proximal direction: the derivative is piecewise linear."""
    x, part = s.model.w[b], _separable(s)
    L = max(s.rule.constant(k, b), 1e-300)
    d = part.prox(b, x - g / L, 1.0 / L) - x
    l1, lower, upper = part.l1[b], part.lower[b], part.upper[b]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = np.where((d != 0) & (l1 > 0), -x / d, np.inf)
        room = np.where(
            d > 0, (upper - x) / d, np.where(d < 0, (lower - x) / d, np.inf)
        )
    last = max(float(np.min(room, initial=np.inf)), 1.0)
    used = crossing > 0
    order = np.argsort(crossing[used])
    points, jumps = crossing[used][order], (2.0 * l1 * np.abs(d))[used][order]
    curvature = float(d @ (s.model.bound(b) @ d))
    moving = np.where(x != 0, np.sign(x) * d, np.abs(d))
    slope = float(g @ d + np.sum(np.where(l1 > 0, l1, 0.0) * moving))
    t = 0.0
    for point, jump in zip(
        np.append(points, np.inf), np.append(jumps, 0.0), strict=True
    ):
        end = min(point, last)
        stop = t - slope / curvature if curvature > 0 else (np.inf if slope < 0 else t)
        if stop <= end:
            t = max(t, stop)
            break
        slope += curvature * (end - t)
        t = end
        if end >= last or slope + jump >= 0:
            break
        slope += jump
    if np.isfinite(t):
        new = x + t * d
        # A coordinate that the step stops at zero is zero, not rounding.
        new[used & (np.abs(crossing - t) <= 1e-15 * max(t, 1.0))] = 0.0
        s.model.move(b, np.clip(new, lower, upper) - x)


def prox(s: BlockStep, k: int, b: np.ndarray) -> None:
    """Proximal gradient step with L_b."""
    L = max(s.rule.constant(k, b), 1e-300)
    x = s.model.w[b]
    s.model.move(b, s.composite.prox(b, x - s.model.gradient(b) / L, 1.0 / L) - x)


def prox_newton(s: BlockStep, k: int, b: np.ndarray) -> None:
    """Minimise the block model with the majorising H to rounding."""
    x, g, H = s.model.w[b].copy(), s.model.gradient(b), s.model.bound(b)
    part = s.composite
    if isinstance(part, Grouped):
        new = _group_model(part, b, x, g, H, s.rule.constant(k, b))
    else:
        part = _separable(s)
        scale = float(np.max(np.abs(g), initial=0.0)) + float(
            np.max(np.where(np.isinf(part.l1[b]), 0.0, part.l1[b]), initial=0.0)
        )
        tol = INNER_TOLERANCE * max(scale, 1e-300)
        new = minimise_block(
            H, g, x, part.l1[b], part.lower[b], part.upper[b], tol, 20_000
        )
    s.model.move(b, new - x)


def _group_model(
    part: Grouped, b: np.ndarray, x: np.ndarray, g: np.ndarray, H: np.ndarray, L: float
) -> np.ndarray:
    """Group penalty: secular equation for one group, proximal gradients otherwise."""
    owner = part.owner[b]
    plain = not np.any(part.terms.l1[b]) and np.all(part.terms.lower[b] < 0)
    if plain and np.all(owner == owner[0]):
        return _secular(H, H @ x - g, float(part.terms.weights[owner[0]]))
    new, momentum, t = x, x, 1.0
    tol = INNER_TOLERANCE * max(float(np.linalg.norm(x - g / L)), 1e-300)
    for _ in range(20_000):
        slope = g + H @ (momentum - x)
        step = part.prox(b, momentum - slope / L, 1.0 / L)
        if float(np.linalg.norm(step - momentum)) <= tol:
            return step
        ahead = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * t * t))
        restart = float((momentum - step) @ (step - new)) > 0
        ahead = 1.0 if restart else ahead
        momentum = step + (0.0 if restart else (t - 1.0) / ahead) * (step - new)
        new, t = step, ahead
    # Rounding keeps ill-conditioned blocks above the tolerance: as good as it gets.
    return new


def _secular(H: np.ndarray, c: np.ndarray, weight: float) -> np.ndarray:
    """Argmin ``x^T H x / 2 - c^T x + weight |x|`` from the root in ``|x|``."""
    if float(np.linalg.norm(c)) <= weight:
        return np.zeros_like(c)
    values, vectors = np.linalg.eigh(H)
    values, pull = np.maximum(values, 0.0), vectors.T @ c

    def excess(size: float) -> float:
        # |x| = size  <=>  sum (pull / (values size + weight))^2 = 1
        return float(np.sum((pull / (values * size + weight)) ** 2)) - 1.0

    low, high = 0.0, 1.0
    while excess(high) > 0 and high < 1e300:
        high *= 2.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
        if high - low <= 4e-16 * high:
            break
    return vectors @ (pull * high / (values * high + weight))


def _separable(s: BlockStep) -> Separable:
    """The non-smooth part of rules that need it coordinate by coordinate."""
    assert isinstance(s.composite, Separable)
    return s.composite


def two_metric(s: BlockStep, k: int, b: np.ndarray) -> None:
    """Two-metric projection: diagonal steps at the bounds, Newton on the rest."""
    part = _separable(s)
    if np.any(part.l1[b]):
        prox(s, k, b)
        _orthant_newton(s, b)
        return
    x, g = s.model.w[b], s.model.gradient(b)
    held = ((x <= part.lower[b] + AT_BOUND) & (g > 0)) | (
        (x >= part.upper[b] - AT_BOUND) & (g < 0)
    )
    d = np.zeros_like(g)
    if np.any(held):
        assert s.model.lipschitz is not None
        d[held] = -g[held] / max(float(np.sum(s.model.lipschitz[b[held]])), 1e-300)
    free = ~held
    if np.any(free):
        d[free] = -solve_psd(s.model.hessian(b)[np.ix_(free, free)], g[free])
    _projected_search(s, b, d, g, part.lower[b], part.upper[b])


def _orthant_newton(s: BlockStep, b: np.ndarray) -> None:
    """Newton on the nonzero interior coordinates with their signs fixed."""
    part, x = _separable(s), s.model.w[b]
    inside = (x > part.lower[b]) & (x < part.upper[b])
    working = inside & ((x != 0) | (part.l1[b] == 0))
    if not np.any(working):
        return
    sub, sign = b[working], np.sign(x[working])
    g = s.model.gradient(sub) + part.l1[sub] * sign
    d = -solve_psd(s.model.hessian(sub), g)
    penalised = part.l1[sub] > 0
    lower = np.where(penalised & (sign > 0), 0.0, -np.inf)
    upper = np.where(penalised & (sign < 0), 0.0, np.inf)
    lower, upper = (
        np.maximum(lower, part.lower[sub]),
        np.minimum(upper, part.upper[sub]),
    )
    _projected_search(s, sub, d, g, lower, upper)


def _projected_search(
    s: BlockStep,
    b: np.ndarray,
    d: np.ndarray,
    g: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
) -> None:
    """Armijo along the projection arc; gains below rounding are accepted."""
    x, before = s.model.w[b].copy(), s.objective(b)
    t = 1.0
    for _ in range(40):
        step = np.clip(x + t * d, lower, upper) - x
        gain = float(g @ step)
        after = s.objective_at(b, step)
        if gain < 0 and after <= before + 1e-4 * gain + 4e-16 * abs(before):
            s.model.move(b, step)
            return
        t *= 0.5


def message_passing(s: BlockStep, k: int, b: np.ndarray) -> None:
    """Exact solve of a forest block by elimination from its leaves."""
    assert isinstance(s.model, QuadraticModel)
    A = s.model.sparse_block(b)
    if int(peel_leaves(A.data, A.indices, A.indptr)):
        raise ValueError(
            "`update` 'message_passing' needs blocks that are forests, got a block "
            "with a cycle; use partition 'trees' or 'red_black', or update 'matrix'"
        )
    rhs = np.ascontiguousarray(-s.model.gradient(b)[:, None])
    step, status, _ = forest_sweep(A.data, A.indices, A.indptr, rhs)
    if status:
        step = solve_psd(s.model.bound(b), rhs[:, 0])[:, None]
    s.model.move(b, step[:, 0])


UPDATES: dict[str, Callable[[BlockStep, int, np.ndarray], None]] = {
    "gradient": gradient,
    "matrix": matrix,
    "newton": newton,
    "line_search": line_search,
    "prox": prox,
    "prox_newton": prox_newton,
    "tmp": two_metric,
    "message_passing": message_passing,
}
SMOOTH_UPDATES = ("gradient", "matrix", "newton", "message_passing")
COMPOSITE_UPDATES = ("line_search", "prox", "prox_newton", "tmp")
