# SPDX-License-Identifier: BSD-3-Clause
"""What is solved: entropic optimal transport between two weighted sets, and its dual.

Symbols follow Peyré & Cuturi (2019): weights a (n,), b (m,), cost M (n, m), eps = reg,
potentials f (n,), g (m,) relative to a b^T,

    P_ij = a_i b_j exp((f_i + g_j - M_ij) / eps).

Solvers work in scaled units, phi = f / eps + log a and gamma = g / eps + log b.
"""

from numopt.ot._problem.balanced import CoreProblem, TransportProblem
from numopt.ot._problem.potentials import column_potentials, row_potentials
from numopt.ot._problem.unbalanced import UnbalancedProblem

__all__ = [
    "CoreProblem",
    "TransportProblem",
    "UnbalancedProblem",
    "column_potentials",
    "row_potentials",
]
