# SPDX-License-Identifier: BSD-3-Clause
"""Annealed semi-dual Newton: levels of decreasing eps, each started from the last.

A level that fails is tried again from the last solved one with a smaller factor
(adaptive annealing), which is what makes extremely small regularisations work.
"""

import dataclasses
import math
from collections.abc import Iterator

from numopt._array.namespace import device, namespace_key, to_numpy
from numopt._iterate.stopping import Stop
from numopt.ot._problem import CoreProblem
from numopt.ot._problem.cost import DenseCost
from numopt.ot._solvers.newton import KEEP, Point, evaluate, solve_level
from numopt.ot._solvers.oracles import (
    CertifiedOracle,
    DenseOracle,
    SupportOracle,
    fill_columns,
    fits_single,
)
from numopt.ot._solvers.simplex import exact_potentials
from numopt.ot._solvers.state import (
    LEVEL_TOL,
    Options,
    TransportState,
    next_eps,
)
from numopt.typing import Array

__all__ = ["direct_newton_rounds", "newton_rounds"]

#: Support of an intermediate level: P_ij > a_i b_j exp(-TAU), and its largest.
TAU, LARGEST_TAU = 10.0, 40.0
#: Errors: accepted on a dense intermediate level, accepted on any intermediate level,
#: and where the last level turns to all entries at the latest.
DENSE_TOL, ACCEPTED, SWITCH = 5e-2, 5.1e-2, 1e-3
#: The mass outside a support of radius r is below exp(-r): from an error of this many
#: times that, only gradients over all entries count.
SLACK = 1e3
MAX_LEVELS, SUPPORT_ROUNDS, SMALLEST_FACTOR = 60, 12, 1.02
#: Entries up to which Hessians are factored, and the problem is solved without
#: regularisation, where the last level fails.
SMALL = 250_000


def newton_rounds(
    problem: CoreProblem, state: TransportState, options: Options
) -> Iterator[None]:
    """Annealed Newton on truncated supports (dense ones on other array libraries)."""
    truncated = namespace_key(problem.xp) == "numpy"
    yield from Annealer(problem, state, options, truncated=truncated).rounds()


def direct_newton_rounds(
    problem: CoreProblem, state: TransportState, options: Options
) -> Iterator[None]:
    """Annealed Newton with a dense Cholesky factorisation of the Hessian."""
    yield from Annealer(problem, state, options, truncated=False, direct=True).rounds()


@dataclasses.dataclass
class Annealer:
    """The path in eps: solved levels, the support in use, and the step factor."""

    problem: CoreProblem
    state: TransportState
    options: Options
    truncated: bool
    direct: bool = False
    oracle: SupportOracle | None = None
    path: list[tuple[float, Array, Array]] = dataclasses.field(default_factory=list)

    def rounds(self) -> Iterator[None]:
        """Walk down in eps; yield after each level and each certified solve."""
        state, reg = self.state, self.problem.eps
        factor = self.options.scaling
        remedies = [self._start_exactly, self._factor] if self._is_small() else []
        for _ in range(MAX_LEVELS):
            last = state.eps <= reg
            solved = self._last_level() if last else self._level()
            solved_eps, oracle = state.eps, self.oracle
            if solved and last:
                yield
                return
            if solved:
                self.path.append((state.eps, *self._potentials()))
                factor = min(1.4 * factor, self.options.scaling)
                yield
                self._predict(next_eps(solved_eps, reg, factor))
                good = oracle
            elif not self.path:
                yield
                state.gamma, state.phi = self.problem.log_b, self.problem.log_a
                state.eps *= 8.0
                self.oracle = good = None
            elif last and remedies:
                yield
                remedies.pop()()
            else:
                yield
                factor = math.sqrt(factor)
                if factor < SMALLEST_FACTOR:
                    break
                self._go_back(good)
                state.move_to(self.problem, next_eps(state.eps, reg, factor))
        state.stopped = Stop(
            "stalled",
            f"the annealing stopped at eps={state.eps:.3g} (reg={reg:.3g}) with "
            f"marginal error {state.error:.2e}; increase `reg`, or solve the "
            "unregularised problem by ot_exact",
        )

    def _level(self) -> bool:
        """Solve an intermediate level roughly."""
        self.state.stage = "anneal"
        for _ in range(SUPPORT_ROUNDS):
            oracle, point = self._make_oracle(TAU)
            tol = LEVEL_TOL if oracle.truncated else DENSE_TOL
            point, word = solve_level(oracle, point, tol)
            self._store(point, word, certified=False)
            if word != "outside":
                break
        return self.state.error < ACCEPTED

    def _last_level(self) -> bool:
        """Solve on the support first, then with gradients over all entries."""
        self.state.stage = "newton"
        tau, keep, tol, patience = self.options.tau, KEEP, self.options.tol, 2
        for _ in range(SUPPORT_ROUNDS):
            oracle, point = self._make_oracle(tau)
            if isinstance(oracle, DenseOracle):
                return self._last_dense_level(oracle, point)
            # Where the support's own error says no more about all entries.
            switch = max(0.3 * tol, SLACK * math.exp(-oracle.radius))
            point, word = solve_level(oracle, point, min(switch, SWITCH), keep)
            self._store(point, word, certified=False)
            if word == "outside":
                continue
            full = CertifiedOracle(oracle)
            point = evaluate(full, point.gamma, point.phi)
            point, word = solve_level(full, point, tol, keep, patience)
            self._store(point, word, certified=True)
            if word in ("solved", "stalled"):
                return word == "solved"
            if word == "slow":
                # Modes coupled only through entries outside: store more of them.
                if tau >= LARGEST_TAU:
                    return False
                tau, keep, patience = tau + 6.0, keep / 30.0, 2 * patience
                self.oracle = None
        return False

    def _last_dense_level(self, oracle: DenseOracle, point: Point) -> bool:
        """Solve without a support: float32 passes first, then float64."""
        tol = self.options.tol
        if not oracle.certified:
            point, _ = solve_level(oracle, point, max(tol, SWITCH))
        oracle = DenseOracle(self.problem, self.state, direct=self.direct)
        point = evaluate(oracle, point.gamma, point.phi)
        point, word = solve_level(oracle, point, tol)
        self._store(point, word, certified=True)
        return word == "solved"

    def _make_oracle(self, tau: float) -> tuple[DenseOracle | SupportOracle, Point]:
        """Narrow the stored support while it is valid, else scan; dense if too full."""
        problem, state = self.problem, self.state
        old, self.oracle = self.oracle, None
        if old is not None:
            self.oracle = old.narrow(tau)
        if self.oracle is None:
            single = not self.direct and fits_single(problem, state.eps)
            dense = DenseOracle(problem, state, single=single, direct=self.direct)
            gamma, phi, c = fill_columns(dense, state.gamma, state.phi)
            state.gamma, state.phi = gamma, phi
            point = Point(gamma, phi, c, problem.residual(c))
            if not self.truncated:
                return dense, point
            fraction = problem.cost.max_fractions[state.eps <= problem.eps]
            limit = int(fraction * problem.cost.entries)
            if self.options.max_support is not None:
                limit = min(limit, self.options.max_support)
            self.oracle = SupportOracle.scan(
                problem, state, tau, limit, single=not dense.certified
            )
            if self.oracle is None:
                state.nnz = problem.cost.entries
                return dense, point
        return self.oracle, evaluate(self.oracle, state.gamma, state.phi)

    def _store(self, point: Point, word: str, *, certified: bool) -> None:
        state = self.state
        state.gamma, state.phi, state.c = point.gamma, point.phi, point.c
        state.error, state.certified = point.error, certified
        if word == "outside":
            self.oracle = None

    def _potentials(self) -> tuple[Array, Array]:
        state, p = self.state, self.problem
        return (state.gamma - p.log_b) * state.eps, (state.phi - p.log_a) * state.eps

    def _move(self, eps: float, g: Array, f: Array) -> None:
        """Go to another eps with given unscaled potentials."""
        state, p = self.state, self.problem
        state.eps, state.certified = eps, False
        state.gamma, state.phi = g / eps + p.log_b, f / eps + p.log_a

    def _is_small(self) -> bool:
        """Whether costs are stored, finite and few."""
        p = self.problem
        return isinstance(p.cost, DenseCost) and p.finite and p.cost.entries <= SMALL

    def _factor(self) -> None:
        """Factor Hessians over all entries from now on, where modes may be weak."""
        self.truncated, self.direct, self.oracle = False, True, None

    def _start_exactly(self) -> None:
        """Start from the potentials without regularisation.

        Where groups of points exchange next to no mass, their potentials differ by
        many eps from those of the last level: a way too long for Newton steps.
        """
        p = self.problem
        f, g = exact_potentials(*map(to_numpy, (p.a, p.b, p.M)))
        like = {"dtype": p.log_a.dtype, "device": device(p.log_a)}
        self._move(p.eps, p.xp.asarray(g, **like), p.xp.asarray(f, **like))
        self.oracle = None

    def _go_back(self, oracle: SupportOracle | None) -> None:
        """Return to the last solved level."""
        eps, g, f = self.path[-1]
        self._move(eps, g, f)
        self.oracle = oracle

    def _predict(self, eps: float) -> None:
        """Extrapolate the potentials linearly in eps from the two last levels."""
        if len(self.path) < 2:
            self.state.move_to(self.problem, eps)
            return
        xp, p = self.problem.xp, self.problem
        (e0, g0, f0), (e1, g1, f1) = self.path[-2:]
        t = (e1 - eps) / (e0 - e1)
        dg, df = t * (g1 - g0), t * (f1 - f0)
        dg, df = dg - xp.sum(p.b * dg), df - xp.sum(p.a * df)
        self._move(eps, g1 + dg, f1 + df)
