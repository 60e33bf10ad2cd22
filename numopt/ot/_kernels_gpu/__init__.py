# SPDX-License-Identifier: BSD-3-Clause
"""CuPy bodies of the passes; see ``_kernels`` for the formulas."""
