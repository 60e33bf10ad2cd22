# SPDX-License-Identifier: BSD-3-Clause
"""The two models behind the imputer: factor analysis, and factors with a ridge."""

import dataclasses
import math
from typing import Any, Self

from numopt._array.namespace import array_namespace
from numopt.completion._problem.factor_analysis import FactorModel, IncompleteTable
from numopt.completion._solvers.factor_analysis import factor_analysis
from numopt.typing import Array

__all__ = ["Evidence", "Ridge"]


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Factor analysis fitted by EM; new rows are imputed by their E-step."""

    model: FactorModel
    units: IncompleteTable
    result: Any

    @classmethod
    def fit(cls, options: Any, table: IncompleteTable) -> Self:
        """Fit with the options of the imputer."""
        result = factor_analysis(
            table,
            options.rank_,
            tol=options.tol,
            max_iter=options.max_iter,
            random_state=options.random_state,
            verbose=int(options.verbose),
        )
        return cls(result.model, table.rows(0, 0), result)

    def components(self) -> Array:
        """Loadings in the units of the data, one row a component."""
        xp = array_namespace(self.model.W)
        return xp.matrix_transpose(self.model.W) * self.units.scale

    def mean(self) -> Array:
        """Expected row."""
        return self.units.offset + self.units.scale * self.model.b

    def noise_variance(self) -> Array:
        """Variance of every column around the low-rank part."""
        return self.model.psi * self.units.scale**2

    def singular_values(self) -> Array:
        """Singular values of the low-rank part of the training table."""
        xp = array_namespace(self.model.W)
        R = xp.linalg.qr(self.result.scores).R
        T = xp.linalg.qr(xp.matrix_transpose(self.components())).R
        return xp.linalg.svdvals(R @ xp.matrix_transpose(T))

    def predict(
        self, X: Array, mask: Array, return_std: bool
    ) -> tuple[Array, Array | None]:
        """Return the conditional expectation of every entry, and its deviation."""
        xp = array_namespace(X)
        table = self.units.like(X, mask)
        values, deviations = [], []
        for lo, hi in table.chunks(self.model.W.shape[1]):
            scores = self.model.scores(table.rows(lo, hi))
            values.append(self.model.expected(scores.mean))
            if return_std:
                deviations.append(xp.sqrt(self.model.variances(scores)))
        scale = self.units.scale
        expected = xp.concat(values) * scale + self.units.offset
        return expected, xp.concat(deviations) * scale if return_std else None


@dataclasses.dataclass(frozen=True)
class Ridge:
    """Factors of `complete`; new rows are ridge regressions on the column factors."""

    result: Any
    units: IncompleteTable
    psi: Array

    @classmethod
    def fit(cls, options: Any, table: IncompleteTable) -> Self:
        """Fit with the options of the imputer."""
        from numopt.completion._solvers import complete

        # A robust loss has no evidence to learn a ridge from.
        robust = options.alpha == "auto" and options.loss != "squared"
        alpha = 0.0 if robust else options.alpha
        result = complete(
            _with_holes(table),
            options.rank_,
            method=options.method,
            loss=options.loss,
            alpha=alpha,
            alpha_scaling=options.alpha_scaling,
            nonnegative=options.nonnegative,
            max_iter=options.max_iter,
            tol=options.tol,
            random_state=options.random_state,
            n_jobs=options.n_jobs,
            verbose=int(options.verbose),
        )
        xp = table.xp
        residual = (table.Z - result.to_dense()) * table.seen
        counts = xp.sum(table.seen, axis=0)
        psi = xp.sum(residual * residual, axis=0) / counts
        return cls(result, table.rows(0, 0), psi)

    def components(self) -> Array:
        """Column factors in the units of the data, one row a component."""
        xp = array_namespace(self.psi)
        return xp.matrix_transpose(self.result.col_factors) * self.units.scale

    def mean(self) -> Array:
        """Expected row of a row without data."""
        return self.units.offset + self.units.scale * self.result.intercept

    def noise_variance(self) -> Array:
        """Mean square of the residuals of every column."""
        return self.psi * self.units.scale**2

    def singular_values(self) -> Array:
        """Singular values of the low-rank part of the training table."""
        xp = array_namespace(self.psi)
        P = xp.linalg.qr(self.result.row_factors).R
        Q = xp.linalg.qr(xp.matrix_transpose(self.components())).R
        return xp.linalg.svdvals(P @ xp.matrix_transpose(Q))

    def predict(
        self, X: Array, mask: Array, return_std: bool
    ) -> tuple[Array, Array | None]:
        """Return the fitted value of every entry, and the deviation of its column."""
        xp = array_namespace(X)
        table = self.units.like(X, mask)
        if bool(xp.any(~mask)):
            values = self.result.fold_in(_with_holes(table)).to_dense()
        else:
            values = xp.zeros_like(table.Z) + self.result.intercept
        values = values * self.units.scale + self.units.offset
        if not return_std:
            return values, None
        return values, xp.zeros_like(values) + xp.sqrt(self.noise_variance())


def _with_holes(table: IncompleteTable) -> Array:
    """Scaled table with NaN in its holes, as `complete` takes it."""
    xp = table.xp
    nan = xp.full_like(table.Z, math.nan)
    return xp.where(table.seen > 0, table.Z, nan)
