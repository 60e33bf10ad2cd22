# SPDX-License-Identifier: BSD-3-Clause
"""How it is solved: working sets, paths, bounds, literal block rules and graphs."""
