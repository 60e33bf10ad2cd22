# SPDX-License-Identifier: BSD-3-Clause
"""Algorithms of clustering and the public functions that run them."""
