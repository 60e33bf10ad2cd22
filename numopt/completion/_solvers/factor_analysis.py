# SPDX-License-Identifier: BSD-3-Clause
"""EM for factor analysis with missing entries (Ilin and Raiko 2010, section 5)."""

import dataclasses
from typing import Any

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt._array.random import as_generator, standard_normal
from numopt._iterate.loop import Solver, iterate
from numopt._iterate.result import SolverResult
from numopt.completion._kernels.factor_analysis import packed_places
from numopt.completion._problem.factor_analysis import (
    FactorModel,
    IncompleteTable,
)
from numopt.typing import Array

__all__ = ["FactorAnalysisResult", "factor_analysis"]

#: Noise variances stay above this share of the variance of the table.
NOISE_FLOOR = 1e-3
#: Up to this size the start is an exact singular value decomposition.
EXACT_START = 600
OVERSAMPLE = 10
POWER_PASSES = 3


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class FactorAnalysisResult(SolverResult):
    """The fitted model, its negative log-likelihood and the mean scores of the rows."""

    model: FactorModel
    objective: float
    scores: Array


@dataclasses.dataclass
class _State:
    """Model, its likelihood and the sums of the next M-step."""

    model: FactorModel
    previous: float
    nll: float
    # Sums over rows of the packed moments, means and data times means, per column.
    sums: tuple[Array, Array, Array]
    scores: Array


@dataclasses.dataclass(frozen=True)
class _EM(Solver[IncompleteTable, _State]):
    """One E-step and one M-step an iteration.

    The E-step is a product with the mask and a batch of k x k systems, the M-step a
    (k + 1)-dimensional regression a column on the augmented moments. The likelihood
    never falls; the residual is its last gain per known entry.
    """

    rank: int
    rng: Any
    name = "factor analysis"

    def init(self, problem: IncompleteTable, _warm_start: Any) -> _State:
        """E-step of the start."""
        return self._expect(problem, _start(problem, self.rank, self.rng), None)

    def step(self, problem: IncompleteTable, state: _State) -> _State:
        """M-step, then E-step."""
        return self._expect(problem, _maximise(problem, state.sums), state.nll)

    def measure(self, problem: IncompleteTable, state: _State) -> dict[str, Any]:
        """Negative log-likelihood and its last gain per entry."""
        entries = float(to_numpy(problem.xp.sum(problem.seen)))
        gain = state.previous - state.nll
        return {"objective": state.nll, "residual": abs(gain) / entries}

    def finish(self, _problem: IncompleteTable, state: _State) -> dict[str, Any]:
        """Model, likelihood and scores."""
        return {"model": state.model, "objective": state.nll, "scores": state.scores}

    def _expect(
        self, problem: IncompleteTable, model: FactorModel, before: float | None
    ) -> _State:
        """E-step over blocks of rows."""
        xp = problem.xp
        sums: Any = None
        nll, means = 0.0, []
        for lo, hi in problem.chunks(self.rank):
            part = problem.rows(lo, hi)
            scores = model.scores(part)
            seen_t, Z_t = xp.matrix_transpose(part.seen), xp.matrix_transpose(part.Z)
            new = (seen_t @ scores.moment, seen_t @ scores.mean, Z_t @ scores.mean)
            sums = (
                new
                if sums is None
                else tuple(a + b for a, b in zip(sums, new, strict=True))
            )
            nll += float(to_numpy(scores.nll))
            means.append(scores.mean)
        previous = float("inf") if before is None else before
        return _State(model, previous, nll, sums, xp.concat(means))


def factor_analysis(
    table: IncompleteTable,
    rank: int,
    *,
    tol: float,
    max_iter: int,
    random_state: Any = None,
    callback: Any = None,
    verbose: int = 0,
    warn: bool = True,
) -> FactorAnalysisResult:
    """Fit a factor analysis to the known entries of a table by EM."""
    fields = iterate(
        _EM(rank, as_generator(random_state)),
        table,
        tol=tol,
        max_iter=max_iter,
        callback=callback,
        verbose=verbose,
        warn=warn,
    )
    return FactorAnalysisResult(**fields)


def _maximise(table: IncompleteTable, sums: tuple[Array, Array, Array]) -> FactorModel:
    """M-step: regress every column on the scores of the rows where it is known."""
    xp = table.xp
    moment, mean, cross = sums
    p, k = mean.shape
    places = xp.asarray(packed_places(k), device=device(mean))
    counts = xp.sum(table.seen, axis=0)
    square = xp.reshape(xp.take(moment, places, axis=1), (p, k, k))
    gram = xp.concat(
        [
            xp.concat([square, mean[:, :, None]], axis=2),
            xp.concat([mean, counts[:, None]], axis=1)[:, None, :],
        ],
        axis=1,
    )
    rhs = xp.concat([cross, xp.sum(table.Z, axis=0)[:, None]], axis=1)
    coef = xp.linalg.solve(gram, rhs[:, :, None])[:, :, 0]
    squares = xp.sum(table.Z * table.Z, axis=0)
    residual = squares - xp.sum(coef * rhs, axis=1)
    floor = NOISE_FLOOR * xp.sum(squares) / xp.sum(counts)
    psi = xp.maximum(residual / counts, xp.zeros_like(counts) + floor)
    # A table without any spread still needs a positive variance.
    psi = xp.maximum(
        psi, xp.zeros_like(psi) + xp.finfo(psi.dtype).smallest_normal ** 0.5
    )
    return FactorModel(coef[:, :k], coef[:, k], psi)


def _start(table: IncompleteTable, rank: int, rng: Any) -> FactorModel:
    """Leading singular vectors of the table with 0 in its holes."""
    xp = table.xp
    n, _ = table.Z.shape
    share = xp.sum(table.seen) / (table.Z.shape[0] * table.Z.shape[1])
    s, Vt = _leading(table.Z, rank, rng)
    W = xp.matrix_transpose(Vt) * s / xp.sqrt(n * share)
    variance = xp.sum(table.Z * table.Z) / xp.sum(table.seen)
    zeros = xp.zeros_like(table.offset)
    # Half of the variance is left to the noise until EM knows better.
    return FactorModel(W, zeros, zeros + xp.where(variance > 0, 0.5 * variance, 0.5))


def _leading(Z: Array, rank: int, rng: Any) -> tuple[Array, Array]:
    """Largest singular values (rank,) and right vectors (rank, p)."""
    xp = array_namespace(Z)
    n, p = Z.shape
    if min(n, p) <= EXACT_START:
        _, s, Vt = xp.linalg.svd(Z, full_matrices=False)
        return s[:rank], Vt[:rank, :]
    width = min(rank + OVERSAMPLE, n, p)
    Q = standard_normal(rng, (p, width), xp=xp, dtype=Z.dtype, device=device(Z))
    Zt = xp.matrix_transpose(Z)
    for _ in range(POWER_PASSES):
        Q = xp.linalg.qr(Z @ Q).Q
        Q = xp.linalg.qr(Zt @ Q).Q
    _, s, Vt = xp.linalg.svd(Z @ Q, full_matrices=False)
    Vt = Vt @ xp.matrix_transpose(Q)
    return s[:rank], Vt[:rank, :]
