# SPDX-License-Identifier: BSD-3-Clause
"""Which arrays: namespaces, devices, dtypes and the few routines the standard lacks."""
