# SPDX-License-Identifier: BSD-3-Clause
"""What is solved: the two levels of a bilevel problem, and ready problems."""
