# SPDX-License-Identifier: BSD-3-Clause
"""Hot loops of optimal transport by formula.

Notation: S_ij = phi_i + gamma_j - M_ij / eps and P = exp(S), with the scaled potentials
of ``_problem``.
"""
