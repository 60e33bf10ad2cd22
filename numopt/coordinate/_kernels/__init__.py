# SPDX-License-Identifier: BSD-3-Clause
"""Hot loops of the family by name; their bodies live in _kernels_cpu."""
