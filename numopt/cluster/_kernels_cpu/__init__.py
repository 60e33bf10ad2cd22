# SPDX-License-Identifier: BSD-3-Clause
"""The kernels of the family in Numba."""
