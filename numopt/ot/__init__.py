# SPDX-License-Identifier: BSD-3-Clause
"""Entropic optimal transport, Newton-accelerated."""
