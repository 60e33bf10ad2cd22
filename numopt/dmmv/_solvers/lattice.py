# SPDX-License-Identifier: BSD-3-Clause
"""Bases of the lattice ``A k``: unit steps, or short vectors by lattice reduction."""

import dataclasses
import warnings
from typing import Any

import numpy as np

from numopt import _validation as v
from numopt._iterate.stopping import _stacklevel
from numopt.dmmv._kernels import lattice_reduction
from numopt.dmmv._problem.core import Core

__all__ = ["Basis", "lll_reduce", "reduced_basis", "unit_basis", "wants_lattice"]

DELTA = 0.99
#: A transformation beyond this has lost integers in float64.
LARGEST_ENTRY = 2.0**40
MAX_STEPS = 100_000
#: Places before its own that a row is tried at.
DEPTH = 12
#: Length that a unit step adds, relative to the longest column: bounds the condition
#: number that float64 has to cope with, and keeps moves inside the box.
DAMPING = 1e-7
#: Lattice moves leave a box of few levels almost always.
FEWEST_LEVELS = 8
LARGEST_LATTICE = 200
#: Of well-conditioned columns the unit steps are short already.
WORTHWHILE_CONDITION = 10.0


@dataclasses.dataclass(frozen=True)
class Basis:
    """Directions ``moves`` (p, n) in index space and the responses ``D`` (p, m)."""

    moves: np.ndarray
    D: np.ndarray
    unit: bool


def lll_reduce(
    B: Any, *, delta: float = DELTA, max_steps: int = MAX_STEPS
) -> tuple[np.ndarray, np.ndarray]:
    r"""Reduce the columns of a matrix as a lattice basis, with deep insertions.

    Finds a unimodular integer ``U`` such that the columns of ``B U`` are short and
    nearly orthogonal: with Gram-Schmidt vectors :math:`b_i^*`, every column is shorter
    than :math:`\delta^{-1/2}` times itself at each earlier place.

    Parameters
    ----------
    B : array-like of shape (m, n)
        Linearly independent columns.
    delta : float, default=0.99
        Strength of the reduction, between 0.25 and 1.
    max_steps : int, default=100000
        Largest number of visits of a column.

    Returns
    -------
    reduced : ndarray of shape (m, n)
        The columns ``B U``.
    U : ndarray of shape (n, n), int64
        The unimodular transformation.

    Raises
    ------
    ValueError
        When ``B`` is not 2-D or not finite, columns are dependent, the step limit is
        reached, or entries of ``U`` exceed 2**40.

    Notes
    -----
    Columns are sorted by length first, and the projections of a column are computed
    anew at every visit, in float64. A visit costs O(n^2).

    References
    ----------
    Lenstra, Lenstra, Lovász, "Factoring polynomials with rational coefficients", 1982.
    Schnorr, Euchner, "Lattice basis reduction", 1994 (deep insertions).

    Examples
    --------
    >>> from numopt.dmmv import lll_reduce
    >>> reduced, U = lll_reduce([[1.0, 100.0], [0.0, 1.0]])
    >>> reduced.astype(int).tolist()
    [[1, 0], [0, 1]]
    """
    from numopt.dmmv._problem.data import check_matrix

    delta = v.check_real("delta", delta, low=0.25, high=1.0)
    max_steps = v.check_int("max_steps", max_steps, low=1)
    A = check_matrix(B, "B")
    A = A if isinstance(A, np.ndarray) else A.toarray()
    if A.shape[0] < A.shape[1] or np.linalg.matrix_rank(A) < A.shape[1]:
        raise ValueError(
            v.message("B", "of linearly independent columns", f"shape {A.shape}")
        )
    U, reason = _reduce(A, delta, max_steps)
    if U is None:
        raise ValueError(f"`B` could not be reduced: {reason}")
    return A @ U, U


def _reduce(
    A: np.ndarray, delta: float, max_steps: int
) -> tuple[np.ndarray | None, str]:
    """Return U, or None and the reason."""
    order = np.argsort(np.linalg.norm(A, axis=0), kind="stable")
    R = np.asarray(np.linalg.qr(A[:, order], mode="r"))
    rows = np.eye(A.shape[1])
    basis = np.ascontiguousarray(R.T)
    # The classical algorithm first: deep insertions are slow on long bases.
    for depth in (1, DEPTH):
        _, more, steps = lattice_reduction(basis, delta, depth, max_steps)
        if depth == 1 and int(steps) > max_steps:
            return None, f"more than {max_steps} steps"
        rows = more @ rows
        # From the integers anew: the reduced rows have gathered rounding errors.
        basis = np.ascontiguousarray(rows @ R.T)
    if np.max(np.abs(rows)) > LARGEST_ENTRY:
        return None, "entries of the transformation exceed 2**40"
    U = np.zeros(rows.shape, np.int64)
    U[order] = rows.T.astype(np.int64)
    return U, ""


def unit_basis(core: Core) -> Basis:
    """Return unit steps of single variables; not listed for sparse columns."""
    moves = np.eye(0 if core.sparse else core.n, dtype=np.int64)
    return Basis(moves, core.At, unit=True)


def wants_lattice(core: Core, lattice: Any) -> bool:
    """Whether lattice moves are asked for, or promise something by rule."""
    possible = core.even and not core.sparse and 2 <= core.n <= LARGEST_LATTICE
    if lattice != "auto":
        return bool(lattice) and possible
    if not possible or core.n > core.m:
        return False
    if np.median(core.k_high - core.k_low) + 1 < FEWEST_LEVELS:
        return False
    s = np.linalg.svd(core.At, compute_uv=False)
    return bool(s[-1] > 1e-13 * s[0] and s[0] > WORTHWHILE_CONDITION * s[-1])


def reduced_basis(
    core: Core, row_weights: np.ndarray | None = None, start: Basis | None = None
) -> Basis:
    """Return reduced directions, or unit steps with a warning when that fails.

    A basis that is reduced for similar weights saves most of the work.
    """
    At = core.At if row_weights is None else core.At * row_weights
    damping = DAMPING * np.max(np.linalg.norm(At, axis=1))
    lifted = np.hstack([At, damping * np.eye(core.n)])
    first = np.eye(core.n, dtype=np.int64) if start is None else start.moves
    U, reason = _reduce((first @ lifted).T, DELTA, MAX_STEPS)
    if U is None:
        warnings.warn(
            f"lattice reduction gave up ({reason}); unit moves are used",
            UserWarning,
            stacklevel=_stacklevel(),
        )
        return unit_basis(core)
    moves = np.ascontiguousarray(U.T @ first)
    return Basis(moves, np.ascontiguousarray(moves.astype(np.float64) @ core.At), False)
