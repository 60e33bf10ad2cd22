# SPDX-License-Identifier: BSD-3-Clause
"""The stages that the k-means functions share: closed form, ADMM, blocks, report."""

import dataclasses
import math
from typing import Any

import numpy as np

from numopt._array.namespace import is_array, to_numpy
from numopt._iterate.loop import iterate
from numopt._validation import message
from numopt.cluster._problem import KMeansProblem
from numopt.cluster._solvers import blocks
from numopt.cluster._solvers.blas import calm_blas
from numopt.cluster._solvers.dual import (
    FLAT,
    ClippedDual,
    DualBound,
    best_clipped_bound,
)
from numopt.cluster._solvers.fantope import FantopeSolver, FantopeStart, FantopeState
from numopt.cluster._solvers.primal import canonical_labels, embedding
from numopt.cluster._solvers.results import ClusterCertificate
from numopt.exceptions import ArgumentTypeError

__all__ = [
    "Incumbent",
    "check_dense",
    "check_labels",
    "closed_form",
    "improve_by_admm",
    "improve_by_blocks",
    "make_certificate",
    "search_end",
    "status_fields",
    "wants_admm",
    "wants_blocks",
]

#: The block bound is worth its time from this gap on.
BLOCK_GAP = 1e-2
#: Gain that ends the search for a closed form from which the ADMM goes on.
ROUGH = 0.1
#: Matrices n x n of float64 that the ADMM holds at its peak.
DENSE_MATRICES = 6


@dataclasses.dataclass
class Incumbent:
    """The best partition and the best bound so far, in scaled units."""

    labels: np.ndarray
    inertia: float
    n_clusters: int
    bound: DualBound
    method: str = "lowrank"
    fields: dict[str, Any] = dataclasses.field(default_factory=dict)
    state: FantopeState | None = None


def check_labels(name: str, labels: Any, n: int) -> np.ndarray:
    """Return integer labels on the host, compressed to 0..K-1 by first appearance."""
    host = to_numpy(labels) if is_array(labels) else np.asarray(labels)
    if host.dtype.kind not in "iu":
        raise ArgumentTypeError(
            message(name, "an array of integers", f"dtype {host.dtype}")
        )
    if host.shape != (n,):
        raise ValueError(
            message(name, f"of shape ({n},), one per row of `X`", f"shape {host.shape}")
        )
    return canonical_labels(host)


def closed_form(
    problem: KMeansProblem, labels: np.ndarray, gap_tol: float, flat: float = FLAT
) -> Incumbent:
    """The partition with its clipped certificate; trivial cases need none.

    ``flat`` says how small a gain ends the search for the best certificate.
    """
    n_clusters = int(labels.max()) + 1
    if n_clusters == problem.n:
        return Incumbent(labels, 0.0, n_clusters, exact_bound(0.0))
    inertia = problem.inertia(labels, n_clusters)
    if n_clusters == 1 or (inertia == 0 and problem.rows is not None):
        return Incumbent(labels, inertia, n_clusters, exact_bound(inertia))
    dual = ClippedDual(problem, labels, n_clusters)
    target = inertia - gap_tol * abs(inertia)
    with calm_blas(dual.order):
        bound = best_clipped_bound(dual, target, flat)
    if problem.rows is not None and bound.value < 0:
        bound = dataclasses.replace(bound, value=0.0)
    if not dual.low_rank:
        bound = dataclasses.replace(bound, dual=dual.matrix(bound.lambda_))
    incumbent = Incumbent(labels, inertia, n_clusters, bound)
    incumbent.fields["clipped"] = dual
    return incumbent


def exact_bound(value: float) -> DualBound:
    """The bound of a partition that is optimal without a proof."""
    return DualBound(value, 0.0, math.nan)


def search_end(problem: KMeansProblem, method: str, max_dense: int) -> float:
    """The gain that ends the search for a closed form: large before the ADMM."""
    dense = method == "admm" or (method == "auto" and problem.n <= max_dense)
    return ROUGH if dense else FLAT


def wants_admm(
    problem: KMeansProblem,
    best: Incumbent,
    method: str,
    gap_tol: float,
    max_dense: int,
) -> bool:
    """Whether the relaxation is to be solved."""
    if problem.gap(best.inertia, best.bound.value) <= gap_tol:
        return False
    return method == "admm" or (method == "auto" and problem.n <= max_dense)


def wants_blocks(
    problem: KMeansProblem, best: Incumbent, method: str, gap_tol: float
) -> bool:
    """Whether bounds of blocks of rows are to be tried."""
    gap = problem.gap(best.inertia, best.bound.value)
    if problem.rows is None or gap <= gap_tol:
        return False
    return method == "blocks" or (method == "auto" and gap > BLOCK_GAP)


def check_dense(method: str, n: int, max_dense: int) -> None:
    """Refuse matrices that are larger than ``max_dense`` allows."""
    if method == "admm" and n > max_dense:
        need = DENSE_MATRICES * 8 * n * n / 2**30
        raise ValueError(
            f"`method`='admm' needs about {need:.3g} GiB for {n} x {n} matrices, more "
            f"than `max_dense`={max_dense} rows allow; use the closed-form certificate "
            "(method 'certificate' or 'lowrank') or a larger `max_dense`"
        )


def improve_by_admm(
    problem: KMeansProblem,
    best: Incumbent,
    gap_tol: float,
    tol: float,
    rng: np.random.Generator,
    options: dict[str, Any],
    *,
    fixed: bool = False,
) -> None:
    """Solve the relaxation; keep the better bound and (unless fixed) partition."""
    # A dense multiplier is not kept beside the matrices of the ADMM.
    best.bound = dataclasses.replace(best.bound, dual=None)
    clipped: ClippedDual | None = best.fields.pop("clipped", None)
    start_value = best.bound.value
    rows = None if fixed else embedding(problem)
    solver = FantopeSolver(best.n_clusters, gap_tol, tol, rows, rng)
    start = FantopeStart(best.labels, best.inertia, best.bound, clipped)
    with calm_blas(problem.n):
        fields = iterate(
            solver, problem, tol=tol, warm_start=start, warn=False, **options
        )
    state: FantopeState = fields.pop("state")
    best.fields.update(fields)
    best.state = state
    best.bound = state.bound
    if state.bound.value > start_value:
        best.method = "admm"
    if not fixed:
        best.labels, best.inertia = state.labels, state.inertia


def improve_by_blocks(
    problem: KMeansProblem, best: Incumbent, rng: np.random.Generator
) -> None:
    """Keep the bound of blocks of rows where it is better."""
    bound = blocks.block_bound(problem, best.labels, best.n_clusters, rng)
    if bound.value > best.bound.value:
        best.bound, best.method = bound, "blocks"


def status_fields(
    problem: KMeansProblem, best: Incumbent, gap_tol: float
) -> dict[str, Any]:
    """The fields that every result shares."""
    gap = problem.gap(best.inertia, best.bound.value)
    fields = best.fields
    status = fields.get("status", "bounded")
    if status == "converged":
        status = "sdp_solved"
    if gap <= gap_tol:
        status = "optimal"
    texts = {
        "optimal": f"the partition is proved optimal to a relative gap of {gap:.2e}",
        "sdp_solved": "the relaxation is solved; the remaining gap of "
        f"{gap:.2e} is that of the relaxation or of the partition",
        "bounded": f"the inertia is at most {100 * gap:.3g}% above the lower bound",
    }
    return {
        "n_iter": fields.get("n_iter", 0),
        "converged": status in texts,
        "message": texts.get(status, fields.get("message", "")),
        "status": status,
        "history": fields.get("history", {}),
    }


def make_certificate(
    problem: KMeansProblem, best: Incumbent, gap_tol: float
) -> ClusterCertificate:
    """Report the incumbent in the units of the data."""
    unit, value = problem.unit, best.bound.value
    gap = problem.gap(best.inertia, value)
    dual = best.bound.dual
    return ClusterCertificate(
        **status_fields(problem, best, gap_tol),
        inertia=best.inertia * unit,
        lower_bound=value * unit,
        gap=gap,
        optimal=gap <= gap_tol,
        lambda_=best.bound.lambda_ * unit,
        method=best.method,
        dual_matrix=None if dual is None else dual * unit,
        slack=best.bound.slack * unit,
    )
