# SPDX-License-Identifier: BSD-3-Clause
"""Paths of squares on one Gram matrix of all columns, certified all at once.

Where columns are few, one product X^T X replaces the passes over the design that
working sets make at each strength. A gap computed from it holds on the data up to
rounding, which is bounded; strengths for which the bound is too large are certified by
two products of the design with their coefficients.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from numopt.coordinate._problem.data import LinearData
from numopt.coordinate._problem.groups import ScalarTerms
from numopt.coordinate._solvers.columns import GramCache
from numopt.coordinate._solvers.inner import minimise_gram
from numopt.coordinate._solvers.quadratic import (
    INNER_TOL,
    MOST_COLUMNS,
    QuadraticProblem,
)

__all__ = ["GramPath", "suits_gram"]

#: A column of the Gram matrix costs about 1 / 8 pass over the design, a strength by
#: working sets at least two.
COLUMNS_A_STRENGTH = 16
#: Columns from which starting on a line saves more than drawing it costs.
WORTH_A_LINE = 200
#: Roundings that a term of a product takes part in, generously.
TERM_ROUNDINGS = 4


def suits_gram(data: LinearData, unit: ScalarTerms, alphas: np.ndarray) -> bool:
    """Whether one Gram matrix of all columns is cheaper than passes, and suffices."""
    n, p = data.shape
    few = p <= min(MOST_COLUMNS, COLUMNS_A_STRENGTH * alphas.size, 2 * n)
    return bool(
        few
        and isinstance(data.X, np.ndarray)
        and alphas.size
        and alphas[-1] > 0
        and np.all((unit.l1 > 0) & np.isfinite(unit.l1))
        and np.all(unit.upper == np.inf)
        and np.all((unit.lower == -np.inf) | (unit.lower == 0))
    )


class GramPath:
    """Solves on the Gram matrix; ``close`` verifies on the data and repairs.

    Parameters
    ----------
    problem : QuadraticProblem
        The first strength.
    unit : ScalarTerms
        The penalty of strength 1.
    repair : callable
        ``repair(alpha, coef)`` solves one strength by passes over the design.
    """

    def __init__(
        self,
        problem: QuadraticProblem,
        unit: ScalarTerms,
        repair: Callable[[float, np.ndarray], dict[str, Any]],
    ) -> None:
        data = problem.data
        self.problem, self.unit, self.repair = problem, unit, repair
        self.total, self.index = data.total, np.arange(data.shape[1])
        self.alphas: list[float] = []
        self.cache = GramCache(data, center=problem.fit_intercept)
        self.cache.extend_all(problem.start)
        self.squares = float(data.weighted(problem.target**2).sum())
        self.target = INNER_TOL * problem.tol * problem.null.scale * self.total
        self.means = _column_means(problem)
        self.offset = float(data.weighted(data.y).sum()) / self.total
        self.ridged = bool(unit.l2.any())
        # The slopes G w - c, kept up to date by the kernel.
        self.q = -self.cache.c[: self.index.size]
        self.last = self.cache.w[: self.index.size].copy(), self.q.copy()

    def solve(self, alpha: float) -> dict[str, Any]:
        """Solve on the Gram matrix from the coefficients of the last strength."""
        cache, unit, m = self.cache, self.unit, self.index.size
        w, c = cache.w[:m], cache.c[:m]
        self.alphas.append(alpha)
        if self.ridged:
            ridge = self.total * alpha * unit.l2
            self.q += (ridge - cache.ridge[:m]) * w
            cache.set_ridge(ridge)
        elif m >= WORTH_A_LINE:
            self._predict(w)
        lam = self.total * alpha * unit.l1
        gap, _ = minimise_gram(
            cache.G,
            w,
            self.q,
            c,
            lam,
            unit.lower,
            unit.upper,
            squares=self.squares,
            target=self.target,
            factor=cache.factor,
        )
        coef = w.copy()
        fitted = self.squares - float(c @ coef) + float(self.q @ coef)
        support = np.flatnonzero(coef)
        return {
            "coef": coef,
            "intercept": self.offset - float(self.means @ coef),
            "objective": (0.5 * fitted + float(lam @ np.abs(coef))) / self.total,
            "dual_gap": gap / (self.total * self.problem.null.scale),
            "n_working_set": m,
            "n_support": support.size,
            "support": support,
            "passes": 0,
        }

    def _predict(self, w: np.ndarray) -> None:
        """Go on along the line through the last two solutions.

        A path of squares with L1 terms is piecewise linear in its strength, and so are
        the slopes; coordinates that would change sign stop at 0.
        """
        now = w.copy(), self.q.copy()
        if len(self.alphas) > 2:
            first, second, third = self.alphas[-3:]
            # No further than the last step went: a line drawn from less is no guide.
            t = min((second - third) / (first - second), 1.0) if first > second else 0.0
            step = t * (w - self.last[0])
            new = w + step
            off = np.flatnonzero((new != 0) & (w * new <= 0))
            self.q += t * (self.q - self.last[1])
            self.q -= self.cache.G[off, : w.size].T @ new[off]
            new[off] = 0.0
            w[:] = new
        self.last = now

    def close(self, rows: list[dict[str, Any]], coefs: np.ndarray) -> None:
        """Certify every strength; solve again what fails."""
        alphas = np.asarray(self.alphas)
        gaps = self._bounded_gaps(coefs.T, alphas)
        loose = np.flatnonzero(~(gaps <= self.problem.tol))
        if loose.size:
            gaps[loose] = self._gaps(coefs[loose].T, alphas[loose])
        for k, (row, gap) in enumerate(zip(rows, gaps, strict=True)):
            row["dual_gap"], row["passes"] = float(gap), 1
            if not gap <= self.problem.tol:
                again = self.repair(self.alphas[k], coefs[k])
                coefs[k] = again.pop("coef")
                row |= again | {"passes": 1 + again["passes"]}

    def _bounded_gaps(self, coefs: np.ndarray, alphas: np.ndarray) -> np.ndarray:
        """Relative gaps of all strengths from the Gram matrix, with their rounding.

        In any order of summation a product of the stored columns is off by at most
        ``share ||x_j|| ||x_k||`` (Higham 2002, "Accuracy and stability of numerical
        algorithms", section 3.1), so a slope by ``share ||x_j|| reach`` and a square
        by ``share reach^2`` with ``reach = ||y|| + sum_k ||x_k|| |w_k|``.
        """
        cache, unit, p = self.cache, self.unit, self.index.size
        c, ridge = cache.c[:p, None], self.total * alphas * unit.l2[:, None]
        slopes = c - cache.G[:p, :p] @ coefs + (cache.ridge[:p, None] - ridge) * coefs
        along = self.squares - np.sum(c * coefs, axis=0)
        squares = along - np.sum(slopes * coefs, axis=0)
        terms = self.problem.data.shape[0] + p + alphas.size
        share = TERM_ROUNDINGS * terms * np.finfo(np.float64).eps
        # Ridge terms were on the diagonal: they count as further rows.
        norms = np.sqrt(cache.squares[:p] + ridge.max(axis=1))
        reach = np.sqrt(self.squares) + norms @ np.abs(coefs)
        primal = 0.5 * squares + self.total * alphas * (unit.l1 @ np.abs(coefs))
        off = share * reach * norms[:, None]
        scale, dual = self._dual(slopes, off, along, squares, alphas)
        gaps = primal - dual + 0.5 * share * (reach * (1.0 + scale)) ** 2
        return gaps / (self.total * self.problem.null.scale)

    def _dual(
        self,
        slopes: np.ndarray,
        off: Any,
        along: np.ndarray,
        squares: np.ndarray,
        alphas: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Best feasible scale of the residuals and its dual value, unscaled.

        ``slopes`` are within ``off``; ridge terms count as further rows of squares.
        """
        unit = self.unit
        push = np.where(unit.lower[:, None] < 0, np.abs(slopes), slopes) + off
        top = np.max(push / unit.l1[:, None], axis=0) / (self.total * alphas)
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = np.where(squares > 0, along / squares, 1.0)
            scale = np.minimum(scale, np.where(top > 0, 1.0 / top, np.inf))
        scale = np.maximum(scale, 0.0)
        return scale, scale * along - 0.5 * scale**2 * squares

    def _gaps(self, coefs: np.ndarray, alphas: np.ndarray) -> np.ndarray:
        """Relative gaps of some strengths by products with the design.

        The Gram matrix squares the condition number: what it certifies need not hold
        on the data to the last digit.
        """
        problem, unit, total = self.problem, self.unit, self.total
        assert self.cache.columns is not None
        columns = self.cache.columns[:, : self.index.size]
        root = 1.0 if self.cache.root is None else self.cache.root[:, None]
        target = root * problem.target[:, None]
        ridge = total * alphas * unit.l2[:, None]
        residuals = target - columns @ coefs
        pull = columns.T @ residuals
        slopes = pull - ridge * coefs
        along = np.sum(target * residuals, axis=0)
        fitted = np.sum(residuals**2, axis=0)
        squares = fitted + np.sum(ridge * coefs**2, axis=0)
        primal = 0.5 * squares + total * alphas * (unit.l1 @ np.abs(coefs))
        _, dual = self._dual(slopes, 0.0, along, squares, alphas)
        if self.ridged and np.all(unit.l2 > 0):
            # With ridge terms everywhere the residual itself is feasible, too.
            push = np.where(unit.lower[:, None] < 0, np.abs(pull), pull)
            excess = np.maximum(push - total * alphas * unit.l1[:, None], 0.0)
            squares = fitted + np.sum(excess**2 / ridge, axis=0)
            dual = np.maximum(dual, along - 0.5 * squares)
        return (primal - dual) / (total * problem.null.scale)


def _column_means(problem: QuadraticProblem) -> np.ndarray:
    """Weighted means of the columns, 0 without an intercept."""
    data = problem.data
    if not problem.fit_intercept:
        return np.zeros(data.shape[1])
    return data.correlate(data.weighted(np.ones(data.shape[0]))) / data.total
