# SPDX-License-Identifier: BSD-3-Clause
"""How it is solved: relaxation, constructors, descent, annealing, exact methods."""
