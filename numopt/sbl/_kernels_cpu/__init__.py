# SPDX-License-Identifier: BSD-3-Clause
"""Numba bodies of the kernels of sparse Bayesian learning."""
