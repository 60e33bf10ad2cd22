# SPDX-License-Identifier: BSD-3-Clause
"""How: inner solvers, certified hypergradients, outer algorithms."""
