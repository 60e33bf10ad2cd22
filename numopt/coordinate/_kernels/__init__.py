# SPDX-License-Identifier: BSD-3-Clause
"""Hot loops of coordinate descent as named kernels."""
