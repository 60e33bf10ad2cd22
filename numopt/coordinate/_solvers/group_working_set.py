# SPDX-License-Identifier: BSD-3-Clause
"""Working sets of groups for squares with group penalties."""

import dataclasses
import functools
from typing import Any

import numpy as np

from numopt._array.namespace import numpy_namespace
from numopt._iterate.loop import Solver
from numopt._iterate.stopping import Stop
from numopt.coordinate._kernels.descent import norm_ratios
from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._problem.datafits import Quadratic
from numopt.coordinate._problem.duality import group_dual, group_ratios
from numopt.coordinate._problem.groups import GroupTerms, group_index
from numopt.coordinate._problem.null import NullModel
from numopt.coordinate._problem.penalties import Penalty
from numopt.coordinate._solvers.group_columns import GroupColumns
from numopt.coordinate._solvers.quadratic import (
    EXACT,
    INNER_TOL,
    MANY_NEW,
    recover_intercept,
    refresh,
    screen,
)
from numopt.coordinate._solvers.quadratic_state import QuadraticState, centred_targets
from numopt.coordinate._solvers.screening import Screened, ScreenedGroups
from numopt.coordinate._solvers.stored_groups import StoredGroups

__all__ = ["GroupProblem", "GroupState", "GroupWorkingSet"]

#: The inner gap relative to the outer one.
GROUP_SHARE = 0.3
#: Columns beyond this share of the rows are worked on without a Gram matrix.
MANY = 0.5
#: Fewest groups that a pass adds.
FIRST_GROUPS = 40


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class GroupProblem:
    """Squares with a group penalty; ``owner`` is the group of every coordinate."""

    data: LinearData
    groups: GroupTerms
    owner: np.ndarray
    null: NullModel
    fit_intercept: bool
    target: np.ndarray
    start: np.ndarray
    tol: float

    @functools.cached_property
    def limits(self) -> np.ndarray:
        """Limits of the norms of products, 0 for groups that are never left out."""
        weights = self.groups.weights
        left_out = self.groups.plain | np.isinf(weights)
        return self.data.total * np.where(left_out, weights, 0.0)

    @functools.cached_property
    def plain(self) -> bool:
        """Whether all groups have a weight, and no L1 terms or bounds."""
        groups = self.groups
        shaped = groups.l1.any() or groups.lower.max(initial=-np.inf) > -np.inf
        return bool(groups.weights.min(initial=np.inf) > 0 and not shaped)

    @functools.cached_property
    def exact(self) -> bool:
        """Whether dual constraints allow no slack: bounds without any penalty."""
        free = self.groups.weights[self.owner] == 0
        return bool(np.any(free & (self.groups.lower == 0)))

    @property
    def simple(self) -> bool:
        """Whether products that stay below their limits may be left out on a path."""
        bound = self.null.free.shape[1] > int(self.fit_intercept)
        return not bound and bool(np.any(self.limits > 0))

    def start_screening(
        self, vector: np.ndarray, products: np.ndarray
    ) -> Screened | None:
        """Screening from products of all columns with a vector."""
        return ScreenedGroups.start(self.data, vector, products, groups=self.groups)

    @classmethod
    def build(
        cls,
        data: LinearData,
        penalty: Penalty,
        null: NullModel,
        fit_intercept: bool,
        tol: float,
        start: np.ndarray | None = None,
    ) -> "GroupProblem":
        """Centre the targets and correlate them with the design."""
        groups = penalty.group_terms(data.shape[1])
        assert groups is not None
        target, start = centred_targets(data, fit_intercept, start)
        return cls(
            data=data,
            groups=groups,
            owner=group_index(groups.indptr, groups.indices),
            null=null,
            fit_intercept=fit_intercept,
            target=target,
            start=start,
            tol=tol,
        )


@dataclasses.dataclass
class GroupState(QuadraticState):
    """Also the cache by groups, the norms of those stored, and all dual norms."""

    columns: Any = None
    norms: Any = None
    ratios: Any = None
    #: Share of its threshold from which a group enters; below 1 by the strong rule.
    entry: float = 1.0


@dataclasses.dataclass(frozen=True)
class GroupWorkingSet(Solver[GroupProblem, GroupState]):
    """Grow the working set by groups, solve on it, certify."""

    name = "group coordinate descent"

    def init(self, problem: GroupProblem, warm_start: Any) -> GroupState:
        """Start from a state (on a path), from coefficients, or from 0."""
        if isinstance(warm_start, GroupState):
            state = warm_start
            state.dual, state.stalled = -np.inf, 0
            screen(problem, state)
        else:
            columns = GroupColumns(
                problem.data, problem.groups, center=problem.fit_intercept
            )
            state = GroupState(
                columns.cache, problem.target, problem.start, columns=columns
            )
            sparse = np.bincount(problem.owner, problem.groups.l1) == 0
            wanted = (problem.groups.weights == 0) & sparse
            if warm_start is not None:
                warm_start = problem.data.without_empty(
                    warm_start, centred=problem.fit_intercept
                )
                warm_start = problem.groups.nearest(warm_start)
                wanted[problem.owner[np.flatnonzero(warm_start)]] = True
            columns.extend(np.flatnonzero(wanted), problem.start)
            if warm_start is not None:
                columns.start(warm_start)
                refresh(problem, state)
        self._certify(problem, state)
        return state

    def step(self, problem: GroupProblem, state: GroupState) -> GroupState:
        """Add violating groups, solve, recompute the residual."""
        before = state.gap
        new = self._violators(problem, state)
        state.columns.extend(new, problem.start)
        self._solve(problem, state, new.size)
        refresh(problem, state)
        self._certify(problem, state)
        idle = not new.size and not state.gap < before
        state.stalled = state.stalled + 1 if idle else 0
        return state

    def measure(self, problem: GroupProblem, state: GroupState) -> dict[str, Any]:
        """Objective, relative gap and sizes."""
        return {
            "objective": state.primal,
            "residual": state.gap,
            "dual_gap": state.gap,
            "n_working_set": state.cache.size,
            "n_support": int(np.count_nonzero(state.cache.w[: state.cache.size])),
        }

    def finish(self, problem: GroupProblem, state: GroupState) -> dict[str, Any]:
        """Coefficients, intercept and certificate."""
        coef = state.columns.scatter()
        return {
            "coef": coef,
            "intercept": recover_intercept(problem, coef),
            "objective": state.primal,
            "dual_gap": state.gap,
            "support": np.flatnonzero(coef),
        }

    def current(self, state: GroupState) -> Any:
        """Coefficients of all coordinates."""
        return state.columns.scatter()

    def stop(self, problem: GroupProblem, state: GroupState) -> Stop | None:
        """Stop when several passes brought nothing."""
        if state.stalled < 4:
            return None
        return Stop(
            "stalled",
            f"the relative gap stays at {state.gap:.2e} > tol {problem.tol:.2e}, the "
            "limit of the arithmetic for this problem; increase `tol`",
        )

    def _violators(self, problem: GroupProblem, state: GroupState) -> np.ndarray:
        """Groups outside the working set that violate most."""
        ratios = state.ratios.copy()
        ratios[state.columns.chosen] = 0.0
        found = np.flatnonzero(ratios > state.entry)
        state.entry = 1.0
        limit = max(FIRST_GROUPS, 2 * int(np.count_nonzero(state.norms)))
        if found.size <= limit:
            return found
        return found[np.argpartition(-ratios[found], limit)[:limit]]

    def _solve(self, problem: GroupProblem, state: GroupState, n_new: int) -> None:
        """Solve on the stored groups, of which ``n_new`` are new."""
        cache, groups, total = state.cache, problem.groups, problem.data.total
        if cache.size == 0:
            # At the critical strength rounding leaves a gap, but nothing to solve on.
            return
        chosen = state.columns.chosen
        target = problem.data.weighted(problem.target)
        unit = total * problem.null.scale
        gap = state.gap if np.isfinite(state.gap) else 1.0
        few = min(1.0, MANY_NEW * n_new / chosen.size)
        share = max(INNER_TOL * problem.tol, GROUP_SHARE * gap * few)
        if problem.exact:
            share = min(share, EXACT)
        stored = StoredGroups(
            starts=state.columns.starts,
            lam=total * groups.weights[chosen],
            l1=total * groups.l1[cache.index],
            lower=groups.lower[cache.index],
            curvature=state.columns.curvature,
            targets=float(target @ problem.target),
            target=unit * share * 0.5**state.stalled,
        )
        w, c = cache.w[: cache.size], cache.c[: cache.size]
        q = state.columns.turned(-state.correlation[cache.index])
        if cache.columns is not None and cache.size > MANY * problem.data.shape[0]:
            root = 1.0 if cache.root is None else cache.root
            residual = root * state.residual
            state.epochs += stored.solve(cache.columns, w, q, c, residual)
        else:
            cache.promote()
            state.epochs += stored.solve(cache.G, w, q, c)

    def _certify(self, problem: GroupProblem, state: GroupState) -> None:
        """Update objective, best dual value and relative gap."""
        data, null, groups = problem.data, problem.null, problem.groups
        theta, rho, cache = state.residual, state.correlation, state.cache
        weighted = data.weighted(theta)
        squares = float(weighted @ theta)
        w = cache.w[: cache.size]
        state.norms = norms_of(w, state.columns.starts)
        used = state.norms > 0
        penalty = float(groups.weights[state.columns.chosen[used]] @ state.norms[used])
        if not problem.plain:
            penalty += float(groups.l1[cache.index] @ np.abs(w))
        state.primal = 0.5 * squares / data.total + penalty
        if problem.plain and problem.simple:
            run = norm_ratios.for_namespace(numpy_namespace)
            state.ratios = run(rho, groups.indptr, groups.indices, problem.limits)
            top = _largest(problem, state)
            along = float(weighted @ problem.target)
            s = along / squares if squares > 0 else 1.0
            s = max(0.0, min(s, 1.0 / top if top > 0 else np.inf))
            dual = (s * along - 0.5 * s * s * squares) / data.total
        else:
            dual = _general_dual(problem, state)
        state.dual = max(state.dual, dual)
        state.gap = (state.primal - state.dual) / null.scale


def norms_of(w: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Norms of the groups that follow each other in w, from ``starts`` on."""
    if not w.size:
        return np.empty(0)
    return np.sqrt(np.add.reduceat(w * w, starts[:-1]))


def _general_dual(problem: GroupProblem, state: GroupState) -> float:
    """Dual value, with its dual norms, where there are more than weighted groups."""
    data, null, groups = problem.data, problem.null, problem.groups
    theta, rho = state.residual, state.correlation
    state.ratios = group_ratios(rho / data.total, groups)
    top: float | None = _largest(problem, state)
    if null.free.shape[1] > int(problem.fit_intercept):
        theta, top = null.feasible(theta, Quadratic()), None
        rho = data.correlate(data.weighted(theta))
    return group_dual(data, Quadratic(), groups, theta, rho, problem.target, top)


def _largest(problem: GroupProblem, state: GroupState) -> float:
    """The largest dual norm of a group; products that were left out count in full."""
    if not isinstance(state.screened, ScreenedGroups):
        return float(np.max(state.ratios, initial=0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        loose = state.screened.looseness() / problem.limits
    # Only groups with a limit above 0 are ever left out.
    loose[problem.limits == 0] = 0.0
    return float(np.max(state.ratios + loose, initial=0.0))
