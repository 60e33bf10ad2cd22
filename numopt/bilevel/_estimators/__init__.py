# SPDX-License-Identifier: BSD-3-Clause
"""The scikit-learn face: penalties per block, learned denoisers."""
