# SPDX-License-Identifier: BSD-3-Clause
"""Numba bodies: passes over a dense cost, and over a truncated support."""
