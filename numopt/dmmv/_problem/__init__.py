# SPDX-License-Identifier: BSD-3-Clause
"""What is solved: level sets, the validated problem, its scaled core and bounds."""
