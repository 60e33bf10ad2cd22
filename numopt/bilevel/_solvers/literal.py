# SPDX-License-Identifier: BSD-3-Clause
"""``maid`` as published: inexact descent direction, inexact line search, accuracies.

Salehi, Mukherjee, Roberts & Ehrhardt (2025), algorithms 3.1 and 3.2.
"""

import dataclasses

from numopt.bilevel._problem.arrays import dot, norm
from numopt.bilevel._problem.protocols import BilevelProblem
from numopt.bilevel._solvers.outer import OuterSolver, OuterState
from numopt.bilevel._solvers.point import Point
from numopt.typing import Array

__all__ = ["Maid", "plain_value"]

#: Without ``step0``: the published first step length.
STEP0 = 0.01


def plain_value(point: Point, L_g: float) -> None:
    """Replace the corrected value by ``g(x)`` with its first-order bound.

    ``|g(x) - f| <= ||grad g|| e + L_g e^2 / 2``. Convexity of g spares the last term
    on one side only, which the line search uses.
    """
    point.value = point.g
    point.bound = norm(point.gx) * point.e + 0.5 * L_g * point.e**2


@dataclasses.dataclass
class Maid(OuterSolver):
    """The published method: ``-z`` with backtracking in step and accuracy."""

    name = "maid"

    def settle(self, state: OuterState) -> None:
        """The first step length; accuracies are refined by the steps."""
        state.step = self.options.step0 or STEP0
        state.memory = state.step
        self._plain(state.point)

    def _plain(self, point: Point) -> None:
        plain_value(point, self.oracle.L_g)

    @property
    def _convex(self) -> bool:
        return bool(getattr(self.oracle.upper, "convex", False))

    def step(self, problem: BilevelProblem, state: OuterState) -> OuterState:
        """Algorithm 3.1: one accepted step."""
        options = self.options
        for j in range(options.max_bt, 4 * options.max_bt):
            if not self._descent(state):
                self.collapse(state, precision=True)
                return state
            trial = self._line_search(state, j)
            if trial is not None:
                return self._accepted(state, trial)
            if not self._tighten(state):
                self.collapse(state, precision=True)
                return state
        self.collapse(state, precision=False)
        return state

    def _accepted(self, state: OuterState, trial: Point) -> OuterState:
        options = self.options
        state.n_collapses = 0
        self.evaluator.solve_adjoint(trial, state.delta)
        self._plain(trial)
        self.accept(state, trial)
        state.memory = options.rho_up * state.step
        state.eps *= options.nu_up
        state.delta *= options.nu_up
        return state

    def _tighten(self, state: OuterState) -> bool:
        """Shrink both accuracies; False at the level of rounding."""
        state.eps *= self.options.nu
        state.delta *= self.options.nu
        return state.eps > self.oracle.floor(state.point.x, state.point.theta)

    def _descent(self, state: OuterState) -> bool:
        """Algorithm 3.2: accuracies at which ``-z`` is a descent direction."""
        while True:
            point = self.evaluator.refine(state.point, state.eps)
            self.evaluator.solve_adjoint(point, state.delta)
            state.point = point
            self._plain(point)
            z = self.evaluator.gradient(point)
            moves = self.projected(state, point.theta, z)
            if self._omega(point, state) <= (1 - self.options.eta) * norm(moves):
                return True
            if not self._tighten(state):
                return False

    def _omega(self, point: Point, state: OuterState) -> float:
        """Bound of the hypergradient's error (Ehrhardt & Roberts 2024).

        With the accuracies reached in place of those asked for.
        """
        oracle = self.oracle
        J = oracle.cross_norm(point.x, point.theta)
        L_J = oracle.cross_lipschitz(point.theta)
        mu, L_g, e = oracle.curvature(point.theta), oracle.L_g, point.e
        size = norm(point.gx)
        lipschitz = point.variation / max(norm(point.q), 1e-300)
        c = (L_g * J + L_J * size) / mu + lipschitz / mu**2 * size * J
        return c * e + J / mu * point.s_norm + L_J * L_g / mu * e**2

    def _line_search(self, state: OuterState, trials: int) -> Point | None:
        options, point = self.options, state.point
        z = self.evaluator.gradient(point)
        step = state.memory
        for _ in range(trials):
            theta = self.clip(state, point.theta - step * z)
            trial = self._trial(state, theta)
            if self._psi(point, trial, theta) <= 0 and norm(theta - point.theta) > 0:
                state.step = step
                return trial
            state.n_failures += 1
            step *= options.rho
        return None

    def _trial(self, state: OuterState, theta: Array) -> Point:
        trial = self.evaluator.trial(
            theta, state.point.x, state.point.q, state.eps, measure=False
        )
        self._plain(trial)
        return trial

    def _psi(self, point: Point, trial: Point, theta: Array) -> float:
        """Certified Armijo test; in a box the move replaces ``-step z``."""
        L_g = self.oracle.L_g
        upper = trial.g + norm(trial.gx) * trial.e + 0.5 * L_g * trial.e**2
        lower = point.g - norm(point.gx) * point.e
        if not self._convex:
            lower -= 0.5 * L_g * point.e**2
        move = theta - point.theta
        return (
            upper - lower - self.options.lam * dot(self.evaluator.gradient(point), move)
        )
