# SPDX-License-Identifier: BSD-3-Clause
"""What is solved: datafit + penalty over validated data, and its duality gap."""
