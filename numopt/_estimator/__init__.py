# SPDX-License-Identifier: BSD-3-Clause
"""The scikit-learn face: base class, mixins and the adapter to private helpers."""
