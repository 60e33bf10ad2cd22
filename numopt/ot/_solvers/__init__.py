# SPDX-License-Identifier: BSD-3-Clause
"""How transport problems are solved: one file an algorithm, and the public entry."""
