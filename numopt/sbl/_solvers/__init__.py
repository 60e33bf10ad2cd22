# SPDX-License-Identifier: BSD-3-Clause
"""How evidence is maximised: sequential, batch, matrix-free, Kronecker."""
