# SPDX-License-Identifier: BSD-3-Clause
"""The scikit-learn face of transport: maps, domain adaptation, clustering."""

from numopt.ot._estimators.transport import SinkhornTransport

__all__ = ["SinkhornTransport"]
