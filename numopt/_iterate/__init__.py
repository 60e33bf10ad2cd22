# SPDX-License-Identifier: BSD-3-Clause
"""How we iterate: one loop driver, one result base, callbacks, progress, stopping."""
