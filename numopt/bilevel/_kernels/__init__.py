# SPDX-License-Identifier: BSD-3-Clause
"""The hot loops of the bilevel family by name, with their definitions."""
