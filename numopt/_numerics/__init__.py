# SPDX-License-Identifier: BSD-3-Clause
"""Shared mathematics: pieces of algorithms that more than one family uses."""
