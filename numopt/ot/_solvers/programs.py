# SPDX-License-Identifier: BSD-3-Clause
"""Linear programs of transport over few entries, where mass may be left over."""

import dataclasses

import numpy as np

__all__ = ["Program", "transport_program"]

#: Tolerance of the program, in units of the mean row weight and of the costs.
TOLERANCE = 1e-10


@dataclasses.dataclass(frozen=True)
class Program:
    """Masses of the entries, prices of rows and columns, and the mass left over."""

    mass: np.ndarray
    f: np.ndarray
    g: np.ndarray
    unmet: float


def transport_program(
    cost: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    left_over: float,
) -> Program:
    """Solve transport over the entries (rows, columns), of finite ``cost``.

    Mass may be left over on both sides at the price ``left_over``, so the program is
    feasible whatever the entries are. ``unmet`` counts both sides.
    """
    from scipy.optimize import linprog
    from scipy.sparse import csc_array, eye_array, hstack

    n, m, size = a.size, b.size, cost.size
    entry, ones = np.arange(size), np.ones(size)
    moves = csc_array(
        (np.r_[ones, ones], (np.r_[rows, n + columns], np.r_[entry, entry])),
        shape=(n + m, size),
    )
    solved = linprog(
        np.r_[cost, np.full(n + m, left_over)],
        A_eq=hstack([moves, eye_array(n + m)], format="csc"),
        b_eq=n * np.r_[a, b],
        method="highs",
        options={
            "primal_feasibility_tolerance": TOLERANCE,
            "dual_feasibility_tolerance": TOLERANCE,
        },
    )
    if solved.x is None:  # pragma: no cover - HiGHS gives up
        raise RuntimeError(f"the linear program failed: {solved.message}")
    mass, unmet = solved.x[:size] / n, solved.x[size:] / n
    prices = solved.eqlin.marginals
    return Program(np.maximum(mass, 0.0), prices[:n], prices[n:], float(unmet.sum()))
