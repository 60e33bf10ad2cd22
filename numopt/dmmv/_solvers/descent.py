# SPDX-License-Identifier: BSD-3-Clause
"""Polishing of points along unit steps, lattice directions and sparse columns."""

import numpy as np

from numopt.dmmv._kernels import polish, polish_sparse
from numopt.dmmv._problem.core import Core
from numopt.dmmv._solvers.beam import best_of
from numopt.dmmv._solvers.lattice import Basis, reduced_basis, wants_lattice
from numopt.dmmv._solvers.state import Options, Search

__all__ = ["choose_basis", "polish_all"]

#: Levels up to which polishing tries all of them.
FEW_LEVELS = 4
#: Pairs of moves beyond which polishing tries single moves only.
LARGEST_PAIRS = 4_000_000
MOST_MOVES = 10_000


def choose_basis(search: Search, options: Options) -> Basis:
    """Return lattice directions where they promise something, else unit steps."""
    if search.basis is None:
        if wants_lattice(search.core, options.lattice):
            search.basis = reduced_basis(search.core)
        else:
            search.basis = search.unit
    return search.basis


def move_list(core: Core, basis: Basis) -> tuple[np.ndarray, np.ndarray]:
    """Return directions and amounts of polishing moves."""
    if not basis.unit or np.max(core.k_high - core.k_low, initial=0) >= FEW_LEVELS:
        reach = 1
    else:
        reach = int(np.max(core.k_high - core.k_low, initial=1))
    amounts = np.array([a for a in range(-reach, reach + 1) if a])
    p = basis.moves.shape[0]
    return np.repeat(np.arange(p), amounts.size), np.tile(amounts, p)


def descend(core: Core, basis: Basis, k: np.ndarray, options: Options) -> np.ndarray:
    """Polish a point along the directions of a basis."""
    dirs, amounts = move_list(core, basis)
    pairs = options.pairs and dirs.size**2 <= LARGEST_PAIRS
    better, _, _ = polish(
        basis.D, basis.moves, core.table, core.k_low, core.k_high, core.lower,
        core.upper, k, core.response(k), dirs, amounts, pairs, MOST_MOVES,
    )  # fmt: skip
    return better


def _polish_sparsely(core: Core, k: np.ndarray, options: Options) -> np.ndarray:
    """Descend along sparse columns; pairs where the product of rows allows."""
    by_row = core.At.T.tocsr()
    longest = int(np.max(np.diff(by_row.indptr), initial=0))
    better, _ = polish_sparse(
        core.At.indptr, core.At.indices, core.At.data, by_row.indptr, by_row.indices,
        core.table, core.k_low, core.k_high, core.lower, core.upper, k, FEW_LEVELS,
        options.pairs and longest**2 <= LARGEST_PAIRS, 0.0, MOST_MOVES,
    )  # fmt: skip
    return better


def polish_all(
    search: Search, points: np.ndarray, options: Options, method: str
) -> np.ndarray:
    """Polish along lattice directions (if any) and unit steps; return the best."""
    core = search.core
    bases = [] if core.sparse else [choose_basis(search, options)]
    if bases and not bases[0].unit:
        bases.append(search.unit)
    found = []
    for k in points:
        if core.sparse:
            k = _polish_sparsely(core, k, options)
            search.offer(k, method)
        for basis in bases:
            k = descend(core, basis, k, options)
            search.offer(k, method)
        found.append(k)
        if search.out_of_time:
            break
    return best_of(core, np.array(found), 1)[0]
