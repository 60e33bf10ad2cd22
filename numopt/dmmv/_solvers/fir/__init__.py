# SPDX-License-Identifier: BSD-3-Clause
"""Linear-phase filters with integer taps."""
