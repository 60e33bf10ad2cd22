# SPDX-License-Identifier: BSD-3-Clause
"""``maid-qn`` and ``maid-bb``: corrected values, clean curvature, triage."""

import dataclasses
import math

from numopt._array.namespace import array_namespace
from numopt._iterate.stopping import Stop
from numopt.bilevel._problem.arrays import dot, max_abs, norm
from numopt.bilevel._problem.protocols import BilevelProblem
from numopt.bilevel._solvers.directions import (
    barzilai_borwein,
    clean_pair,
    secant_fit,
    two_loop,
)
from numopt.bilevel._solvers.outer import OuterSolver, OuterState
from numopt.bilevel._solvers.point import Point
from numopt.typing import Array

__all__ = ["QuasiNewton"]

#: Bounds may take this share of the predicted decrease.
KAPPA = 0.25
#: Interpolated steps shrink by a factor in this interval.
SHRINK = (0.1, 0.6)
#: A step shrunk below this was blamed on the step too often: the slope is wrong.
SHORTEST = 1e-7
#: Up to this many hyper-parameters their Hessian is approximated as a dense matrix.
SMALL = 50
#: Bounds of theta so near are gone onto at once.
AHEAD = 1e-3
#: A bound is taken for this many times the error, where no proof is needed.
LOOSE = 4.0
#: A capped step that brings this share of the linear prediction was too short.
STRAIGHT = 0.5
#: An effect on the hypergradient is taken for this many times the one seen last.
SAFETY = 1.5
#: Share of an effect seen earlier that is still believed.
MEMORY = 0.5
#: Root mean square step along directions that no curvature is known of.
RADIUS = 0.3
#: Root mean square of the first step in the metric of logarithms of penalties.
FIRST = 1.5
#: Least entry of the diagonal metric, relative to the root mean square.
LEAST = 0.3
#: A target is certified at once when the accuracy lacks no more than this factor.
CLOSE = 0.03


def _updated(old: float, seen: float) -> float:
    """The effect seen now, or half of an earlier one where that is larger."""
    return seen if math.isinf(old) else max(seen, MEMORY * old)


@dataclasses.dataclass
class QuasiNewton(OuterSolver):
    """Descent along ``-B z`` with a line search on corrected values and bounds.

    A failed test is blamed on the step, when even the favourable ends of the two
    intervals fail, and on the accuracy otherwise.
    """

    spectral: bool = False

    name = "maid-qn"

    # ----------------------------------------------------------------- accuracy
    def settle(self, state: OuterState) -> None:
        """Refine until the hypergradient is relatively accurate.

        Its error, about ``||J|| (||H^-1 s|| + L_g e / mu) + L_J e ||q||``, is to be at
        most tau ``||z||`` (or a tenth of what ``gtol`` asks for). These norms are those
        of the worst case; how far the hypergradient has moved while s and e shrank
        tells what they do here. The value's bound, which the line search trusts, knows
        nothing of such estimates.
        """
        if self.oracle.needs_secant:
            # Two iterates far enough apart show how the Hessian varies.
            state.point = self.evaluator.refine(state.point, 0.02 * state.point.e)
            state.eps = min(state.eps, state.point.e)
        start: tuple[Array, float] | None = None
        for _ in range(30):
            point = state.point
            z = self.evaluator.gradient(point)
            error = self._allowed(state, z)
            by_q, by_x = self._by_adjoint(state, point), self._by_solution(state, point)
            if by_q > error:
                before = point.s_norm
                self.evaluator.solve_adjoint(point, 0.7 * before * error / by_q)
                if not point.s_norm < before:
                    break
                moved = norm(self.evaluator.gradient(point) - z)
                state.per_residual = _updated(state.per_residual, moved / before)
            elif by_x > error:
                start = (z, point.e) if start is None else start
                eps = 0.7 * point.e * error / by_x
                refined = self.evaluator.refine(point, eps)
                if not refined.e < point.e:
                    break
                state.point = refined
                state.eps = min(state.eps, eps * self.options.nu_up)
            else:
                break
        if start is not None:
            moved = norm(self.evaluator.gradient(state.point) - start[0])
            state.per_distance = _updated(state.per_distance, moved / start[1])

    def _allowed(self, state: OuterState, z: Array) -> float:
        """Error allowed to the hypergradient."""
        size = norm(self.projected(state, state.point.theta, z))
        return max(state.tau * size, 0.1 * self.options.gtol * state.z_scale)

    def _by_adjoint(self, state: OuterState, point: Point) -> float:
        """Error of the hypergradient by the adjoint's residual: bounded, or as seen."""
        seen = SAFETY * state.per_residual * point.s_norm
        return min(self.evaluator.adjoint_share(point), seen)

    def _by_solution(self, state: OuterState, point: Point) -> float:
        """Error of the hypergradient by the distance of x: bounded, or as seen.

        The adjoint moves with x through g and, where that is estimated well, through
        the Hessian; the mixed derivative moves with x too.
        """
        oracle = self.oracle
        moves = oracle.L_g + (point.variation if oracle.by_secants else 0.0)
        slope = oracle.cross_norm_seen * moves / oracle.curvature(point.theta)
        bounded = max(slope * point.e, self.evaluator.solution_share(point))
        return min(bounded, SAFETY * state.per_distance * point.e)

    def _noise(self, state: OuterState, point: Point) -> float:
        """Estimated error of the hypergradient."""
        return self._by_adjoint(state, point) + self._by_solution(state, point)

    # --------------------------------------------------------------------- step
    def step(self, problem: BilevelProblem, state: OuterState) -> OuterState:
        """One accepted step, or a reason to stop."""
        direction = self._direction(state)
        if self._is_flat(state, direction):
            return state
        found = self._search(state, direction)
        if found is None:
            return state
        old, z_old = state.point, self.evaluator.gradient(state.point)
        noise = self._noise(state, old)
        state.n_collapses = 0
        self.accept(state, found)
        self._certify_target(state)
        if self.reached(state):
            return state
        self.settle(state)
        state.upper_end = state.point.value + state.point.bound
        s = state.point.theta - old.theta
        y = self.evaluator.gradient(state.point) - z_old
        if clean_pair(s, y, noise + self._noise(state, state.point)):
            state.pairs.append((s, y))
            del state.pairs[: -self._memory(s)]
            state.stretch = 1.0
        elif norm(y) <= 2 * (noise + self._noise(state, state.point)):
            # The curvature drowned in the errors of the gradients: smaller errors and
            # a longer step bring it up.
            state.tau *= 0.2
            state.stretch *= 4.0
        return state

    def _certify_target(self, state: OuterState) -> None:
        """Refine where the value has passed the target and only its bound has not."""
        point, target = state.point, self.options.f_target
        if target is None or not point.value < target < point.value + point.bound:
            return
        share = 0.5 * (target - point.value) / point.bound
        factor = math.sqrt(share)
        if factor < CLOSE:
            return
        refined = self.evaluator.refine(point, factor * point.e)
        if refined.bound > 2 * share * point.bound:
            self.evaluator.solve_adjoint(refined, factor * refined.s_norm)
        if refined.bound < point.bound:
            state.point = refined
            state.upper_end = refined.value + refined.bound

    def _is_flat(self, state: OuterState, direction: Array) -> bool:
        """Stop where a flat step would be followed by another, as far as one sees."""
        pred = -dot(self.evaluator.gradient(state.point), direction)
        level = self.options.ftol * abs(state.upper_end)
        if state.n_flat == 0 or not state.pairs or pred > level:
            return False
        state.stop = Stop(
            "converged",
            f"relative decrease, seen and predicted, <= ftol {self.options.ftol:.1e}",
        )
        return True

    def _memory(self, s: Array) -> int:
        size = math.prod(s.shape)
        return max(self.options.memory, size) if size <= SMALL else self.options.memory

    def _direction(self, state: OuterState) -> Array:
        """Descent direction, projected, no longer than ``max_step``."""
        point = state.point
        z = self.projected(state, point.theta, self.evaluator.gradient(point))
        z, onto = self._next_to_bounds(state, z)
        size = math.prod(z.shape)
        if not state.pairs:
            d = self._first(z)
        elif self.spectral:
            d = barzilai_borwein(z, state.pairs)
        elif size <= SMALL:
            d = secant_fit(z, state.pairs, radius=RADIUS * math.sqrt(size))
        else:
            d = two_loop(z, state.pairs, self._scale(z))
            if state.low is not None:
                xp = array_namespace(z)
                d = xp.where(z == 0, xp.zeros_like(d), d)
        limit = state.reach * self.options.max_step / max(max_abs(d), 1e-300)
        state.is_capped = limit < state.stretch
        d = d * min(state.stretch, limit)
        return d if onto is None else d + onto

    def _next_to_bounds(
        self, state: OuterState, z: Array
    ) -> tuple[Array, Array | None]:
        """The rest of z, and the moves of components onto bounds just ahead of them.

        What a bound cuts off must not be part of a model of the other components
        (Bertsekas 1982, SIAM J. Control Optim. 20).
        """
        if state.low is None:
            return z, None
        xp, theta = array_namespace(z), state.point.theta
        zero = xp.zeros_like(z)
        ahead = xp.where(z > 0, state.low, state.high) - theta
        near = (z != 0) & (xp.abs(ahead) < AHEAD)
        return xp.where(near, zero, z), xp.where(near, ahead, zero)

    def _first(self, z: Array) -> Array:
        """First direction: of root mean square 1, or ``step0`` times ``-z``."""
        step0, scale = self.options.step0, self._scale(z)
        if step0 is not None:
            return -step0 * z
        d, size = -z, 1.0
        if scale is not None and not self.spectral:
            d, size = scale * d, FIRST
        return (size * math.sqrt(math.prod(z.shape)) / max(norm(d), 1e-300)) * d

    def _scale(self, z: Array) -> Array | None:
        """Diagonal metric of logarithms of many penalties, None for other parameters.

        Where a penalty c is tiny f is affine in c, where it is huge in 1/c: in both
        tails the second derivative in log c is the size of the first.
        """
        size = math.prod(z.shape)
        if size <= SMALL or not getattr(self.oracle.lower, "logarithmic", False):
            return None
        xp = array_namespace(z)
        typical = norm(z) / math.sqrt(size)
        return 1 / (xp.abs(z) + max(LEAST * typical, 1e-300))

    def _search(self, state: OuterState, direction: Array) -> Point | None:
        """Line search with triage; None after a collapse."""
        t, share = 1.0, 1.0
        last: tuple[float, Point] | None = None
        for _ in range(3 * self.options.max_bt):
            point = state.point
            theta = self.clip(state, point.theta + t * direction)
            move = theta - point.theta
            pred = -dot(self.evaluator.gradient(point), move)
            if not pred > 0 or norm(move) == 0.0 or t < SHORTEST:
                break
            trial = self._trial(state, theta, share * pred, last, t)
            gap = trial.value - point.value
            bounds = trial.bound + point.bound
            if gap + bounds <= -self.options.lam * pred:
                state.step = t
                self._relax(state, clean=last is None)
                if not state.is_capped:
                    state.reach = 1.0
                elif last is None and gap <= -STRAIGHT * pred:
                    state.reach *= 2.0
                return trial
            state.n_failures += 1
            last = (t, trial)
            # To reject a step takes no proof.
            if gap - bounds / LOOSE > -self.options.lam * pred:
                t *= min(max(0.5 * pred / (gap + pred), SHRINK[0]), SHRINK[1])
                continue
            # A decrease far below the prediction is to be resolved all the same.
            share = min(share, max(abs(gap), 0.1 * bounds) / pred)
            scale = min(pred, max(abs(gap), bounds))
            if not self._sharpen(state, scale, bounds):
                state.pairs.clear()
                self.collapse(state, precision=True)
                return None
        state.pairs.clear()
        self.collapse(state, precision=False)
        if state.stop is None:
            self._doubt(state)
        return None

    def _doubt(self, state: OuterState) -> None:
        """After a slope that led nowhere: what was seen of its error was too little."""
        state.per_residual = state.per_distance = math.inf
        state.tau *= 0.1
        state.eps *= 0.1
        self.settle(state)
        state.upper_end = state.point.value + state.point.bound

    def _trial(
        self,
        state: OuterState,
        theta: Array,
        scale: float,
        last: tuple[float, Point] | None,
        t: float,
    ) -> Point:
        """Corrected value at a trial point, with bounds small beside ``scale``.

        A point that has failed for its accuracy is refined, and shows where to start
        at a shorter step.
        """
        point = state.point
        if last is not None and last[0] == t:
            trial = self.evaluator.refine(last[1], state.eps)
        else:
            x = point.x
            if last is not None:
                t_last, failed = last
                x = x + (t / t_last) * (failed.x - x)
            # The remainder of the value is about (L_g + M) e^2 / 2.
            remainder = max(self.oracle.L_g + point.variation, 1e-300)
            eps = min(state.eps, math.sqrt(KAPPA * scale / remainder))
            trial = self.evaluator.trial(theta, x, point.q, eps)
        tiny = 1e-15 * norm(trial.gx)
        wanted = KAPPA * scale / max(trial.e, 1e-300)
        self.evaluator.solve_adjoint(trial, max(wanted, tiny))
        return trial

    def _sharpen(self, state: OuterState, scale: float, bounds: float) -> bool:
        """Make bounds small beside ``scale``; False where rounding forbids it."""
        factor = min(math.sqrt(KAPPA * scale / bounds), 0.7)
        point = state.point
        floor = self.oracle.floor(point.x, point.theta)
        if state.eps <= floor and point.e <= floor:
            return False
        state.eps = max(factor * min(state.eps, max(point.e, state.eps)), floor)
        old = point.bound
        wanted = factor * point.s_norm
        if point.bound > KAPPA * scale / 2:
            refined = self.evaluator.refine(point, state.eps)
            if refined.s_norm * refined.e > KAPPA * scale / 4:
                self.evaluator.solve_adjoint(refined, wanted)
            state.point = refined
            state.upper_end = refined.value + refined.bound
        return state.point.bound < old or state.eps > floor

    def _relax(self, state: OuterState, *, clean: bool) -> None:
        if clean:
            state.eps *= self.options.nu_up
            state.delta *= self.options.nu_up
