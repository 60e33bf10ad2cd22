# SPDX-License-Identifier: BSD-3-Clause
"""To the host without empty points, and back: for algorithms that run on NumPy."""

import dataclasses

import numpy as np

from numopt._array.namespace import array_namespace, device, to_numpy
from numopt.ot._problem import CoreProblem, TransportProblem
from numopt.typing import Array

__all__ = [
    "host_arrays",
    "like_input",
    "marginal_error",
    "on_host",
    "whole_entries",
    "whole_potentials",
    "whole_solution",
]


def on_host(problem: TransportProblem, *, swap: bool = True) -> CoreProblem:
    """Return the reduced problem as NumPy arrays."""
    a, b, M = map(to_numpy, (problem.a, problem.b, problem.M))
    on_host = dataclasses.replace(problem, a=a, b=b, M=M)
    return CoreProblem.from_problem(on_host, swap=swap)


def host_arrays(
    problem: TransportProblem,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights and cost of the whole problem as float64 NumPy arrays."""
    a, b, M = (
        np.asarray(to_numpy(x), float) for x in (problem.a, problem.b, problem.M)
    )
    return a, b, M


def like_input(problem: TransportProblem, x: np.ndarray) -> Array:
    """Bring an array to the library, device and dtype of the input."""
    like = problem.M
    return array_namespace(like).asarray(x, dtype=like.dtype, device=device(like))


def marginal_error(plan: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    """L1 error of both marginals, relative to the mass."""
    error = np.abs(plan.sum(axis=1) - a).sum() + np.abs(plan.sum(axis=0) - b).sum()
    return float(error / a.sum())


def whole_solution(
    problem: TransportProblem,
    core: CoreProblem,
    inner: np.ndarray,
    f: np.ndarray,
    g: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Undo the reduction of a plan and its potentials: order, empty points, mass."""
    f, g = whole_potentials(problem, core, f, g)
    if core.swapped:
        inner = inner.T
    if core.rows is None and core.columns is None:
        return problem.mass * inner, f, g
    n, m = problem.M.shape
    rows = slice(None) if core.rows is None else core.rows
    columns = slice(None) if core.columns is None else core.columns
    plan = np.zeros((n, m))
    plan[np.ix_(np.arange(n)[rows], np.arange(m)[columns])] = inner
    return problem.mass * plan, f, g


def whole_potentials(
    problem: TransportProblem, core: CoreProblem, f: np.ndarray, g: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Undo the reduction of potentials; those of empty points are the largest."""
    if core.swapped:
        f, g = g, f
    if core.rows is None and core.columns is None:
        return f, g
    M = np.asarray(to_numpy(problem.M), float)
    if core.columns is not None:
        rows = slice(None) if core.rows is None else core.rows
        g = _extended(M[rows].T, f)
    if core.rows is not None:
        f = _extended(M, g)
    return f, g


def whole_entries(
    core: CoreProblem, entries: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns, in the whole problem, of entries i m + j of the reduced one."""
    rows, columns = np.divmod(entries, core.M.shape[1])
    if core.swapped:
        rows, columns = columns, rows
    rows = rows if core.rows is None else core.rows[rows]
    return rows, columns if core.columns is None else core.columns[columns]


def _extended(M: np.ndarray, h: np.ndarray) -> np.ndarray:
    """Return ``min_j M_ij - h_j``, 0 where a point of no weight can reach nothing."""
    potential = np.min(M - h, axis=1)
    return np.where(np.isfinite(potential), potential, 0.0)
