# SPDX-License-Identifier: BSD-3-Clause
"""Clouds from coarse to fine: the annealing begins on the centroids of nodes."""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from numopt._array.namespace import namespace_key
from numopt.ot._kernels.clouds import METRICS, cloud_pass
from numopt.ot._problem import CoreProblem
from numopt.ot._problem.balanced import core_weights
from numopt.ot._problem.clouds import Cloud, CloudCost, Coupling
from numopt.ot._solvers.annealing import newton_rounds
from numopt.ot._solvers.state import LEVEL_TOL, Options, TransportState, first_eps
from numopt.typing import Array

__all__ = ["multiscale_rounds"]

#: Clouds of up to this many points have no coarser one.
COARSEST = 512
#: Nodes are resolved by an eps of at least this many times their mean squared radii.
RESOLVED = 0.5


def multiscale_rounds(
    problem: CoreProblem, state: TransportState, options: Options
) -> Iterator[None]:
    """Annealed Newton, from the potentials of coarser clouds where there are any."""
    if state.n_passes == 0:
        _start_coarse(problem, state, options)
    yield from newton_rounds(problem, state, options)


def _start_coarse(
    problem: CoreProblem, state: TransportState, options: Options
) -> None:
    """Solve for centroids down to the eps that resolves nodes, and extend."""
    cost = problem.cost
    assert isinstance(cost, CloudCost)
    if namespace_key(problem.xp) != "numpy" or min(cost.shape) <= COARSEST:
        return
    pair = cost.coupling
    (X, a, x_spread), (Y, b, y_spread) = (
        _centroids(cloud, w) for cloud, w in ((pair.X, problem.a), (pair.Y, problem.b))
    )
    resolved = RESOLVED * (x_spread + y_spread)
    if METRICS[pair.metric] != "sqeuclidean":
        resolved = math.sqrt(resolved)
    eps = problem.eps
    while eps < resolved and options.scaling > 1.0:
        eps *= options.scaling
    if eps >= state.eps:
        return
    coarse, small = _coarse_problem(problem, pair, (X, Y), (a, b), eps)
    found = TransportState(eps, coarse.log_b, coarse.log_a, coarse.log_b)
    found.eps = first_eps(eps, problem.cost_range, options.scaling)
    found.budget = options.max_iter
    for _ in multiscale_rounds(
        coarse, found, dataclasses.replace(options, tol=LEVEL_TOL)
    ):
        pass
    if found.eps > eps or not found.error <= LEVEL_TOL:
        return
    state.eps, inv_eps = eps, 1.0 / eps
    rows = dataclasses.replace(pair, Y=small.Y, log_b=small.log_b)
    columns = dataclasses.replace(pair.transposed, Y=small.X, log_b=small.log_a)
    state.phi = rows.run(cloud_pass, found.gamma, problem.log_a, inv_eps, 1.0)[0]
    state.gamma = columns.run(cloud_pass, found.phi, problem.log_b, inv_eps, 1.0)[0]


def _centroids(cloud: Cloud, weights: Array) -> tuple[Array, Array, float]:
    """Centroids and weights of nodes, and the mean squared distance to them."""
    first, size = cloud.nodes[:-1], np.diff(cloud.nodes)
    mass = np.add.reduceat(weights, first)
    sums = np.add.reduceat(weights[:, None] * cloud.points, first, axis=0)
    centres = sums / mass[:, None]
    offsets = cloud.points - np.repeat(centres, size, axis=0)
    return centres, mass, float(weights @ np.sum(offsets * offsets, axis=1))


def _coarse_problem(
    problem: CoreProblem,
    pair: Coupling,
    points: tuple[Array, Array],
    weights: tuple[Array, Array],
    eps: float,
) -> tuple[CoreProblem, Coupling]:
    """The problem of the centroids at a larger eps, and its clouds."""
    (X, rows), (Y, columns) = (Cloud.from_points(x) for x in points)
    fields = core_weights(weights[0][rows], weights[1][columns], problem.xp)
    metric, logs = METRICS[pair.metric], (fields["log_a"], fields["log_b"])
    cost = CloudCost((X, Y), metric, logs, batch=pair.batch, tol=LEVEL_TOL)
    return dataclasses.replace(problem, **fields, cost=cost, eps=eps), cost.coupling
